//! Instances as rows: what came, of which study, and in which version of it.

use super::{Error, Store, priors};
use crate::dicom::ObjectSummary;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, named_params, params};
use std::path::PathBuf;

/// An instance whose file is durable.
#[derive(Debug, Clone)]
pub struct NewInstance {
    /// What it says of itself.
    pub object: ObjectSummary,
    /// Keyed hash of its Patient ID (0010,0020).
    pub patient: Option<String>,
    /// Of the file.
    pub sha256: [u8; 32],
    /// Size of the file.
    pub bytes: u64,
    /// When it came, seconds since 1970.
    pub received_s: i64,
    /// Calling AE title; none over HTTP.
    pub sender: Option<String>,
    /// Address that it came from.
    pub address: String,
}

/// What an instance did to its study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Instances that the study has by now.
    pub instances: u32,
    /// The study waits for further instances, to be run then.
    pub receiving: bool,
    /// The version that it makes of a study that had been complete before.
    pub reopens: Option<u32>,
}

/// What the decision log says of an instance that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// Of the file.
    pub sha256: [u8; 32],
    /// Size of the file.
    pub bytes: u64,
    /// Calling AE title; none over HTTP.
    pub sender: Option<String>,
    /// Address that it came from.
    pub address: String,
}

/// An instance that is kept, and what it did to its study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// What is to be told of it; none where the same bytes had come before.
    pub receipt: Option<Receipt>,
    /// What it did to its study.
    pub arrived: Arrived,
}

impl From<NewInstance> for Receipt {
    fn from(instance: NewInstance) -> Self {
        let object = instance.object;
        Self {
            study_instance_uid: object.study_instance_uid,
            series_instance_uid: object.series_instance_uid,
            sop_instance_uid: object.sop_instance_uid,
            sop_class_uid: object.sop_class_uid,
            sha256: instance.sha256,
            bytes: instance.bytes,
            sender: instance.sender,
            address: instance.address,
        }
    }
}

/// What is known of a SOP Instance UID.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::node) struct Known {
    pub(in crate::node) study_instance_uid: String,
    pub(in crate::node) sha256: [u8; 32],
}

/// An instance of one version of a study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its file.
    pub path: PathBuf,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// Of the file as it was received.
    pub sha256: [u8; 32],
}

impl Store {
    /// File of an instance; both UIDs were checked before they came here.
    pub(in crate::node) fn instance_path(&self, study: &str, sop_instance_uid: &str) -> PathBuf {
        self.instances_dir(study)
            .join(format!("{sop_instance_uid}.dcm"))
    }

    /// The instance of this UID, if it came before, and whether its study is new.
    pub(in crate::node) fn known(
        &self,
        sop_instance_uid: &str,
        study_instance_uid: &str,
    ) -> Result<(Option<Known>, bool), Error> {
        self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT study_instance_uid, sha256 FROM instances WHERE sop_instance_uid = ?1",
            )?;
            let known = |row: &rusqlite::Row| {
                Ok(Known {
                    study_instance_uid: row.get(0)?,
                    sha256: row.get(1)?,
                })
            };
            let instance = find.query_row([sop_instance_uid], known).optional()?;
            let mut find =
                connection.prepare_cached("SELECT 1 FROM studies WHERE study_instance_uid = ?1")?;
            Ok((instance, !find.exists([study_instance_uid])?))
        })
    }

    /// Adds instances in one transaction, in their order.
    pub(in crate::node) fn add(&self, instances: &[&NewInstance]) -> Result<Vec<Arrived>, Error> {
        self.write(|transaction| {
            let arrived = instances.iter().map(|instance| add(transaction, instance));
            arrived.collect()
        })
    }

    /// What an instance that came before does to its study: nothing, unless the study was fetched and is now sent.
    pub(in crate::node) fn arrived_again(&self, instance: &NewInstance) -> Result<Arrived, Error> {
        let object = &instance.object;
        let study = &object.study_instance_uid;
        let is_sent = object.is_image && self.read(|c| priors::is_over(c, study))?;
        match is_sent {
            true => self.write(|transaction| {
                let reopened = add_study(transaction, instance)?;
                arrived(transaction, study, reopened)
            }),
            false => self.read(|connection| arrived(connection, study, None)),
        }
    }

    /// Instances of which the decision log may not tell yet, and what they did to their studies.
    pub(in crate::node) fn untold(&self) -> Result<Vec<Arrival>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT study_instance_uid, series_instance_uid, sop_instance_uid, sop_class_uid, sha256, bytes, sender,
                 address, reopens FROM untold JOIN instances USING (sop_instance_uid) ORDER BY received_s, 3",
            )?;
            let untold = select.query_map([], |row| Ok((receipt(row)?, row.get(8)?)))?;
            let untold = untold.collect::<Result<Vec<(Receipt, _)>, _>>()?;
            let arrival = |(receipt, reopens): (Receipt, _)| {
                let arrived = arrived(connection, &receipt.study_instance_uid, reopens)?;
                let receipt = Some(receipt);
                Ok(Arrival { receipt, arrived })
            };
            untold.into_iter().map(arrival).collect()
        })
    }

    /// The decision log tells of these instances.
    pub(in crate::node) fn forget_untold(&self, sop_instance_uids: &[&str]) -> Result<(), Error> {
        if sop_instance_uids.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let sql = "DELETE FROM untold WHERE sop_instance_uid = ?1";
            let mut delete = transaction.prepare_cached(sql)?;
            for uid in sop_instance_uids {
                delete.execute([uid])?;
            }
            Ok(())
        })
    }

    /// The instances that a version of a study consists of, by SOP Instance UID.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn inputs(&self, study_instance_uid: &str, version: u32) -> Result<Vec<Input>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT sop_instance_uid, sop_class_uid, sha256 FROM instances
                 WHERE study_instance_uid = ?1 AND version <= ?2 ORDER BY sop_instance_uid",
            )?;
            let inputs = select.query_map(params![study_instance_uid, version], |row| {
                let sop_instance_uid: String = row.get(0)?;
                Ok(Input {
                    path: self.instance_path(study_instance_uid, &sop_instance_uid),
                    sop_instance_uid,
                    sop_class_uid: row.get(1)?,
                    sha256: row.get(2)?,
                })
            })?;
            Ok(inputs.collect::<Result<_, _>>()?)
        })
    }

    /// SOP Instance UIDs of all instances of a study.
    pub(in crate::node) fn instance_uids(&self, study: &str) -> Result<Vec<String>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT sop_instance_uid FROM instances WHERE study_instance_uid = ?1",
            )?;
            let uids = select.query_map([study], |row| row.get(0))?;
            Ok(uids.collect::<Result<_, _>>()?)
        })
    }
}

