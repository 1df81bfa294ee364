//! What a study's report is made of, when its runs have ended.

use super::{Finished, Work};
use crate::report::{LeftOutSeries, Reason, Status, StudyReport, no_header};
use crate::uid::UidSource;
use crate::{Class, Error};

impl<'a> Work<'a> {
    pub(super) fn report(&self, finished: Finished<'a>) -> Result<StudyReport<'a>, Error> {
        let study = &self.studies[finished.study];
        let provenance = self.plans[finished.study].provenance.clone();
        let outputs = self.batch.outputs(study);
        let left_out = study.left_out.iter().map(|l| LeftOutSeries {
            series_instance_uid: l.series_instance_uid.clone(),
            modality: l.modality.clone(),
            status: match l.error.class() {
                Class::Unsupported => Status::Skipped,
                _ => Status::Failed,
            },
            reason: Reason {
                code: l.error.code().into(),
                text: l.error.to_string(),
                class: l.error.class(),
            },
        });
        let mut report = StudyReport {
            study_instance_uid: study.study_instance_uid.clone(),
            source_header: if outputs.dicom {
                study.header()?
            } else {
                no_header()
            },
            outputs,
            supersedes: self.batch.supersedes.cloned(),
            runs: finished.runs,
            left_out: left_out.collect(),
            warnings: self.planner.warnings().to_vec(),
            timings_ms: finished.timings_ms,
            uid_source: UidSource::new([]),
            provenance,
        };
        report.uid_source = uid_source(&report);
        Ok(report)
    }
}

/// Output UIDs depend on the run and on what may differ between two tries of it: how each series ended, and warnings.
fn uid_source(report: &StudyReport<'_>) -> UidSource {
    let mut parts = vec![report.provenance.run_id.clone()];
    let superseded = report.supersedes.iter();
    parts.extend(superseded.map(|earlier| format!("supersedes {}", earlier.sop_instance_uid)));
    for run in &report.runs {
        parts.push(format!(
            "{} {:?} {:?}",
            run.series.uid(),
            run.status,
            run.reason
        ));
        let warnings = run.series.warnings.iter().chain(&run.warnings);
        parts.extend(warnings.map(|warning| format!("{}: {warning}", warning.code())));
    }
    UidSource::new(parts.iter().map(String::as_str))
}
