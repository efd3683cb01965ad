//! Leader election by a Lease, with client-go's protocol.
//!
//! Expiry is judged by how long *this* process has seen the same record, on its own monotonic clock: the clocks of two nodes are
//! never compared. Nothing's correctness rests on the Lease (names of Syncs and Jobs, and the fence in the state, see to that);
//! it saves work and keeps limits.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use tokio::time::{Instant, sleep, timeout};

/// How long a leader that went silent keeps the Lease.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops its work, well before another may begin.
const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// Time between two tries.
const RETRY: Duration = Duration::from_secs(2);
/// The longest that one call may take.
const CALL: Duration = Duration::from_secs(5);

/// The Lease, as one candidate sees it.
#[derive(Clone, Debug)]
pub struct Lease {
    api: Api<LeaseObject>,
    name: String,
    identity: String,
}

/// The record that was seen last, and since when.
#[derive(Debug)]
struct Observed {
    version: Option<String>,
    at: Instant,
}

/// Proof of leadership: good until [`Held::lost`] returns.
#[derive(Debug)]
pub struct Held {
    lease: Lease,
    record: LeaseObject,
    renewed: Instant,
}

impl Lease {
    /// The Lease `name`, for a candidate called `identity`: unique among all that run.
    #[must_use]
    pub fn new(api: Api<LeaseObject>, name: String, identity: String) -> Self {
        Self { api, name, identity }
    }

    /// Returns once this candidate leads.
    pub async fn acquire(&self) -> Held {
        let mut observed: Option<Observed> = None;
        loop {
            // The moment before the call: the others count from when the record was written, which is later.
            let before = Instant::now();
            match timeout(CALL, self.try_acquire(&mut observed)).await {
                Ok(Ok(Some(record))) => return Held { lease: self.clone(), record, renewed: before },
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(%error, lease = self.name, "The Lease cannot be read or written."),
                Err(_) => tracing::warn!(lease = self.name, "The API server does not answer about the Lease."),
            }
            sleep(RETRY).await;
        }
    }

    async fn try_acquire(&self, observed: &mut Option<Observed>) -> Result<Option<LeaseObject>, kube::Error> {
        let Some(present) = self.api.get_opt(&self.name).await? else {
            let created = self.api.create(&PostParams::default(), &self.record(None)).await;
            return lost_race(created);
        };
        let spec = present.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.unwrap_or_default();
        if holder != self.identity && !holder.is_empty() {
            let version = present.metadata.resource_version.clone();
            let seen = match observed.take() {
                Some(seen) if seen.version == version => seen,
                _ => Observed { version, at: Instant::now() },
            };
            let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let expired = seen.at.elapsed() >= lasts.map_or(DURATION, Duration::from_secs);
            *observed = Some(seen);
            if !expired {
                return Ok(None);
            }
        }
        lost_race(self.api.replace(&self.name, &PostParams::default(), &self.record(Some(&present))).await)
    }

    /// The record by which this candidate holds the Lease.
    fn record(&self, present: Option<&LeaseObject>) -> LeaseObject {
        let now = MicroTime(Timestamp::now());
        let before = present.and_then(|present| present.spec.clone()).unwrap_or_default();
        let stays = before.holder_identity.as_deref() == Some(&self.identity);
        LeaseObject {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                // The precondition: a record that changed meanwhile is not overwritten.
                resource_version: present.and_then(|present| present.metadata.resource_version.clone()),
                ..present.map(|present| present.metadata.clone()).unwrap_or_default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if stays { before.acquire_time } else { Some(now.clone()) },
                renew_time: Some(now),
                lease_transitions: Some(
                    before.lease_transitions.unwrap_or_default() + i32::from(!stays && present.is_some()),
                ),
                ..before
            }),
        }
    }
}

impl Held {
    /// Renews the Lease until that fails for too long, or somebody else has it. The caller's work must end when this returns.
    pub async fn lost(&mut self) {
        while self.renewed.elapsed() < RENEW_WITHIN {
            sleep(RETRY).await;
            let before = Instant::now();
            let left = RENEW_WITHIN.saturating_sub(self.renewed.elapsed());
            match timeout(left.min(CALL), self.renew()).await {
                Ok(Ok(true)) => self.renewed = before,
                Ok(Ok(false)) => return,
                Ok(Err(error)) => tracing::warn!(%error, "The Lease cannot be renewed."),
                Err(_) => tracing::warn!("The API server does not answer about the Lease."),
            }
        }
    }

    /// Answers false if somebody else has the Lease.
    async fn renew(&mut self) -> Result<bool, kube::Error> {
        let api = &self.lease.api;
        match api.replace(&self.lease.name, &PostParams::default(), &self.lease.record(Some(&self.record))).await {
            Ok(record) => {
                self.record = record;
                return Ok(true);
            }
            // An answer to an earlier write of ours may have been lost: look who holds it.
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(error),
        }
        let record = api.get(&self.lease.name).await?;
        let ours = record.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(&self.lease.identity);
        self.record = record;
        // Not renewed yet, but still ours: the next try has the right version.
        if ours { Box::pin(self.renew_once()).await } else { Ok(false) }
    }

    async fn renew_once(&mut self) -> Result<bool, kube::Error> {
        let record = self.lease.record(Some(&self.record));
        self.record = self.lease.api.replace(&self.lease.name, &PostParams::default(), &record).await?;
        Ok(true)
    }

    /// Gives the Lease up, so that another candidate need not wait. All work must have ended.
    pub async fn release(self) {
        let mut record = self.lease.record(Some(&self.record));
        if let Some(spec) = record.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let params = PostParams::default();
        match timeout(CALL, self.lease.api.replace(&self.lease.name, &params, &record)).await {
            Ok(Ok(_)) => tracing::info!(lease = self.lease.name, "Gave up the Lease."),
            Ok(Err(error)) => tracing::warn!(%error, "The Lease cannot be given up; it expires."),
            Err(_) => tracing::warn!("The Lease cannot be given up; it expires."),
        }
    }
}

/// Somebody else was faster: no error, try again later.
fn lost_race(written: Result<LeaseObject, kube::Error>) -> Result<Option<LeaseObject>, kube::Error> {
    match written {
        Ok(record) => Ok(Some(record)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
