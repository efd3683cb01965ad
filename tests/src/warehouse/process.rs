//! The process of a service's fakes. It is one for all tests of a program, because to start it takes longer than most of them; but one
//! for each fake where an engine has its process for itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, anyhow, ensure};
use serde_json::Value;
use tokio::sync::oneshot;

use super::Service;
use crate::PATIENCE;

/// The Python that has what the fakes need. `cargo xtask test` sets it.
const PYTHON: &str = "BACKFLOW_FAKES_PYTHON";

/// What is asked, and where it is answered.
type Request = (Value, oneshot::Sender<anyhow::Result<Value>>);

/// A process, which ends with the last of these.
#[derive(Clone)]
pub(super) struct Host(Sender<Request>);

/// Asks the process of a service for a fake, and returns what that tells.
pub(super) async fn ask(service: Service, request: Value) -> anyhow::Result<(Value, Host)> {
    let (answer, answered) = oneshot::channel();
    let host = host(service);
    host.0.send((request, answer)).context("the fakes have ended")?;
    let answered = tokio::time::timeout(PATIENCE, answered).await.context("the fakes say nothing")?;
    Ok((answered.context("the fakes have ended")??, host))
}

fn host(service: Service) -> Host {
    static HOSTS: Mutex<Vec<(Service, Host)>> = Mutex::new(Vec::new());
    if service == Service::ClickHouse {
        return start(service);
    }
    let mut hosts = HOSTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, host)) = hosts.iter().find(|(known, _)| *known == service) {
        return host.clone();
    }
    let host = start(service);
    hosts.push((service, host.clone()));
    host
}

fn start(service: Service) -> Host {
    let (sender, requests) = mpsc::channel();
    // Not a task: it outlives the runtime of the test that came first.
    thread::spawn(move || answer(service, &requests));
    Host(sender)
}

fn answer(service: Service, requests: &Receiver<Request>) {
    let mut process = Process::start(service);
    for (request, answer) in requests {
        let told = match &mut process {
            Ok(process) => process.ask(&request),
            Err(error) => Err(anyhow!("{error:#}")),
        };
        // Whoever asked may have given up.
        drop(answer.send(told));
    }
}

struct Process {
    /// Its end ends the process, also if nothing here lives to end it.
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _child: Child,
}

impl Process {
    fn start(service: Service) -> anyhow::Result<Self> {
        let python = std::env::var_os(PYTHON).with_context(|| {
            format!("{PYTHON} names no Python: run `cargo xtask test suites`, or make one as tests/fakes/warehouses/README.md says")
        })?;
        let mut command = Command::new(PathBuf::from(python));
        command.args(["-m", "warehouses", service.name(), "--on-demand"]);
        // The clone stays as it is.
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fakes")).env("PYTHONDONTWRITEBYTECODE", "1");
        // What it says of mistakes of its own is for whoever reads the test's output.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().context("the Python of the fakes cannot be started")?;
        let stdin = child.stdin.take().context("the fakes have no stdin")?;
        let stdout = child.stdout.take().context("the fakes have no stdout")?;
        Ok(Self { stdin, stdout: BufReader::new(stdout), _child: child })
    }

    fn ask(&mut self, request: &Value) -> anyhow::Result<Value> {
        self.stdin.write_all(format!("{request}\n").as_bytes()).context("the fakes did not start, or have ended")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the fakes did not start, or have ended");
        serde_json::from_str(&line).context("the fakes' line is no JSON")
    }
}
