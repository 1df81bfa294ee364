//! The `hilum` executable: parses the command line, runs it, leaves with its exit code.
#![expect(
    clippy::print_stderr,
    reason = "an error that ends the program is told to the person who started it"
)]

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = hilum::cli::Cli::parse();
    cli.run().unwrap_or_else(|error| {
        eprintln!("hilum: {}", hilum::cli::message(&error));
        hilum::cli::exit_code(&error)
    })
}
