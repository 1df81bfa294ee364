//! `hilum audit export`: the log as DICOM audit messages or as its own lines, to a file.

use super::{Filter, NodeDir, exit_code, open_to_read};
use crate::audit::{Event, Record, Source, message};
use crate::config::NodeConfig;
use anyhow::Context;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::NamedTempFile;

const AFTER_HELP: &str = "\
Examples:
  hilum audit export --dir /var/lib/hilum --out audit.xml
  hilum audit export --config hilum.toml --format jsonl --since 2026-11-01 --until 2026-12-01 --out november.jsonl

Exit codes: 0 the log is whole, 1 it is broken: see stderr; others as for every verb (hilum --help).";

/// Writes the decision log to a new file, which its owner alone may read.
///
/// As DICOM audit messages (PS3.15 A.5), one XML document a line, or as JSON lines with their hashes. That it was read is
/// recorded in it. The whole log is checked first.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    dir: NodeDir,
    #[command(flatten)]
    filter: Filter,
    /// What to write: audit messages as XML, or the log's own lines.
    #[arg(long, value_enum, default_value = "dicom")]
    format: Format,
    /// Write to this file, which must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Dicom,
    Jsonl,
}

#[expect(clippy::print_stdout, reason = "results go to stdout")]
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let out = &args.out;
    anyhow::ensure!(!out.exists(), "{} exists; name a new file", out.display());
    let (snapshot, whole) = open_to_read(&args.dir.path()?, "export")?;
    let mut written = 0_u64;
    // Whoever was started last is the one whose events follow.
    let mut source = Source {
        ae_title: NodeConfig::default().dicom.ae_title,
        host: None,
    };
    let mut file = BufWriter::new(NamedTempFile::new_in(folder(out)).with_context(|| at(out))?);
    for record in snapshot.records().map_err(crate::Error::from)? {
        let record = record.map_err(crate::Error::from)?;
        if let Some(Event::Started { ae_title, .. }) = record.event() {
            source.ae_title = ae_title;
        }
        if args.filter.takes(&record)
            && let Some(line) = line(args.format, record, &source)
        {
            writeln!(file, "{line}").with_context(|| at(out))?;
            written += 1;
        }
    }
    let file = file
        .into_inner()
        .map_err(|error| error.into_error())
        .with_context(|| at(out))?;
    file.as_file().sync_all().with_context(|| at(out))?;
    file.persist_noclobber(out)
        .map_err(|error| error.error)
        .with_context(|| at(out))?;
    println!("{}: {written} line(s)", out.display());
    Ok(exit_code(whole))
}

/// What of a record is written; some make no audit message.
fn line(format: Format, record: Record, source: &Source) -> Option<String> {
    match format {
        Format::Dicom => Some(message(&record, source)?.xml),
        Format::Jsonl => Some(record.line),
    }
}

fn folder(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn at(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
