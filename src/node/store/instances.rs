//! Instances as rows: what came, of which study, and in which version of it.

use super::{Error, Store};
use crate::dicom::ObjectSummary;
use rusqlite::{Connection, OptionalExtension, Transaction, named_params, params};
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
    /// It had been complete before.
    pub reopened: bool,
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

    /// What an instance that came before does to its study: nothing.
    pub(in crate::node) fn arrived(&self, study_instance_uid: &str) -> Result<Arrived, Error> {
        self.read(|connection| arrived(connection, study_instance_uid, false))
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
    let reopened = add_study(transaction, instance)?;
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
    arrived(transaction, &object.study_instance_uid, reopened)
}

fn arrived(connection: &Connection, study: &str, reopened: bool) -> Result<Arrived, Error> {
    let mut count = connection.prepare_cached(
        "SELECT state, (SELECT count(*) FROM instances WHERE study_instance_uid = ?1)
         FROM studies WHERE study_instance_uid = ?1",
    )?;
    Ok(count.query_row([study], |row| {
        Ok(Arrived {
            study_instance_uid: study.to_owned(),
            receiving: row.get::<_, String>(0)? == "receiving",
            instances: row.get(1)?,
            reopened,
        })
    })?)
}

/// Opens the study for an image; anything else is kept with it but changes no result: among it is what this node sent.
/// Tells whether it had been complete before.
fn add_study(transaction: &Transaction, instance: &NewInstance) -> Result<bool, Error> {
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
        return Ok(false);
    }
    let mut supersede = transaction.prepare_cached(
        "UPDATE jobs SET state = 'superseded', ended_s = ?2
         WHERE study_instance_uid = ?1 AND state IN ('waiting', 'dead')",
    )?;
    supersede.execute(params![study, instance.received_s])?;
    let mut open = transaction.prepare_cached(
        "UPDATE studies SET state = 'receiving', changed_s = ?2
         WHERE study_instance_uid = ?1 AND state <> 'receiving' RETURNING version > 0",
    )?;
    let reopened = open.query_row(params![study, instance.received_s], |row| row.get(0));
    Ok(reopened.optional()?.unwrap_or(false))
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
