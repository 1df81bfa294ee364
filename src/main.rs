//! The `hilum` executable: parses the command line, runs it, leaves with its exit code.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = hilum::cli::Cli::parse();
    hilum::cli::leave(|| cli.run())
}
