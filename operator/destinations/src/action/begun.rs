//! Jobs that are on at the destination, kept beside the state of the Mapping: another pod asks for their outcome instead of sending the
//! same records anew.
//!
//! A job is known by its request's key, which is made of the keys of its records. What is kept of those is their beginning, so that the
//! run puts the same records together again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use backflow_core::code::{Code, Failure};
use backflow_core::notes::{LONGEST, Notes};
use backflow_core::sink::KEY_BEGINNING;
use backflow_expressions::Json;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::clock;

/// Attempts to write among others that do.
const ATTEMPTS: usize = 16;
/// Jobs that are kept, at most: more than are ever on at once.
const MOST: usize = 64;
/// Seconds after which nobody asks for a job any more: destinations do not keep results longer.
const OLDEST: u64 = 7 * 24 * 3600;

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// The request's key.
    batch: String,
    /// The first [`KEY_BEGINNING`] characters of each record's key, in order.
    keys: String,
    /// `job`, as its requests see it.
    job: String,
    /// All of its records are there: it can only be waited for.
    pub(crate) started: bool,
    /// When it was begun, seconds since 1970.
    at: u64,
}

impl Begun {
    /// `job`, as its requests see it.
    pub(crate) fn about(&self) -> Option<Json> {
        Json::parse_answer(&self.job).ok()
    }

    fn record_keys(&self) -> Vec<String> {
        let bytes = self.keys.as_bytes().chunks(KEY_BEGINNING);
        bytes.map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Said {
    jobs: Vec<Begun>,
}

/// The jobs of one Mapping.
pub(crate) struct Jobs {
    notes: Arc<dyn Notes>,
    name: String,
    /// Those of earlier pods, by request key, read once; each is taken once.
    earlier: OnceCell<Mutex<HashMap<String, Begun>>>,
    /// Those that are through: they go with the next writing.
    through: Mutex<Vec<String>>,
}

/// The job of one request.
#[derive(Clone, Copy)]
pub(crate) struct Keep<'a> {
    pub(crate) jobs: &'a Jobs,
    pub(crate) batch: &'a str,
    pub(crate) keys: &'a str,
}

impl Keep<'_> {
    /// The job is on. Without this, a pod that comes after this one sends its records anew: no reason to stop.
    pub(crate) async fn begun(&self, job: &Json, started: bool) {
        let begun = Begun {
            batch: self.batch.to_owned(),
            keys: self.keys.to_owned(),
            job: job.to_string(),
            started,
            at: seconds(),
        };
        if let Err(failure) = self.jobs.write(Some(begun)).await {
            tracing::warn!(code = %failure.code, message = failure.message, "a job is not remembered: a pod that replaces this one sends its records again");
        }
    }

    /// What became of each of its records is known.
    pub(crate) fn through(&self) {
        lock(&self.jobs.through).push(self.batch.to_owned());
    }
}

impl Jobs {
    pub(crate) fn new(notes: Arc<dyn Notes>, state_key: &str) -> Self {
        Self { notes, name: format!("jobs/{state_key}"), earlier: OnceCell::new(), through: Mutex::default() }
    }

    /// The keys of the records of each job that an earlier pod began, in their order.
    pub(crate) async fn unfinished(&self) -> Vec<Vec<String>> {
        lock(self.earlier().await).values().map(Begun::record_keys).collect()
    }

    /// The job of this request, if an earlier pod began it. Given once: what comes of it, it is not asked for again.
    pub(crate) async fn take(&self, batch: &str) -> Option<Begun> {
        lock(self.earlier().await).remove(batch)
    }

    /// Gives a job back that could not be asked for now.
    pub(crate) async fn give_back(&self, begun: Begun) {
        lock(self.earlier().await).insert(begun.batch.clone(), begun);
    }

    /// Forgets the jobs that are through.
    pub(crate) async fn tidy(&self) {
        if lock(&self.through).is_empty() {
            return;
        }
        if let Err(failure) = self.write(None).await {
            tracing::warn!(code = %failure.code, message = failure.message, "jobs that are through are forgotten later");
        }
    }

    async fn earlier(&self) -> &Mutex<HashMap<String, Begun>> {
        let read = || async {
            let jobs = match self.notes.read(&self.name).await {
                Ok(note) => {
                    note.and_then(|note| serde_json::from_str::<Said>(&note.text).ok()).unwrap_or_default().jobs
                }
                Err(failure) => {
                    tracing::warn!(code = %failure.code, message = failure.message, "jobs of an earlier pod are not known: their records are sent again");
                    Vec::new()
                }
            };
            let now = seconds();
            let recent = jobs.into_iter().filter(|begun| begun.at + OLDEST > now);
            Mutex::new(recent.map(|begun| (begun.batch.clone(), begun)).collect())
        };
        self.earlier.get_or_init(read).await
    }

    async fn write(&self, begun: Option<Begun>) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            let note = self.notes.read(&self.name).await?;
            let said = note.as_ref().and_then(|note| serde_json::from_str::<Said>(&note.text).ok());
            let mut jobs = said.unwrap_or_default().jobs;
            let through = lock(&self.through).clone();
            let now = seconds();
            jobs.retain(|job| !through.contains(&job.batch) && job.at + OLDEST > now);
            if let Some(begun) = &begun {
                jobs.retain(|job| job.batch != begun.batch);
                jobs.push(begun.clone());
            }
            let surplus = jobs.len().saturating_sub(MOST);
            jobs.drain(..surplus);
            let text = serde_json::to_string(&Said { jobs })
                .map_err(|_| Failure::new(Code::Internal, "jobs cannot be written down"))?;
            if text.len() > LONGEST {
                return Err(Failure::new(
                    Code::LimitExceeded,
                    "the jobs that are on have too many records to be remembered",
                ));
            }
            if self.notes.write(&self.name, note.as_ref(), &text).await?.is_some() {
                lock(&self.through).retain(|batch| !through.contains(batch));
                return Ok(());
            }
        }
        Err(Failure::new(Code::StateStoreUnavailable, "too many write down at once which jobs are on"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds() -> u64 {
    clock::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
