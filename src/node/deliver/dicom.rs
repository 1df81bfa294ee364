//! Results by C-STORE (PS3.4 B).

use super::{DeliveryError, Parcel, RefusedInstance, Sent};
use crate::config::PeerConfig;
use crate::node::dimse;
use crate::node::scu::{Scu, is_stored};
use std::path::PathBuf;

/// Status of an instance that is there already (PS3.7 C.5.9). Our UIDs name one content, so it is this one.
const DUPLICATE: u16 = 0x0111;

/// Status that stands for a SOP class that was not accepted (PS3.7 C.5.6).
const CLASS_NOT_SUPPORTED: u16 = 0x0122;

/// Sends the parcel's DICOM objects over one association.
pub(super) fn send(scu: &Scu, peer: &PeerConfig, parcel: &Parcel) -> Result<Sent, DeliveryError> {
    let objects = parcel.objects()?;
    let files: Vec<PathBuf> = objects.iter().map(|o| o.path.to_owned()).collect();
    let (mut stored, mut refused, mut broken) = (0, Vec::new(), None);
    for (told, object) in scu.store(peer, &files)?.into_iter().zip(&objects) {
        let reason = match told.outcome {
            Ok(status) if is_stored(status) || status == DUPLICATE => {
                stored += 1;
                continue;
            }
            Ok(status) => status,
            Err(dimse::Error::NotAccepted { .. }) => CLASS_NOT_SUPPORTED,
            Err(error) => {
                broken.get_or_insert(error);
                continue;
            }
        };
        refused.push(RefusedInstance {
            sop_class_uid: object.identity.sop_class_uid.clone(),
            sop_instance_uid: object.identity.sop_instance_uid.clone(),
            reason: Some(reason),
        });
    }
    match broken {
        Some(error) => Err(error.into()),
        None if refused.is_empty() => Ok(Sent {
            objects: stored,
            bytes: objects.iter().map(|object| object.bytes).sum(),
        }),
        None => Err(DeliveryError::Refused { stored, refused }),
    }
}
