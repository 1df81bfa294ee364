//! Where studies are on their way, for people.

use super::{Error, Store};
use rusqlite::params;

/// Where a study is on its way.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StudyStatus {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// `receiving`, `complete`, `kept`, or the state of its job: `waiting`, `running`, `done`, `dead`.
    pub state: String,
    /// Sets of its instances that were closed.
    pub version: u32,
    /// Instances that are here.
    pub instances: u32,
    /// Attempts of its job.
    pub attempts: u32,
    /// Why the last attempt failed, by code.
    pub reason: Option<String>,
    /// When its state changed, seconds since 1970.
    pub changed_s: i64,
}

impl Store {
    /// The studies whose state changed last, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn recent(&self, limit: u32) -> Result<Vec<StudyStatus>, Error> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT s.study_instance_uid, iif(s.state = 'queued', coalesce(j.state, s.state), s.state), s.version,
                 (SELECT count(*) FROM instances i WHERE i.study_instance_uid = s.study_instance_uid),
                 coalesce(j.attempts, 0), j.reason_code, max(changed_s, coalesce(j.ended_s, j.started_s, 0)) AS at_s
                 FROM studies s LEFT JOIN jobs j
                 ON j.study_instance_uid = s.study_instance_uid AND j.version = s.version
                 ORDER BY at_s DESC, s.study_instance_uid LIMIT ?1",
            )?;
            let studies = select.query_map(params![limit], |row| {
                Ok(StudyStatus {
                    study_instance_uid: row.get(0)?,
                    state: row.get(1)?,
                    version: row.get(2)?,
                    instances: row.get(3)?,
                    attempts: row.get(4)?,
                    reason: row.get(5)?,
                    changed_s: row.get(6)?,
                })
            })?;
            Ok(studies.collect::<Result<_, _>>()?)
        })
    }
}
