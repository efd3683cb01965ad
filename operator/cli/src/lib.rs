//! The backflow command: run, validate, preview and test manifests without a cluster, and authorize Destinations.
//!
//! Manifests are read and checked here (`validate`), turned into plans by `backflow_plan`, and executed by `backflow_worker`: the
//! same code that runs in a cluster.

mod args;
mod authorize;
mod console;
mod discover;
mod files;
mod local;
mod manifests;
mod preview;
mod problem;
mod run;
mod secrets;
mod select;
mod state;
mod test;
mod validate;

use std::ffi::OsString;
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Cli, Command, Output};
use console::Console;

/// Exit codes of the command.
pub mod exit {
    /// All is well.
    pub const OK: u8 = 0;
    /// Something failed.
    pub const FAILED: u8 = 1;
    /// Something was left: rejected, withheld, not acknowledged.
    pub const PARTIAL: u8 = 2;
    /// Wrong usage or manifests (`EX_USAGE` of sysexits.h).
    pub const USAGE: u8 = 64;
    /// Interrupted: 128 + SIGINT, as shells count.
    pub const INTERRUPTED: u8 = 130;
}

/// Runs the command line and returns the exit code.
pub async fn main(arguments: Vec<OsString>) -> u8 {
    let plugin = arguments
        .first()
        .and_then(|program| Path::new(program).file_name())
        .is_some_and(|name| name.to_string_lossy().starts_with("kubectl-"));
    let mut command = Cli::command();
    if plugin {
        command = command.bin_name("kubectl backflow");
    }
    let parsed = command.clone().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { exit::OK };
        }
    };
    match cli.command {
        Command::Run(args) => run::run(&args).await,
        Command::Validate(args) => validate(&args),
        Command::Preview(args) => preview::run(&args).await,
        Command::Test(args) => test::run(&args).await,
        Command::Authorize(args) => authorize::run(&args).await,
        Command::Discover(args) => discover::run(&args).await,
        Command::State { command } => state::run(&command).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut command, "backflow", &mut std::io::stdout());
            exit::OK
        }
    }
}

fn validate(args: &args::ValidateArgs) -> u8 {
    let console = Console::new(args.output == Output::Text);
    let (manifests, mut problems) = validate::load(&args.input, &secrets::Given::default());
    if manifests.resources.is_empty() && problems.is_empty() {
        let file = args.input.files.first().map(|file| file.display().to_string()).unwrap_or_default();
        problems.push(problem::Problem::of_file(&file, "NoManifests", select::nothing(&manifests)));
    }
    validate::show(&manifests, &problems, args.output, &console);
    if problems.iter().any(problem::Problem::is_error) { exit::USAGE } else { exit::OK }
}
