//! `hilum audit show`: one line an event, for people.

use super::{Filter, NodeDir, exit_code, open_to_read};
use crate::audit::Record;
use std::io::{self, Write};
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  hilum audit show --dir /var/lib/hilum --study 1.2.840.113619.2.1
  hilum audit show --config hilum.toml --kind job-failed --kind dead-letter --since 2026-11-22

Exit codes: 0 the log is whole, 1 it is broken: see stderr; others as for every verb (hilum --help).";

/// Prints the decision log, one line an event: time, number, kind, and what happened.
///
/// That it was read is recorded in it. The whole log is checked first.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    dir: NodeDir,
    #[command(flatten)]
    filter: Filter,
    /// Print the records as they stand in the log, one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let dir = args.dir.path()?;
    let (snapshot, whole) = open_to_read(&dir, "show")?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for record in snapshot.records().map_err(crate::Error::from)? {
        let record = record.map_err(crate::Error::from)?;
        if !args.filter.takes(&record) {
            continue;
        }
        let line = if args.json {
            record.line
        } else {
            in_words(&record)
        };
        match writeln!(out, "{line}") {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(exit_code(whole)),
            written => written?,
        }
    }
    out.flush()?;
    Ok(exit_code(whole))
}

/// Without control characters: a peer chooses its AE title, and this goes to a terminal.
fn in_words(record: &Record) -> String {
    let event = record.event();
    let event = event.map_or_else(|| record.event.to_string(), |event| event.to_string());
    let (time, seq, kind) = (&record.time, record.seq, record.kind());
    let line = format!("{time}  {seq:>6}  {kind:<21} {event}");
    line.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
