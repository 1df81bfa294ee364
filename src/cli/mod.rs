//! The command line: one file a verb.

mod audit;
mod bench;
mod deidentify;
mod devices;
mod doctor;
mod evaluate;
mod interrupt;
mod model;
pub mod phantom;
mod process;
mod purge;
mod retry;
mod serve;
mod suv;
mod volumes;

use crate::config::{AlsoFormat, DeviceKind, Instructions, MatrixUnits, Precision};
use crate::suv::Policy;
use crate::{Class, Error};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

const AFTER_HELP: &str = "\
Examples:
  hilum devices                                 what this machine can compute on
  hilum phantom --preset demo --out phantom     a synthetic chest CT to try the program with
  hilum process phantom/series --out results    find lesions and write SR, SEG and findings.json

Exit codes:
  0    everything was done
  1    done, but some file, series or study failed: see stderr and findings.json
  2    the command line, the configuration or a model is wrong
  3    the environment failed: disk, permissions, GPU
  4    a defect of this program
  130  interrupted; what was written is whole";

/// Finds lung-nodule candidates in CT series and reports them as coded DICOM SR and SEG.
///
/// For research use. Not a medical device: every result is unverified and needs a physician's review.
#[derive(Debug, Parser)]
#[command(name = "hilum", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log to stderr what is done; twice for debugging. The variable HILUM_LOG, such as `hilum=debug`, says it finer.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 1000)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Process(process::ProcessArgs),
    Devices(devices::DevicesArgs),
    Phantom(phantom::PhantomArgs),
    Bench(bench::BenchArgs),
    Deidentify(deidentify::DeidentifyArgs),
    Model(model::ModelArgs),
    Evaluate(evaluate::EvaluateArgs),
    Suv(suv::SuvArgs),
    Serve(serve::ServeArgs),
    Doctor(doctor::DoctorArgs),
    Retry(retry::RetryArgs),
    Purge(purge::PurgeArgs),
    Audit(audit::AuditArgs),
}

impl Cli {
    /// Runs the verb and returns the exit code.
    ///
    /// # Errors
    /// What ended the command as a whole; [`leave`] tells it.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        // Nobody looks at a node until something is wrong: what it did must stand somewhere.
        let is_service = matches!(self.command, Command::Serve(_));
        start_log(self.verbose.max(u8::from(is_service)));
        match &self.command {
            Command::Process(args) => process::run(args),
            Command::Devices(args) => devices::run(args),
            Command::Phantom(args) => phantom::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Deidentify(args) => deidentify::run(args),
            Command::Model(args) => model::run(args),
            Command::Evaluate(args) => evaluate::run(args),
            Command::Suv(args) => suv::run(args),
            Command::Serve(args) => serve::run(args),
            Command::Doctor(args) => doctor::run(args),
            Command::Retry(args) => retry::run(args),
            Command::Purge(args) => purge::run(args),
            Command::Audit(args) => audit::run(args),
        }
    }
}

/// Runs a command, tells the error that ended it, and says how to leave.
///
/// A panic is told by its place and never by its text, which may repeat a patient's data.
#[expect(
    clippy::print_stderr,
    reason = "an error that ends the program is told to the person who started it"
)]
pub fn leave(command: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panicked");
    }));
    match std::panic::catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("hilum: {}", message(&error));
            exit_code(&error)
        }
        Err(_) => {
            eprintln!(
                "hilum: a defect of this program ended it: please report the place that `-v` shows"
            );
            ExitCode::from(DEFECT)
        }
    }
}

/// An error that ended a command in one line, with its code where it has one.
fn message(error: &anyhow::Error) -> String {
    let code = error.downcast_ref::<Error>().map(Error::code);
    let code = code.map(|code| format!("[{code}] ")).unwrap_or_default();
    format!("{code}{error:#}")
}

/// Exit code of a defect.
const DEFECT: u8 = 4;

