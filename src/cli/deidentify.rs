//! `hilum deidentify`: images without their patient, for sharing a case.

use crate::Error;
use crate::deidentify::{self, Options, Summary};
use std::path::PathBuf;
use std::process::ExitCode;

/// Copies the CT, MR and PET images below IN to OUT without what tells whose they are.
///
/// Follows the DICOM PS3.15 Basic Application Level Confidentiality Profile: names, ids, institutions, free text, private
/// attributes, overlays and curves are removed, UIDs replaced, dates moved by a secret number of days that is the same for
/// all of a patient's. Pixels stay as they are: look at them before you share them, and mind that a head CT shows a face.
/// Other objects (reports, structure sets, screenshots) are left out and counted by code.
#[derive(Debug, clap::Args)]
pub(super) struct DeidentifyArgs {
    /// DICOM file or folder, searched to any depth.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Write OUT/<study>/<series>/<object>.dcm; OUT must be empty or not exist.
    #[arg(value_name = "OUT")]
    out: PathBuf,
    /// Remove dates and times instead of moving the dates.
    #[arg(long)]
    remove_dates: bool,
    /// Keep sex, age, size, weight, ethnic group, smoking and pregnancy status.
    #[arg(long)]
    retain_patient_characteristics: bool,
    /// Take screenshots, and images that say they hold text, too.
    #[arg(long)]
    include_burned_in: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Codes of files that nobody misses.
const EXPECTED: [&str; 2] = ["not-dicom", "dicomdir"];

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "results go to stdout, failures to stderr"
)]
pub(super) fn run(args: &DeidentifyArgs) -> anyhow::Result<ExitCode> {
    if !args.input.exists() {
        anyhow::bail!(crate::Error::from(deidentify::Error::from(
            crate::dicom::Error::Io {
                kind: std::io::ErrorKind::NotFound
            }
        )));
    }
    let options = Options {
        shift_dates: !args.remove_dates,
        retain_patient_characteristics: args.retain_patient_characteristics,
        include_burned_in: args.include_burned_in,
    };
    let summary = deidentify::run(
        std::slice::from_ref(&args.input),
        &args.out,
        options,
        &|_| {},
    )
    .map_err(Error::from)?;
    for (code, count) in &summary.left_out {
        eprintln!("left out [{code}] {count} file(s)");
    }
    let Summary {
        studies,
        series,
        objects,
        left_out,
    } = &summary;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        let studies = studies.len();
        println!("{objects} object(s) of {series} series in {studies} study(ies)");
    }
    let missed = left_out.keys().any(|code| !EXPECTED.contains(code));
    Ok(ExitCode::from(u8::from(missed || *objects == 0)))
}
