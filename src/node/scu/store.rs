//! C-STORE: files as they are, piece by piece (PS3.4 B).

use super::{Scu, answer, blocking, ended};
use crate::config::PeerConfig;
use crate::node::dimse::{Association, Command, Error, InstanceRef, Message, encoded};
use dicom_dictionary_std::uids;
use dicom_object::meta::FileMetaTable;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Presentation contexts that one association has room for (PS3.8 9.3.2.2).
const MAX_CONTEXTS: usize = 128;

/// So much of a file is read at once, bytes.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes before the mark `DICM`.
const PREAMBLE_BYTES: u64 = 128;

/// What became of a file.
#[derive(Debug)]
pub struct Sent {
    /// The file.
    pub path: PathBuf,
    /// What it holds; none where it cannot be read.
    pub instance: Option<InstanceRef>,
    /// Status of the answer (PS3.4 table B.2-1), or why there is none.
    pub outcome: Result<u16, Error>,
}

/// Whether the peer keeps an instance that it answered with this status: success, or a warning (PS3.4 table B.2-1).
pub fn is_stored(status: u16) -> bool {
    status == 0 || status == 0x0001 || status >> 12 == 0xb
}

/// What the File Meta Information says.
struct Head {
    instance: InstanceRef,
    transfer_syntax: String,
    /// Where the data set starts.
    data_at: u64,
}

impl Scu {
    /// Sends files, each in its own SOP class and transfer syntax, or in implicit VR little endian where the peer takes an
    /// uncompressed one in nothing else; says what became of each, in their order.
    ///
    /// A file that the peer refuses does not keep the others back; where the association breaks, the rest is not sent.
    ///
    /// # Errors
    /// There is no association; no file was sent then.
    pub fn store(&self, peer: &PeerConfig, files: &[PathBuf]) -> Result<Vec<Sent>, Error> {
        let heads: Vec<_> = files.iter().map(|path| (path, head(path))).collect();
        let contexts = contexts(heads.iter().filter_map(|(_, head)| head.as_ref().ok()));
        if contexts.is_empty() {
            let unread = heads.into_iter().map(|(path, head)| Sent {
                path: path.clone(),
                instance: None,
                outcome: head.and(Err(Error::NotDicom)),
            });
            return Ok(unread.collect());
        }
        blocking(async {
            let mut association = self.connect(peer, contexts).await?;
            let (mut sent, mut id, mut is_whole) = (Vec::new(), 0_u16, true);
            for (path, head) in heads {
                id = id.wrapping_add(1);
                let outcome = match &head {
                    Ok(head) if is_whole => send(&mut association, id, path, head).await,
                    Ok(_) => Err(Error::NotSent),
                    Err(_) => Ok(None),
                };
                is_whole &= outcome.is_ok();
                sent.push(told(path, head, outcome));
            }
            match is_whole {
                true => ended(association, Ok(sent)).await,
                false => {
                    association.abort(&Error::NotSent).await;
                    Ok(sent)
                }
            }
        })
    }
}

fn told(path: &Path, head: Result<Head, Error>, outcome: Result<Option<u16>, Error>) -> Sent {
    let (instance, outcome) = match (head, outcome) {
        (Err(error), _) => (None, Err(error)),
        (Ok(head), Ok(None)) => {
            let sop_class_uid = head.instance.sop_class_uid.clone();
            (
                Some(head.instance),
                Err(Error::NotAccepted { sop_class_uid }),
            )
        }
        (Ok(head), Ok(Some(status))) => (Some(head.instance), Ok(status)),
        (Ok(head), Err(error)) => (Some(head.instance), Err(error)),
    };
    Sent {
        path: path.into(),
        instance,
        outcome,
    }
}

/// What is proposed for these files.
fn contexts<'a>(heads: impl Iterator<Item = &'a Head>) -> Vec<(String, Vec<String>)> {
    let mut proposed = BTreeSet::new();
    for head in heads {
        let class = &head.instance.sop_class_uid;
        proposed.insert((class.clone(), head.transfer_syntax.clone()));
        if head.transfer_syntax == uids::EXPLICIT_VR_LITTLE_ENDIAN {
            // The default, which every peer has to know (PS3.5 10.1).
            proposed.insert((class.clone(), uids::IMPLICIT_VR_LITTLE_ENDIAN.into()));
        }
    }
    let proposed = proposed.into_iter().take(MAX_CONTEXTS);
    proposed
        .map(|(class, syntax)| (class, vec![syntax]))
        .collect()
}

fn head(path: &Path) -> Result<Head, Error> {
    let mut file = BufReader::new(File::open(path).map_err(Error::File)?);
    file.seek(SeekFrom::Start(PREAMBLE_BYTES))
        .map_err(Error::File)?;
    let meta = FileMetaTable::from_reader(&mut file).map_err(|_| Error::NotDicom)?;
    Ok(Head {
        instance: InstanceRef {
            sop_class_uid: meta.media_storage_sop_class_uid().into(),
            sop_instance_uid: meta.media_storage_sop_instance_uid().into(),
        },
        transfer_syntax: meta.transfer_syntax().into(),
        data_at: file.stream_position().map_err(Error::File)?,
    })
}

/// Sends a file; none where the peer takes no such file.
async fn send(
    association: &mut Association,
    id: u16,
    path: &Path,
    head: &Head,
) -> Result<Option<u16>, Error> {
    let find = |syntax: &str| {
        let class = &head.instance.sop_class_uid;
        let fits =
            association.context_for(|c| c.abstract_syntax == *class && c.transfer_syntax == syntax);
        fits.map(|context| context.id)
    };
    let (as_it_is, implicit) = (
        find(&head.transfer_syntax),
        find(uids::IMPLICIT_VR_LITTLE_ENDIAN),
    );
    let Some(context_id) = as_it_is.or(implicit) else {
        return Ok(None);
    };
    let request = Message {
        id,
        has_data_set: true,
        command: Command::Store(head.instance.clone()),
    };
    if as_it_is.is_some() {
        association.send(context_id, &request, None).await?;
        send_rest(association, context_id, path, head.data_at).await?;
    } else {
        let object = dicom_object::open_file(path).map_err(|_| Error::NotDicom)?;
        let bytes = encoded(&object, uids::IMPLICIT_VR_LITTLE_ENDIAN, "C-STORE")?;
        association.send(context_id, &request, Some(&bytes)).await?;
    }
    answer(association, context_id, &request).await.map(Some)
}

/// Sends the file from `start` on as a data set.
async fn send_rest(
    association: &mut Association,
    context_id: u8,
    path: &Path,
    start: u64,
) -> Result<(), Error> {
    let mut file = File::open(path).map_err(Error::File)?;
    file.seek(SeekFrom::Start(start)).map_err(Error::File)?;
    let whole = file.metadata().map_err(Error::File)?.len();
    let mut left = usize::try_from(whole.saturating_sub(start))
        .map_err(|error| Error::File(io::Error::other(error)))?;
    let mut piece = vec![0; PIECE_BYTES.min(left)];
    loop {
        piece.truncate(left);
        file.read_exact(&mut piece).map_err(Error::File)?;
        left -= piece.len();
        association
            .send_piece(context_id, &piece, left == 0)
            .await?;
        if left == 0 {
            return Ok(());
        }
    }
}
