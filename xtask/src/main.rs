//! The project's own commands: `cargo xtask --help` lists them.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match xtask::commands::Arguments::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
