//! Studies: open, closed as a version, routed.

use super::{Error, Store, priors};
use rusqlite::{Connection, OptionalExtension, params};

/// Where a study is on its way; what became of its work, its job says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StudyState {
    /// Further instances may come.
    Receiving,
    /// A version was closed, what to do with it is not decided yet.
    Complete,
    /// Nothing is run.
    Kept,
    /// Its version has a job.
    Queued,
}

/// What rules ask of a study.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StudyFacts {
    /// Study Description (0008,1030).
    pub description: Option<String>,
    /// AE titles that sent instances of it.
    pub senders: Vec<String>,
    /// Its series.
    pub series: Vec<SeriesFacts>,
    /// It is here because it was fetched as an earlier study of a patient.
    pub is_prior: bool,
}

/// What rules ask of a series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeriesFacts {
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Series Description (0008,103E).
    pub description: Option<String>,
    /// Slice Thickness (0018,0050) of the thickest slice, mm.
    pub slice_thickness_mm: Option<f64>,
}

impl StudyState {
    pub(super) fn from_text(text: &str) -> Self {
        match text {
            "receiving" => Self::Receiving,
            "complete" => Self::Complete,
            "queued" => Self::Queued,
            _ => Self::Kept,
        }
    }
}

impl Store {
    /// All studies.
    pub(in crate::node) fn studies(&self) -> Result<Vec<String>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT study_instance_uid FROM studies")?;
            let studies = select.query_map([], |row| row.get(0))?;
            Ok(studies.collect::<Result<_, _>>()?)
        })
    }

    /// Open studies and how many instances each has: what a start of the node begins to wait for again.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn receiving(&self) -> Result<Vec<(String, u32)>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT study_instance_uid, count(*) FROM studies JOIN instances USING (study_instance_uid)
                 WHERE state = 'receiving' GROUP BY study_instance_uid",
            )?;
            let studies = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(studies.collect::<Result<_, _>>()?)
        })
    }

    /// Closes an open study of so many `instances` as its next version; none where it is not open or has more by now.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn close(
        &self,
        study_instance_uid: &str,
        instances: u32,
        now_s: i64,
    ) -> Result<Option<u32>, Error> {
        self.write(|transaction| {
            let mut close = transaction.prepare_cached(
                "UPDATE studies SET state = 'complete', version = version + 1, changed_s = ?3
                 WHERE study_instance_uid = ?1 AND state = 'receiving'
                 AND ?2 = (SELECT count(*) FROM instances WHERE study_instance_uid = ?1)
                 RETURNING version",
            )?;
            let version = close.query_row(params![study_instance_uid, instances, now_s], |row| {
                row.get::<_, u32>(0)
            });
            let Some(version) = version.optional()? else {
                return Ok(None);
            };
            let mut assign = transaction.prepare_cached(
                "UPDATE instances SET version = ?2 WHERE study_instance_uid = ?1 AND version IS NULL",
            )?;
            assign.execute(params![study_instance_uid, version])?;
            Ok(Some(version))
        })
    }

    /// Closed versions for which nothing was decided yet, the oldest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn complete(&self) -> Result<Vec<(String, u32)>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT study_instance_uid, version FROM studies WHERE state = 'complete'
                 ORDER BY changed_s, study_instance_uid",
            )?;
            let studies = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(studies.collect::<Result<_, _>>()?)
        })
    }

    /// Decides that nothing is run on a version; false where it is not the closed one any more.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn keep(&self, study_instance_uid: &str, version: u32, now_s: i64) -> Result<bool, Error> {
        self.write(|transaction| {
            let mut keep = transaction.prepare_cached(
                "UPDATE studies SET state = 'kept', changed_s = ?3
                 WHERE study_instance_uid = ?1 AND version = ?2 AND state = 'complete'",
            )?;
            Ok(keep.execute(params![study_instance_uid, version, now_s])? == 1)
        })
    }

    /// What rules ask of a study.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn facts(&self, study_instance_uid: &str) -> Result<StudyFacts, Error> {
        self.read(|connection| {
            let mut select = connection
                .prepare_cached("SELECT description FROM studies WHERE study_instance_uid = ?1")?;
            let description = select.query_row([study_instance_uid], |row| row.get(0));
            let mut select = connection.prepare_cached(
                "SELECT DISTINCT sender FROM instances
                 WHERE study_instance_uid = ?1 AND sender IS NOT NULL ORDER BY sender",
            )?;
            let senders = select.query_map([study_instance_uid], |row| row.get(0))?;
            Ok(StudyFacts {
                description: description.optional()?.flatten(),
                senders: senders.collect::<Result<_, _>>()?,
                series: series(connection, study_instance_uid)?,
                is_prior: priors::is_prior(connection, study_instance_uid)?,
            })
        })
    }

    /// State and version of a study; none for one that is not here.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn study(&self, study_instance_uid: &str) -> Result<Option<(StudyState, u32)>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT state, version FROM studies WHERE study_instance_uid = ?1",
            )?;
            let study = select.query_row([study_instance_uid], |row| {
                let state: String = row.get(0)?;
                Ok((StudyState::from_text(&state), row.get(1)?))
            });
            Ok(study.optional()?)
        })
    }

    /// Keyed hash of the Patient ID (0010,0020) of a study.
    pub(in crate::node) fn patient(
        &self,
        study_instance_uid: &str,
    ) -> Result<Option<String>, Error> {
        self.read(|connection| {
            let mut select = connection
                .prepare_cached("SELECT patient FROM studies WHERE study_instance_uid = ?1")?;
            let patient = select.query_row([study_instance_uid], |row| row.get(0));
            Ok(patient.optional()?.flatten())
        })
    }
}

fn series(connection: &Connection, study: &str) -> Result<Vec<SeriesFacts>, Error> {
    let mut select = connection.prepare_cached(
        "SELECT modality, body_part, description, slice_thickness_mm FROM series
         WHERE study_instance_uid = ?1 ORDER BY series_instance_uid",
    )?;
    let series = select.query_map([study], |row| {
        Ok(SeriesFacts {
            modality: row.get(0)?,
            body_part: row.get(1)?,
            description: row.get(2)?,
            slice_thickness_mm: row.get(3)?,
        })
    })?;
    Ok(series.collect::<Result<_, _>>()?)
}
