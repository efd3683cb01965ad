//! How long after their moment runs start, when many are due in the same second.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Duration;

use anyhow::ensure;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};

use super::objects::{NAMESPACE, Objects};

/// Between the last edit of a schedule and its slot, at least.
const AHEAD: i64 = 45;
/// How late the last may be before it counts as not started.
const LATE: Duration = Duration::from_secs(180);

/// Seconds from the slot until the Job was seen, in order.
#[derive(Clone, Debug)]
pub struct Skew(Vec<f64>);

impl Skew {
    /// So many of a hundred are not later.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let at = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(at).copied().unwrap_or(f64::INFINITY)
    }
}

/// Gives `due` Mappings one slot and waits for their Jobs. The first Mappings by name: each count has others that have not run yet.
pub(super) async fn measure(client: &Client, objects: &Objects, due: usize) -> anyhow::Result<Skew> {
    // Runs do not end here, so that the Mappings of one count are not those of the other.
    let range = due..2 * due;
    let now = Timestamp::now().as_second();
    // Patching takes a while: it is counted in.
    let lead = AHEAD + i64::try_from(due)? / 50;
    let slot = (now + lead).div_euclid(60) * 60 + 60;
    let time = Timestamp::from_second(slot)?.to_zoned(jiff::tz::TimeZone::UTC);
    let cron = format!("{} {} {} {} *", time.minute(), time.hour(), time.day(), time.month());
    objects.schedule(range, &cron).await?;
    ensure!(Timestamp::now().as_second() < slot, "the schedules were not edited in time");

    let jobs: Api<Job> = Api::namespaced(client.clone(), NAMESPACE);
    let known: HashSet<String> = super::objects::all(&jobs).await?.into_iter().map(|job| job.name_any()).collect();
    let mut watch = pin!(watcher(jobs, watcher::Config::default()).default_backoff().applied_objects());
    let mut seen = HashSet::new();
    let mut skews = Vec::new();
    let until = Duration::from_secs(u64::try_from(slot - Timestamp::now().as_second())?) + LATE;
    let watching = async {
        while skews.len() < due {
            let Some(job) = watch.try_next().await? else { break };
            let name = job.name_any();
            if name.starts_with("mapping-") && !known.contains(&name) && seen.insert(name) {
                skews.push((Timestamp::now().as_millisecond() - slot * 1000) as f64 / 1000.0);
            }
        }
        anyhow::Ok(())
    };
    // Fewer than were due have no percentile: that is said by the caller's goal.
    let _ = tokio::time::timeout(until, watching).await;
    ensure!(!skews.is_empty(), "no run started");
    skews.resize(due, f64::INFINITY);
    skews.sort_by(f64::total_cmp);
    Ok(Skew(skews))
}
