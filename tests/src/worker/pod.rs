//! The worker's program: started, watched, ended.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context as _, bail, ensure};
use backflow_core::code::Code;
use backflow_core::codec;
use backflow_core::plan::{PLAN_VERSION, Plan, Task};
use backflow_core::result::RunResult;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{IMAGE_VARIABLE, Scenario};
use crate::PATIENCE;

/// The token of every plan's progress port.
const TOKEN: &str = "port-token";

/// A pod that is about to start.
pub struct Pod<'a> {
    scenario: &'a Scenario,
    run: String,
    task: Task,
    failpoint: Option<String>,
    deadline: Option<u64>,
    damaged: bool,
    variables: Vec<(String, String)>,
}

impl<'a> Pod<'a> {
    pub(super) fn new(scenario: &'a Scenario, run: &str) -> Self {
        let task = Task::Sync(Box::new(scenario.sync.clone()));
        Self {
            scenario,
            run: run.to_owned(),
            task,
            failpoint: None,
            deadline: None,
            damaged: false,
            variables: Vec::new(),
        }
    }

    /// Dies at this failpoint.
    #[must_use]
    pub fn failpoint(self, name: &str) -> Self {
        Self { failpoint: Some(name.to_owned()), ..self }
    }

    /// Has this many seconds.
    #[must_use]
    pub fn deadline(self, seconds: u64) -> Self {
        Self { deadline: Some(seconds), ..self }
    }

    /// Has this variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Is given a plan that was cut on the way.
    #[must_use]
    pub fn damaged(self) -> Self {
        Self { damaged: true, ..self }
    }

    /// Starts the program.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn start(self) -> anyhow::Result<Worker> {
        let Self { scenario, run, task, failpoint, deadline, damaged, variables } = self;
        let plan = Plan {
            version: PLAN_VERSION,
            run: run.clone(),
            namespace: "shop".into(),
            token: TOKEN.into(),
            owner: scenario.owner.clone(),
            deadline_seconds: deadline,
            task,
        };
        let number = scenario.pods.fetch_add(1, SeqCst);
        let file = |name: &str| scenario.folder.path().join(format!("{name}-{number}"));
        let mut text = codec::encode(&plan)?;
        if damaged {
            text.truncate(text.len() / 2);
        }
        std::fs::write(file("plan"), text)?;
        let mut command = Command::new(program()?);
        command.arg("backflow-worker");
        for (flag, path) in [
            ("--plan", file("plan")),
            ("--secrets", scenario.secrets()),
            ("--scratch", scenario.folder.path().join("scratch")),
            ("--result", file("result")),
        ] {
            command.arg(flag).arg(path);
        }
        command.args(["--listen", "127.0.0.1:0"]).env_remove("BACKFLOW_FAILPOINT").env_remove("BACKFLOW_LOG");
        command.env(IMAGE_VARIABLE.0, IMAGE_VARIABLE.1);
        command.envs(variables);
        if let Some(failpoint) = failpoint {
            command.env("BACKFLOW_FAILPOINT", failpoint);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (said, log) = watch::channel(String::new());
        let stderr = child.stderr.take().context("the program has no stderr")?;
        let stdout = child.stdout.take().context("the program has no stdout")?;
        let reading = tokio::spawn(follow(stderr, said));
        let printing = tokio::spawn(follow(stdout, watch::Sender::new(String::new())));
        Ok(Worker { child, run, result: file("result"), log, reading, printing })
    }
}

/// Collects what a program prints, for whoever waits for a line.
async fn follow(from: impl AsyncRead + Unpin, to: watch::Sender<String>) -> String {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        to.send_modify(|text| {
            text.push_str(&line);
            text.push('\n');
        });
    }
    to.borrow().clone()
}

/// The worker's program: the one that `cargo xtask test` has built, or one that is built now.
fn program() -> anyhow::Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| {
        crate::program::program("backflow-operator", "backflow-operator").map_err(|error| format!("{error:#}"))
    });
    built.as_deref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// A running worker. It is killed when this is dropped.
