//! `hilum retry`: runs a study anew that a node gave up.

use crate::Error;
use crate::config::Config;
use crate::node::{self, Queue, Store};
use anyhow::bail;
use chrono::Utc;
use std::path::PathBuf;
use std::process::ExitCode;

/// Takes a study out of the dead letters of a node that is stopped; it runs, with all its attempts, when the node starts.
///
/// Without STUDY, lists the dead letters: study, version, attempts, code and reason.
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    /// Study Instance UID.
    #[arg(value_name = "STUDY")]
    study: Option<String>,
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[expect(clippy::print_stdout, reason = "results go to stdout")]
pub(super) fn run(args: &RetryArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config)?.node;
    let of_node = |error| Error::from(node::Error::from(error));
    let store = Store::open(&config.dir, &config.retry).map_err(of_node)?;
    let Some(study) = &args.study else {
        for letter in store.dead_letters().map_err(of_node)? {
            println!(
                "{} version {}, {} attempt(s) [{}] {}",
                letter.study_instance_uid,
                letter.version,
                letter.attempts,
                letter.code,
                letter.reason
            );
        }
        return Ok(ExitCode::SUCCESS);
    };
    if !store
        .retry(study, Utc::now().timestamp())
        .map_err(of_node)?
    {
        bail!("no dead letter is of this study (study {study})");
    }
    println!("it runs when the node starts");
    Ok(ExitCode::SUCCESS)
}
