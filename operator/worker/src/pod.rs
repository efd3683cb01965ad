//! The worker as the one process of a pod.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backflow_core::authorities::AUTHORITIES;
use backflow_core::code::{Code, Failure};
use backflow_core::codec;
use backflow_core::plan::Plan;
use backflow_core::result::{Phase, RESULT_VERSION, RunResult, exit};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::report::{PodReporter, port};
use crate::secrets::SecretFiles;
use crate::stop::Stop;
use crate::{Environment, authorities, execute, exit_code, failed};

/// How long before the Job's deadline the worker stops itself: enough to finish a batch, commit, and be read.
const MARGIN: Duration = Duration::from_secs(60);

/// Where things are in a pod. The controller's Job and these defaults belong together.
#[derive(Debug, clap::Parser)]
#[command(name = "backflow-worker", version, about = "One run of Backflow: reads a plan, moves rows, writes a result.")]
struct Args {
    /// File with the plan, as the downward API mounts it.
    #[arg(long, default_value = "/plan/plan")]
    plan: PathBuf,
    /// Folder of the mounted Secrets.
    #[arg(long, default_value = "/secrets")]
    secrets: PathBuf,
    /// Folder of the certificate authorities that are trusted beside the image's.
    #[arg(long, default_value = AUTHORITIES)]
    authorities: PathBuf,
    /// Folder for scratch files.
    #[arg(long, default_value = "/scratch")]
    scratch: PathBuf,
    /// File for the result.
    #[arg(long, default_value = "/dev/termination-log")]
    result: PathBuf,
    /// Address of the progress and cancel port.
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Log filter, for example info or debug.
    #[arg(long, env = "BACKFLOW_LOG", default_value = "info")]
    log: String,
}

/// A worker's process, by its command line.
///
/// # Errors
/// It cannot have threads.
pub fn main(line: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let args = Args::parse_from(line);
    let filter = EnvFilter::try_new(&args.log).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    Ok(ExitCode::from(runtime.block_on(run(args))))
}

/// Runs the plan and returns the process's exit code.
async fn run(args: Args) -> u8 {
    let reporter = Arc::new(PodReporter::new(&args.result));
    let plan = match read_plan(&args.plan) {
        Ok(plan) => plan,
        Err(failure) => {
            tracing::error!(message = failure.message, "The plan cannot be read.");
            let code = exit::of(failure.code);
            let run = std::env::var("BACKFLOW_RUN").unwrap_or_default();
            let result = RunResult {
                v: RESULT_VERSION,
                run,
                phase: Phase::Failed,
                failure: Some(failure),
                ..RunResult::default()
            };
            reporter.write(&result);
            return code;
        }
    };
    if let Err(failure) = authorities::check(&args.authorities) {
        let result = failed(&plan, failure);
        reporter.write(&result);
        return exit_code(&result);
    }
    let stop = Stop::default();
    if let Some(seconds) = plan.deadline_seconds {
        stop.end_before(Duration::from_secs(seconds), MARGIN);
    }
    listen_for_signals(&stop);
    serve(&args, &reporter, &stop, &plan).await;
    tracing::info!(run = plan.run, namespace = plan.namespace, "The run begins.");
    let environment = Environment {
        secrets: Arc::new(SecretFiles::new(&args.secrets)),
        scratch: args.scratch.clone(),
        reporter: reporter.clone(),
        stop,
        output: Arc::new(Mutex::new(std::io::stdout())),
    };
    let result = execute(&plan, &environment).await;
    reporter.write(&result);
    let exit_code = exit_code(&result);
    tracing::info!(exit_code, peak_memory_kib = peak_memory(), "The process ends.");
    exit_code
}

/// The most memory that was resident at once in KiB, for whoever sizes `worker.resources`; 0 if the kernel does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(Code::PlanInvalid, format!("the plan at {} cannot be read: {}", path.display(), error.kind()))
    })?;
    codec::decode(&text)
}

fn listen_for_signals(stop: &Stop) {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        match signal(kind) {
            Ok(mut signal) => {
                let stop = stop.clone();
                tokio::spawn(async move {
                    signal.recv().await;
                    tracing::info!("Asked to stop; the batch in flight ends first.");
                    stop.terminate();
                });
            }
            Err(error) => tracing::warn!(%error, "Signals cannot be received."),
        }
    }
}

/// The port is a convenience: without it the run goes on, only its progress cannot be seen.
async fn serve(args: &Args, reporter: &Arc<PodReporter>, stop: &Stop, plan: &Plan) {
    let listening = tokio::net::TcpListener::bind(args.listen).await;
    match listening.and_then(|listener| Ok((listener.local_addr()?.port(), listener))) {
        Ok((port_number, listener)) => {
            tracing::info!(port = port_number, "Progress can be asked for.");
            let router = port(reporter.clone(), stop.clone(), &plan.token);
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        Err(error) => tracing::warn!(%error, address = %args.listen, "The progress port cannot be opened."),
    }
}