pub struct Worker {
    child: Child,
    run: String,
    result: PathBuf,
    log: watch::Receiver<String>,
    reading: JoinHandle<String>,
    printing: JoinHandle<String>,
}

/// How a worker ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The text of its result file.
    pub message: String,
    /// What it printed.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
    run: String,
}

impl Worker {
    /// `kill -9`.
    ///
    /// # Errors
    /// If it has ended.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.start_kill()?)
    }

    /// SIGTERM, as the kubelet sends it.
    ///
    /// # Errors
    /// If it has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        let process = self.child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        Ok(rustix::process::kill_process(process.context("it has ended")?, rustix::process::Signal::TERM)?)
    }

    /// Waits until its log contains `text`, and returns the log.
    ///
    /// # Errors
    /// If it ends without, or does not within [`PATIENCE`].
    pub async fn said(&mut self, text: &str) -> anyhow::Result<String> {
        match tokio::time::timeout(PATIENCE, self.log.wait_for(|log| log.contains(text))).await {
            Ok(Ok(log)) => Ok(log.clone()),
            _ => bail!("the worker never said {text:?}"),
        }
    }

    /// Whether it runs.
    ///
    /// # Errors
    /// Of the system.
    pub fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Makes a request to its port, with the plan's token: status line, headers and body.
    ///
    /// # Errors
    /// If it does not listen or answer.
    pub async fn ask(&mut self, method: &str, path: &str, token: &str) -> anyhow::Result<String> {
        let log = self.said("\"port\":").await?;
        let port = log.split("\"port\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).context("no port")?;
        let mut stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: worker\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Cancels the run as the controller does.
    ///
    /// # Errors
    /// If it is not accepted.
    pub async fn cancel(&mut self) -> anyhow::Result<()> {
        let answer = self.ask("POST", "/cancel", TOKEN).await?;
        ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        Ok(())
    }

    /// Its progress as the controller sees it.
    ///
    /// # Errors
    /// If there is none.
    pub async fn progress(&mut self) -> anyhow::Result<Value> {
        let answer = self.ask("GET", "/progress", TOKEN).await?;
        let body = answer.split("\r\n\r\n").nth(1).context("no body")?;
        Ok(serde_json::from_str(body)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end within [`PATIENCE`]; what it logged.
    pub async fn ended(mut self) -> anyhow::Result<Ended> {
        let Ok(status) = tokio::time::timeout(PATIENCE, self.child.wait()).await else {
            bail!("the worker has not ended after {} s: {}", PATIENCE.as_secs(), *self.log.borrow());
        };
        let status = status?;
        Ok(Ended {
            code: status.code(),
            signal: status.signal(),
            message: std::fs::read_to_string(&self.result).unwrap_or_default(),
            stdout: self.printing.await?,
            stderr: self.reading.await?,
            run: self.run,
        })
    }
}

impl Ended {
    /// The result, as the controller reads it.
    ///
    /// # Errors
    /// If there is none.
    pub fn result(&self) -> anyhow::Result<RunResult> {
        RunResult::from_message(&self.message, &self.run).with_context(|| format!("no result: {self:?}"))
    }

    /// The result's phase by name.
    ///
    /// # Errors
    /// If there is no result.
    pub fn phase(&self) -> anyhow::Result<String> {
        Ok(format!("{:?}", self.result()?.phase))
    }

    /// Exit code, phase, and the failure's code.
    ///
    /// # Errors
    /// If there is no result.
    pub fn outcome(&self) -> anyhow::Result<(Option<i32>, String, Option<Code>)> {
        Ok((self.code, self.phase()?, self.result()?.failure.map(|failure| failure.code)))
    }

    /// The most memory that the process had resident, in KiB, as the kernel told it.
    ///
    /// # Errors
    /// If it did not log it.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let field = self.stderr.split("\"peak_memory_kib\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        Ok(field.context("it did not log its memory")?.parse()?)
    }
}