fn add(transaction: &Transaction, instance: &NewInstance) -> Result<Arrived, Error> {
    let reopens = add_study(transaction, instance)?;
    add_series(transaction, &instance.object)?;
    let object = &instance.object;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO instances (sop_instance_uid, study_instance_uid, series_instance_uid, sop_class_uid, sha256, bytes,
         received_s, sender, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    insert.execute(params![
        object.sop_instance_uid,
        object.study_instance_uid,
        object.series_instance_uid,
        object.sop_class_uid,
        instance.sha256,
        i64::try_from(instance.bytes).unwrap_or(i64::MAX),
        instance.received_s,
        instance.sender,
        instance.address,
    ])?;
    let mut untold = transaction
        .prepare_cached("INSERT INTO untold (sop_instance_uid, reopens) VALUES (?1, ?2)")?;
    untold.execute(params![object.sop_instance_uid, reopens])?;
    arrived(transaction, &object.study_instance_uid, reopens)
}

fn receipt(row: &Row) -> Result<Receipt, rusqlite::Error> {
    let bytes: i64 = row.get(5)?;
    Ok(Receipt {
        study_instance_uid: row.get(0)?,
        series_instance_uid: row.get(1)?,
        sop_instance_uid: row.get(2)?,
        sop_class_uid: row.get(3)?,
        sha256: row.get(4)?,
        bytes: bytes.unsigned_abs(),
        sender: row.get(6)?,
        address: row.get(7)?,
    })
}

fn arrived(connection: &Connection, study: &str, reopens: Option<u32>) -> Result<Arrived, Error> {
    let mut count = connection.prepare_cached(
        "SELECT state, (SELECT count(*) FROM instances WHERE study_instance_uid = ?1)
         FROM studies WHERE study_instance_uid = ?1",
    )?;
    Ok(count.query_row([study], |row| {
        Ok(Arrived {
            study_instance_uid: study.to_owned(),
            receiving: row.get::<_, String>(0)? == "receiving",
            instances: row.get(1)?,
            reopens,
        })
    })?)
}

/// Opens the study for an image; anything else is kept with it but changes no result: among it is what this node sent.
/// Tells the version that it makes, where the study had been complete before.
fn add_study(transaction: &Transaction, instance: &NewInstance) -> Result<Option<u32>, Error> {
    let object = &instance.object;
    let study = &object.study_instance_uid;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO studies (study_instance_uid, state, changed_s) VALUES (?1, 'kept', ?2)
         ON CONFLICT DO NOTHING",
    )?;
    insert.execute(params![study, instance.received_s])?;
    let mut describe = transaction.prepare_cached(
        "UPDATE studies SET description = coalesce(description, ?2), patient = coalesce(patient, ?3)
         WHERE study_instance_uid = ?1 AND (description IS NULL OR patient IS NULL)",
    )?;
    describe.execute(params![study, object.study_description, instance.patient])?;
    if !object.is_image {
        return Ok(None);
    }
    priors::sent(transaction, study)?;
    let mut supersede = transaction.prepare_cached(
        "UPDATE jobs SET state = 'superseded', ended_s = ?2
         WHERE study_instance_uid = ?1 AND state IN ('waiting', 'dead')",
    )?;
    supersede.execute(params![study, instance.received_s])?;
    let mut open = transaction.prepare_cached(
        "UPDATE studies SET state = 'receiving', changed_s = ?2
         WHERE study_instance_uid = ?1 AND state <> 'receiving' RETURNING version",
    )?;
    let version = open.query_row(params![study, instance.received_s], |row| row.get(0));
    let version: Option<u32> = version.optional()?;
    Ok(version
        .filter(|version| *version > 0)
        .map(|version| version + 1))
}

/// Texts are those of the first instance that has any, the thickness that of the thickest slice.
fn add_series(transaction: &Transaction, object: &ObjectSummary) -> Result<(), Error> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO series VALUES (:study, :series, :modality, :body_part, :description, :thickness_mm)
         ON CONFLICT DO UPDATE SET
         modality = coalesce(modality, excluded.modality),
         body_part = coalesce(body_part, excluded.body_part),
         description = coalesce(description, excluded.description),
         slice_thickness_mm = max(coalesce(slice_thickness_mm, excluded.slice_thickness_mm),
                                  coalesce(excluded.slice_thickness_mm, slice_thickness_mm))",
    )?;
    insert.execute(named_params! {
        ":study": object.study_instance_uid,
        ":series": object.series_instance_uid,
        ":modality": object.modality,
        ":body_part": object.body_part,
        ":description": object.series_description,
        ":thickness_mm": object.slice_thickness_mm,
    })?;
    Ok(())
}
