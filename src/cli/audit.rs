//! `hilum audit`: checks, shows and exports the decision log of a node, and runs a decision again.

mod export;
mod replay;
mod show;
mod verify;

use crate::Error;
use crate::audit::{Event, Log, Record, Snapshot, verify as check};
use crate::config::{Config, NodeConfig};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Checks, shows and exports the decision log of a node, and runs a decision again (docs/audit.md).
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AuditCommand {
    Verify(verify::VerifyArgs),
    Show(show::ShowArgs),
    Export(export::ExportArgs),
    Replay(replay::ReplayArgs),
}

pub(super) fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        AuditCommand::Verify(args) => verify::run(args),
        AuditCommand::Show(args) => show::run(args),
        AuditCommand::Export(args) => export::run(args),
        AuditCommand::Replay(args) => replay::run(args),
    }
}

// No doc comment: it would become the description of every verb that has this option.
#[derive(Debug, clap::Args)]
struct NodeDir {
    /// The node's folder, which holds audit.jsonl, audit.head and key; else node.dir of --config.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Read the configuration from this TOML file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl NodeDir {
    fn path(&self) -> Result<PathBuf, Error> {
        Ok(match (&self.dir, &self.config) {
            (Some(dir), _) => dir.clone(),
            (None, Some(config)) => Config::load(config)?.node.dir,
            (None, None) => NodeConfig::default().dir,
        })
    }
}

// As above.
#[derive(Debug, clap::Args)]
struct Filter {
    /// Events of this study alone.
    #[arg(long, value_name = "UID")]
    study: Option<String>,
    /// Events of this kind alone, such as job-done; may be given several times.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Events of this time or later: RFC 3339, or a date, which is its midnight in UTC.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Events before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<DateTime<Utc>>,
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        let study = self.study.as_deref();
        let at = record.at();
        study.is_none_or(|uid| record.study_instance_uid() == Some(uid))
            && (self.kind.is_empty() || self.kind.iter().any(|kind| kind == record.kind()))
            && self
                .since
                .is_none_or(|since| at.is_some_and(|at| at >= since))
            && self
                .until
                .is_none_or(|until| at.is_some_and(|at| at < until))
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let date = || {
        Some(
            text.parse::<NaiveDate>()
                .ok()?
                .and_time(NaiveTime::MIN)
                .and_utc(),
        )
    };
    let time = DateTime::parse_from_rfc3339(text).ok();
    let time = time.map(|time| time.to_utc()).or_else(date);
    time.ok_or_else(|| "a time such as 2026-11-22T20:00:00Z or a date is needed".into())
}

/// A log and whether it is whole; a break is told.
fn checked(dir: &Path) -> Result<(Snapshot, bool), Error> {
    let snapshot = Snapshot::take(dir)?;
    let broken = check(&snapshot)?.broken;
    if let Some(finding) = &broken {
        tell(&format!("the log is broken: {}", verify::sentence(finding)));
        tell("behind that nothing is proven");
    }
    Ok((snapshot, broken.is_none()))
}

/// A log that is read by a person, with a note in it of who that is, and whether it is whole.
fn open_to_read(dir: &Path, action: &str) -> Result<(Snapshot, bool), Error> {
    let (snapshot, whole) = checked(dir)?;
    let used = Event::LogUsed {
        action: action.into(),
        user: user(),
    };
    if let Err(error) = Log::open(dir).and_then(|log| log.record(&used)) {
        tell(&format!("this use could not be recorded: {error}"));
    }
    Ok((snapshot, whole))
}

/// Login name, as the environment says.
fn user() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"];
    let name = names.iter().find_map(|name| std::env::var(name).ok());
    name.unwrap_or_else(|| "unknown".into())
}

#[expect(
    clippy::print_stderr,
    reason = "what a person should know beside the result"
)]
fn tell(sentence: &str) {
    eprintln!("hilum: {sentence}");
}

fn exit_code(whole: bool) -> ExitCode {
    ExitCode::from(u8::from(!whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_a_date() {
        let read = |text| time(text).map(|time| time.to_rfc3339());
        assert_eq!(read("2026-11-22").unwrap(), "2026-11-22T00:00:00+00:00");
        assert_eq!(
            read("2026-11-22T21:00:00+01:00").unwrap(),
            "2026-11-22T20:00:00+00:00"
        );
        assert!(read("yesterday").is_err());
    }
}
