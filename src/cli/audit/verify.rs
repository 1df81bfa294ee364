//! `hilum audit verify`: is the log the one that was written?

use super::{NodeDir, exit_code};
use crate::audit::{Finding, LOG, Snapshot, Verdict, verify};
use serde_json::json;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  hilum audit verify --config hilum.toml
  hilum audit verify --dir /var/lib/hilum --json

JSON: records, unsigned, torn_bytes, and broken {line, code, text} or null.

Exit codes: 0 whole, 1 broken; others as for every verb (hilum --help).";

/// Checks every line of the decision log, and its end against the signed head; tells the first break and its kind.
///
/// The key is needed, hence the node's own account or root. The node may run meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    dir: NodeDir,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
}

#[expect(clippy::print_stdout, reason = "results go to stdout")]
pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let dir = args.dir.path()?;
    let snapshot = Snapshot::take(&dir).map_err(crate::Error::from)?;
    let verdict = verify(&snapshot).map_err(crate::Error::from)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&as_json(&verdict))?);
    } else {
        println!("{}: {}", dir.join(LOG).display(), in_words(&verdict));
    }
    Ok(exit_code(verdict.broken.is_none()))
}

fn as_json(verdict: &Verdict) -> serde_json::Value {
    let broken = |finding: &Finding| json!({ "line": finding.line, "code": finding.found.code(), "text": sentence(finding) });
    json!({
        "records": verdict.records,
        "unsigned": verdict.unsigned,
        "torn_bytes": verdict.torn_bytes,
        "broken": verdict.broken.as_ref().map(broken),
    })
}

fn in_words(verdict: &Verdict) -> String {
    let Verdict {
        records,
        unsigned,
        torn_bytes,
        broken,
    } = verdict;
    match broken {
        Some(finding) => format!("broken after {records} record(s): {}", sentence(finding)),
        None if unsigned + torn_bytes == 0 => format!("whole, {records} record(s)"),
        None => format!(
            "whole, {records} record(s); as a crash leaves it, {unsigned} of them unsigned and {torn_bytes} bytes unfinished"
        ),
    }
}

/// A break with its place.
pub(super) fn sentence(finding: &Finding) -> String {
    let Finding { line, found } = finding;
    let place = line.map_or_else(|| "the log".into(), |line| format!("line {line}"));
    format!("[{}] {place} {found}", found.code())
}