/// The exit code of an error that ended a command.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let of_class = |class| match class {
        Class::Input | Class::Unsupported | Class::Limits => 1,
        Class::Config => 2,
        Class::Environment => 3,
        Class::Internal => DEFECT,
    };
    let code = match error.downcast_ref::<Error>() {
        Some(error) => of_class(error.class()),
        None if error.is::<crate::config::Error>() => 2,
        None if error.chain().any(|cause| cause.is::<std::io::Error>()) => 3,
        None => 2,
    };
    ExitCode::from(code)
}

/// `--device`, by the names that the configuration file has.
fn device_kind() -> impl TypedValueParser<Value = DeviceKind> {
    PossibleValuesParser::new(["auto", "gpu", "cpu"])
        .try_map(|name| serde_json::from_value::<DeviceKind>(name.into()))
}

/// `--instructions`, likewise.
fn instructions() -> impl TypedValueParser<Value = Instructions> {
    PossibleValuesParser::new(["auto", "avx-512", "avx2", "neon", "portable"])
        .try_map(|name| serde_json::from_value::<Instructions>(name.into()))
}

/// `--precision`, likewise.
fn precision() -> impl TypedValueParser<Value = Precision> {
    PossibleValuesParser::new(["f32", "f16"])
        .try_map(|name| serde_json::from_value::<Precision>(name.into()))
}

/// `--matrices`, likewise.
fn matrices() -> impl TypedValueParser<Value = MatrixUnits> {
    PossibleValuesParser::new(["auto", "off"])
        .try_map(|name| serde_json::from_value::<MatrixUnits>(name.into()))
}

/// `--also`, likewise.
fn also_format() -> impl TypedValueParser<Value = AlsoFormat> {
    PossibleValuesParser::new(["nifti"])
        .try_map(|name| serde_json::from_value::<AlsoFormat>(name.into()))
}

/// `--policy`, by the names that JSON has.
fn policy() -> impl TypedValueParser<Value = Policy> {
    PossibleValuesParser::new(["strict", "lenient"])
        .try_map(|name| serde_json::from_value::<Policy>(name.into()))
}

/// Crates whose finest levels repeat requests, which hold a bearer token and may ask for a patient by id.
const HTTP_CLIENT: [&str; 2] = ["ureq", "ureq_proto"];

/// What may be logged of what `HILUM_LOG` asks for.
fn without_requests(levels: &str) -> String {
    let of_client = |level: &&str| HTTP_CLIENT.iter().any(|name| level.contains(name));
    let kept: Vec<&str> = levels.split(',').filter(|l| !of_client(l)).collect();
    kept.join(",")
}

/// Logs go to stderr; `HILUM_LOG` overrides what is logged.
fn start_log(verbose: u8) {
    let default = match verbose {
        0 => "off",
        1 => "error,hilum=info",
        _ => "info,hilum=debug",
    };
    let asked = std::env::var("HILUM_LOG").ok();
    let filter = asked.and_then(|levels| EnvFilter::try_new(without_requests(&levels)).ok());
    let mut filter = filter.unwrap_or_else(|| default.into());
    for client in HTTP_CLIENT {
        let silenced = format!("{client}=info");
        filter = filter.add_directive(silenced.parse().expect("it is a directive"));
    }
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .with_writer(std::io::stderr);
    log.init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_level_makes_the_http_client_log_requests() {
        let levels = "trace,ureq=trace, ureq::run[span]=trace,ureq_proto::util,hilum=debug";
        assert_eq!(without_requests(levels), "trace,hilum=debug");
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_panic_leaves_with_the_code_of_a_defect() {
        // The hook of `leave` would hide why other tests of this process fail.
        let hook = std::panic::take_hook();
        assert_eq!(leave(|| panic!("DOE^JANE")), ExitCode::from(4));
        assert_eq!(leave(|| Ok(ExitCode::from(130))), ExitCode::from(130));
        assert_eq!(leave(|| anyhow::bail!("wrong option")), ExitCode::from(2));
        std::panic::set_hook(hook);
    }
}
