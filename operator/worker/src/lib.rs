//! One run: plan in, rows out, result back. The only place where source, mapping and destination meet.
//!
//! [`execute`] does what a [`Plan`] says, in a pod or on a desk: the [`Environment`] says where secrets, scratch and output are.

mod authorities;
mod check;
pub mod choices;
mod deliver;
mod dry_run;
mod gather;
mod ledger;
pub mod pod;
mod preview;
mod render;
pub mod report;
mod run;
pub mod secrets;
pub mod states;
pub mod stop;
mod test_record;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backflow_core::code::{Class, Code, Failure};
use backflow_core::plan::{Mode, Plan, Task};
use backflow_core::report::Reporter;
use backflow_core::result::{Phase, RESULT_VERSION, RunResult, exit};
use backflow_core::secret::Secrets;

use stop::Stop;

/// Where a run takes place.
#[derive(Clone)]
pub struct Environment {
    /// Where secret values are found.
    pub secrets: Arc<dyn Secrets>,
    /// A folder on a local disk.
    pub scratch: PathBuf,
    /// Whoever watches.
    pub reporter: Arc<dyn Reporter>,
    /// A request to end.
    pub stop: Stop,
    /// Where Preview and Test print: the pod's log, a terminal.
    pub output: Arc<Mutex<dyn Write + Send>>,
}

/// Does what the plan says. Never panics, always has a result.
pub async fn execute(plan: &Plan, environment: &Environment) -> RunResult {
    let started_at = Some(now());
    let result = match &plan.task {
        Task::Sync(sync) => match &sync.mode {
            Mode::Test { key } => test_record::run(plan, sync, key, environment).await,
            Mode::DryRun => dry_run::run(plan, sync, environment).await,
            _ => run::run(plan, sync, environment).await,
        },
        Task::CheckSource(source) => check::source(plan, source, environment).await,
        Task::CheckModel(source, model) => check::model(plan, source, model, environment).await,
        Task::CheckDestination(destination) => check::destination(plan, destination, environment).await,
        Task::Preview(source, model, preview) => preview::run(plan, source, model, preview.limit, environment).await,
        Task::Forget(source, forget) => check::forget(plan, source, forget, environment).await,
    };
    RunResult { started_at, finished_at: Some(now()), ..result }
}

/// The exit code that tells Kubernetes what to do next.
#[must_use]
pub fn exit_code(result: &RunResult) -> u8 {
    match (&result.phase, &result.failure) {
        (Phase::Running, Some(failure)) | (Phase::Failed, Some(failure)) => match failure.code {
            // The run has used up what it was given, or must not be repeated as it is: a replacement pod would only burn quota. A
            // destination that does not answer was tried for as long as `retry` allows: the next slot goes on.
            Code::RetriesExhausted | Code::DestinationUnreachable | Code::DeadlineExceeded | Code::LedgerMismatch => {
                exit::ENDED
            }
            code => exit::of(code),
        },
        _ => exit::ENDED,
    }
}

/// The result of a task that failed before it did anything.
pub(crate) fn failed(plan: &Plan, failure: Failure) -> RunResult {
    let transient = failure.code.class() == Class::Transient;
    tracing::error!(code = %failure.code, transient, message = failure.message, "The run failed.");
    RunResult { phase: Phase::Failed, failure: Some(failure), ..empty(plan) }
}

/// The result of a task that did what it should.
pub(crate) fn empty(plan: &Plan) -> RunResult {
    RunResult { v: RESULT_VERSION, run: plan.run.clone(), phase: Phase::Succeeded, ..RunResult::default() }
}

/// What the warehouse's lists of sessions call this run.
pub(crate) fn application(plan: &Plan) -> String {
    format!("backflow/{}", plan.run)
}

/// Now, RFC 3339 in whole seconds, as Kubernetes writes times.
pub(crate) fn now() -> String {
    after(Duration::ZERO)
}

/// The same, so much later.
pub(crate) fn after(wait: Duration) -> String {
    let now = jiff::Timestamp::now();
    let then = now.checked_add(wait).unwrap_or(now);
    jiff::Timestamp::from_second(then.as_second()).unwrap_or(then).to_string()
}
