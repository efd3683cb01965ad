//! A pod's report: the termination message, and the progress port.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
use backflow_core::report::{Progress, Reporter, Stage};
use backflow_core::result::RunResult;

use crate::stop::Stop;

/// Writes results to the termination log and keeps the progress for whoever asks.
#[derive(Debug)]
pub struct PodReporter {
    message: PathBuf,
    progress: Mutex<Progress>,
}

impl PodReporter {
    /// A reporter that writes to `message` (`/dev/termination-log` in a pod).
    #[must_use]
    pub fn new(message: impl Into<PathBuf>) -> Self {
        let progress = Progress { stage: Stage::Starting, done: 0, total: 0, rows_per_second: 0.0 };
        Self { message: message.into(), progress: Mutex::new(progress) }
    }

    fn current(&self) -> Progress {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a result. The file is a mount of the kubelet: it can be rewritten in place, not renamed, so truncate and write once.
    pub fn write(&self, result: &RunResult) {
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&self.message)
            .and_then(|mut file| file.write_all(&result.to_message()));
        if let Err(error) = written {
            tracing::warn!(%error, "The result could not be written to the termination log.");
        }
    }
}

impl Reporter for PodReporter {
    fn progress(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    fn provisional(&self, result: &RunResult) {
        self.write(result);
    }
}

#[derive(Clone)]
struct Port {
    reporter: Arc<PodReporter>,
    stop: Stop,
    authorization: Arc<str>,
}

impl Port {
    fn allows(&self, headers: &HeaderMap) -> bool {
        // The token is random for each run and travels inside the cluster only; it keeps neighbours from cancelling runs.
        headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == self.authorization.as_bytes())
    }
}

/// `GET /progress` and `POST /cancel`, both with `Authorization: Bearer <token of the plan>`.
pub fn port(reporter: Arc<PodReporter>, stop: Stop, token: &str) -> Router {
    let state = Port { reporter, stop, authorization: format!("Bearer {token}").into() };
    Router::new().route("/progress", get(progress)).route("/cancel", post(cancel)).with_state(state)
}

async fn progress(State(port): State<Port>, headers: HeaderMap) -> Result<Json<Progress>, StatusCode> {
    if port.allows(&headers) { Ok(Json(port.reporter.current())) } else { Err(StatusCode::UNAUTHORIZED) }
}

async fn cancel(State(port): State<Port>, headers: HeaderMap) -> StatusCode {
    if !port.allows(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    port.stop.cancel();
    StatusCode::ACCEPTED
}

#[cfg(test)]
mod tests {
    use super::*;
    use backflow_core::result::RESULT_VERSION;

    #[test]
    fn a_shorter_result_leaves_nothing_of_a_longer_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reporter = PodReporter::new(file.path());
        let mut result = RunResult { v: RESULT_VERSION, run: "a-long-name-of-a-run".into(), ..RunResult::default() };
        reporter.provisional(&result);
        result.run = "r".into();
        reporter.provisional(&result);
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(RunResult::from_message(&text, "r"), Some(result));
    }
}
