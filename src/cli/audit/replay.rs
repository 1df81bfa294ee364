//! `hilum audit replay`: runs a logged decision again and compares the bits.

use super::{NodeDir, checked, exit_code, tell, user};
use crate::audit::{Event, Input, Log, Output, Snapshot, Study};
use crate::batch::{self, Batch, StudyResult};
use crate::cli::interrupt;
use crate::config::Config;
use crate::dicom::read_paths;
use crate::pipeline::Pipeline;
use crate::report::Superseded;
use crate::uid;
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Example:
  hilum audit replay 1.2.840.113619.2.1 --config hilum.toml

Exit codes: 0 equal to the bit, 1 something differs; others as for every verb (hilum --help).";

/// Computes a study again, with the logged configuration on the stored instances, and compares all files with their hashes.
///
/// Instances that are gone or changed since are told, and nothing is computed then. What comes out is compared and removed;
/// the stored results stay as they are. The device has to be of the same kind: another one rounds otherwise, and another
/// version of the program, another model or another device give every output another UID.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReplayArgs {
    /// Study Instance UID.
    #[arg(value_name = "STUDY")]
    study: String,
    /// Run this version of the study; the last one that was computed where it is not given.
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,
    #[command(flatten)]
    dir: NodeDir,
}

#[expect(clippy::print_stdout, reason = "results go to stdout")]
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let dir = args.dir.path()?;
    let (snapshot, whole) = checked(&dir)?;
    ensure!(whole, "a broken log does not say what was decided");
    let decision = Decision::find(&snapshot, &args.study, args.version)?;
    let files = decision.stored(&dir)?;
    // What comes out holds the patient's data: it stays in the node's folder while it is compared.
    let scratch = tempfile::Builder::new()
        .prefix(".replay-")
        .tempdir_in(&dir)?;
    let outputs = decision.run(&files, scratch.path())?;
    let differing = differing(&decision.outputs, &outputs);
    let replayed = Event::Replayed {
        study: decision.study.clone(),
        differing: differing.clone(),
        user: user(),
    };
    let recorded = Log::open(&dir).and_then(|log| log.record(&replayed));
    recorded.map_err(crate::Error::from)?;
    match differing.is_empty() {
        true => println!(
            "{}: {} file(s) are equal to the bit",
            decision.study,
            outputs.len()
        ),
        false => println!("{}: these differ: {}", decision.study, differing.join(", ")),
    }
    Ok(exit_code(differing.is_empty()))
}

/// A computed study, as the log has it.
struct Decision {
    study: Study,
    run_id: String,
    config: Value,
    supersedes: Option<Superseded>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

impl Decision {
    /// The last one of the study, or of one version of it.
    fn find(snapshot: &Snapshot, uid: &str, version: Option<u32>) -> anyhow::Result<Self> {
        let wanted = |study: &Study| {
            study.study_instance_uid == uid
                && version.is_none_or(|version| version == study.version)
        };
        let (mut inputs, mut found) = (BTreeMap::new(), None);
        for record in snapshot.records().map_err(crate::Error::from)? {
            match record.map_err(crate::Error::from)?.event() {
                Some(Event::JobStarted {
                    study,
                    inputs: of_job,
                    ..
                }) if wanted(&study) => {
                    inputs.insert(study.version, of_job);
                }
                Some(Event::JobDone {
                    study,
                    run_id,
                    config,
                    supersedes,
                    outputs,
                    ..
                }) if wanted(&study) => {
                    let inputs = inputs.get(&study.version).cloned();
                    found = Some(Self {
                        study,
                        run_id,
                        config,
                        supersedes,
                        inputs: inputs.unwrap_or_default(),
                        outputs,
                    });
                }
                _ => {}
            }
        }
        found.with_context(|| format!("the log has no such decision (study {uid})"))
    }

    /// The files of its inputs, which are those that were computed on.
    fn stored(&self, dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let study = &self.study.study_instance_uid;
        let folder = dir.join("instances").join(study);
        let mut files = Vec::new();
        for Input {
            sop_instance_uid,
            sha256: sha256_logged,
        } in &self.inputs
        {
            ensure!(
                uid::is_valid(study) && uid::is_valid(sop_instance_uid),
                "no valid UID in the log"
            );
            let file = folder.join(format!("{sop_instance_uid}.dcm"));
            let found = sha256(&file).with_context(|| {
                format!("an instance is not stored any more ({sop_instance_uid})")
            })?;
            ensure!(
                found == *sha256_logged,
                "an instance was changed since it was computed on ({sop_instance_uid})"
            );
            files.push(file);
        }
        ensure!(!files.is_empty(), "the log has no inputs of it");
        Ok(files)
    }

    /// Computes again; returns what was written below `out`.
    fn run(&self, files: &[PathBuf], out: &Path) -> anyhow::Result<Vec<Output>> {
        let config: Config = serde_json::from_value(self.config.clone())
            .context("the logged configuration is not one of this version of the program")?;
        let cancel = interrupt::flag()?;
        let inventory = read_paths(files, &|_| ());
        let pipeline = Pipeline::new(&config)?;
        let batch = Batch {
            config: &config,
            volume_files: &BTreeMap::new(),
            out_dir: out,
            overwrite: false,
            supersedes: self.supersedes.as_ref(),
            cancel: &cancel,
            progress: &|_| (),
        };
        let results = batch::run(&batch, &pipeline, &inventory.studies);
        let dir = out.join(&self.study.study_instance_uid);
        if !dir.is_dir() {
            let why: Vec<String> = results.iter().flat_map(StudyResult::failures).collect();
            bail!("the study could not be computed again: {}", why.join("; "));
        }
        if run_id(&dir)? != self.run_id {
            tell("program, device, model or parameters are not those of the log: run_id differs");
        }
        Ok(Output::of_folder(&dir)?)
    }
}

/// SHA-256 of a file, hexadecimal.
fn sha256(file: &Path) -> io::Result<String> {
    let mut file = File::open(file)?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block)? {
            0 => {
                return Ok(hash
                    .finalize()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect());
            }
            bytes => hash.update(&block[..bytes]),
        }
    }
}

/// `provenance.run_id` of `findings.json`.
fn run_id(dir: &Path) -> anyhow::Result<String> {
    let findings: Value = serde_json::from_slice(&fs::read(dir.join("findings.json"))?)?;
    let run_id = findings["provenance"]["run_id"].as_str();
    Ok(run_id.unwrap_or_default().into())
}

/// Names of files that are not the same in both, or in one alone.
fn differing(logged: &[Output], found: &[Output]) -> Vec<String> {
    let [logged, found] = [logged, found].map(|outputs| outputs.iter().collect::<BTreeSet<_>>());
    let names = logged
        .symmetric_difference(&found)
        .map(|output| output.name.clone());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_further_file_differ() {
        let outputs = |files: &[(&str, &str)]| -> Vec<Output> {
            let output = |(name, text): &(&str, &str)| Output::of(name, text.as_bytes());
            files.iter().map(output).collect()
        };
        let logged = outputs(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert!(differing(&logged, &logged).is_empty());
        let found = outputs(&[("a", "1"), ("b", "other"), ("d", "4")]);
        assert_eq!(differing(&logged, &found), ["b", "c", "d"]);
    }
}
