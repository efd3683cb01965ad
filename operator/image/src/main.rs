//! The one program of the image. It is the controller or the worker by the name that it is called by, or else by its first argument:
//! most of what they are made of is the same, and so each node pulls it once.

// Not where a compiler that does not optimise would copy by a call of the function itself.
#[cfg(all(target_arch = "x86_64", target_env = "musl", not(debug_assertions)))]
mod memory;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;

// musl's own allocator serialises threads and gives little back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code of a wrong command line.
const USAGE: u8 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Controller,
    Worker,
}

impl Program {
    /// By the last part of a path.
    fn by_name(name: &OsString) -> Option<Self> {
        match Path::new(name).file_name()?.to_str()? {
            "backflow-controller" => Some(Self::Controller),
            "backflow-worker" => Some(Self::Worker),
            _ => None,
        }
    }

    /// What a command line asks for, and the command line that it gets.
    fn of(mut line: Vec<OsString>) -> Option<(Self, Vec<OsString>)> {
        if let Some(program) = line.first().and_then(Self::by_name) {
            return Some((program, line));
        }
        let program = line.get(1).and_then(Self::by_name)?;
        line.remove(0);
        Some((program, line))
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let Some((program, line)) = Program::of(std::env::args_os().collect()) else {
        eprintln!("usage: backflow-operator backflow-controller|backflow-worker [OPTIONS]");
        return Ok(ExitCode::from(USAGE));
    };
    // Before anything can open a connection: two providers may be compiled in, and rustls does not choose.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        bail!("there is a provider for TLS already");
    }
    match program {
        Program::Controller => backflow_controller::main(line),
        Program::Worker => backflow_worker::pod::main(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &[&str]) -> Option<(Program, Vec<String>)> {
        let (program, line) = Program::of(line.iter().map(OsString::from).collect())?;
        Some((program, line.into_iter().map(|part| part.into_string().unwrap()).collect()))
    }

    #[test]
    fn it_is_what_it_is_called() {
        let line = |parts: &[&str]| parts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            of(&["/backflow-worker", "--plan", "p"]),
            Some((Program::Worker, line(&["/backflow-worker", "--plan", "p"])))
        );
        assert_eq!(of(&["/backflow-controller"]), Some((Program::Controller, line(&["/backflow-controller"]))));
        let named = ["/bin/backflow-operator", "backflow-worker", "--version"];
        assert_eq!(of(&named), Some((Program::Worker, line(&["backflow-worker", "--version"]))));
        for nobody in
            [&[][..], &["backflow-operator"], &["backflow-operator", "worker"], &["backflow-operator", "--help"]]
        {
            assert_eq!(of(nobody), None, "{nobody:?}");
        }
    }
}
