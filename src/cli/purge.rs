//! `hilum purge`: removes all that a node keeps of a study.

use crate::Error;
use crate::audit::Log;
use crate::config::Config;
use crate::node::{self, Store};
use anyhow::bail;
use std::path::PathBuf;
use std::process::ExitCode;

/// Removes the instances, results and database rows of a study from a node that is stopped.
///
/// The decision log keeps its UIDs and hashes, and says that the study was removed. What was delivered stays where it is.
#[derive(Debug, clap::Args)]
pub(super) struct PurgeArgs {
    /// Study Instance UID.
    #[arg(value_name = "STUDY")]
    study: String,
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[expect(clippy::print_stdout, reason = "results go to stdout")]
pub(super) fn run(args: &PurgeArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(&args.config)?.node;
    let of_node = |error| Error::from(node::Error::from(error));
    let store = Store::open(&config.dir, &config.retry).map_err(of_node)?;
    let log = Log::open(&config.dir).map_err(Error::from)?;
    let Some(removed) = store.purge(&args.study).map_err(of_node)? else {
        bail!("the node has no such study (study {})", args.study);
    };
    log.record(&node::purged(&removed, "asked-for"))
        .map_err(Error::from)?;
    println!(
        "removed {} instance(s), {} bytes, and {} file(s) of results",
        removed.instances, removed.bytes, removed.outputs
    );
    Ok(ExitCode::SUCCESS)
}
