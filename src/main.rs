//! The `hilum` executable.

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
enum Command {
    Phantom(hilum::cli::phantom::PhantomArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    match Command::parse() {
        Command::Phantom(args) => hilum::cli::phantom::run(&args),
    }
}
