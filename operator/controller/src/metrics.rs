//! What the controller counts. The table of metrics in `docs/metrics.md` is made from [`METRICS`].

use std::sync::atomic::AtomicU64;

use backflow_core::traffic::Traffic;
use backflow_crds::v1alpha1::{RunMode, SyncStatus};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelValue)]
#[allow(missing_docs)]
pub enum Kind {
    Source,
    Model,
    DestinationDefinition,
    Destination,
    Mapping,
    Sync,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Source, Self::Model, Self::DestinationDefinition, Self::Destination, Self::Mapping, Self::Sync];

    /// Its name, as in `kind:`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Model => "Model",
            Self::DestinationDefinition => "DestinationDefinition",
            Self::Destination => "Destination",
            Self::Mapping => "Mapping",
            Self::Sync => "Sync",
        }
    }
}

/// How one reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, missing_docs)]
pub enum Outcome {
    ok,
    conflict,
    error,
    timeout,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconcile {
    kind: Kind,
    result: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    mode: String,
    phase: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfMode {
    mode: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Records {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Requests {
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Objects {
    kind: Kind,
    ready: &'static str,
}

/// One metric, for the documents.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, as scraped.
    pub name: &'static str,
    /// counter, gauge or histogram.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Every metric of the controller.
pub const METRICS: [Metric; 14] = [
    Metric {
        name: "backflow_reconcile_total",
        kind: "counter",
        labels: &["kind", "result"],
        help: "Reconciles by result: ok, conflict (tried again at once), error, timeout",
    },
    Metric {
        name: "backflow_reconcile_duration_seconds",
        kind: "histogram",
        labels: &["kind"],
        help: "How long one reconcile took",
    },
    Metric {
        name: "backflow_syncs_total",
        kind: "counter",
        labels: &["mode", "phase", "reason"],
        help: "Syncs that ended",
    },
    Metric {
        name: "backflow_sync_duration_seconds",
        kind: "histogram",
        labels: &["mode"],
        help: "How long a Sync ran, from its Job's creation to its end",
    },
    Metric {
        name: "backflow_sync_records_total",
        kind: "counter",
        labels: &["outcome"],
        help: "Records of ended Syncs: delivered, rejected, retrying, withheld, skipped",
    },
    Metric {
        name: "backflow_delivery_requests_total",
        kind: "counter",
        labels: &["answer"],
        help: "Requests of ended Syncs to destinations: taken, rejected, throttled, failed (no answer, or a fault of the destination), refused (credentials, configuration)",
    },
    Metric {
        name: "backflow_delivery_request_seconds_total",
        kind: "counter",
        labels: &[],
        help: "How long these requests took, together",
    },
    Metric {
        name: "backflow_delivery_retries_total",
        kind: "counter",
        labels: &[],
        help: "How often a batch, or a part of it, was tried again",
    },
    Metric {
        name: "backflow_delivery_throttled_seconds_total",
        kind: "counter",
        labels: &[],
        help: "How long batches waited because a destination, or a rate of its, allowed no more",
    },
    Metric {
        name: "backflow_delivery_breaks_total",
        kind: "counter",
        labels: &[],
        help: "How often a run left its destination alone because one request after the other failed",
    },
    Metric {
        name: "backflow_sync_start_skew_seconds",
        kind: "histogram",
        labels: &[],
        help: "From a slot to the creation of its Job",
    },
    Metric {
        name: "backflow_missed_slots_total",
        kind: "counter",
        labels: &[],
        help: "Slots that got no run of their own",
    },
    Metric { name: "backflow_leader", kind: "gauge", labels: &[], help: "1 on the controller that leads" },
    Metric {
        name: "backflow_objects",
        kind: "gauge",
        labels: &["kind", "ready"],
        help: "Objects by condition Ready; Syncs that have not ended",
    },
];

/// The controller's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Reconcile, Counter>,
    durations: Family<OfKind, Histogram, fn() -> Histogram>,
    syncs: Family<Ended, Counter>,
    sync_durations: Family<OfMode, Histogram, fn() -> Histogram>,
    records: Family<Records, Counter>,
    requests: Family<Requests, Counter>,
    request_seconds: Counter<f64, AtomicU64>,
    retries: Counter,
    throttled_seconds: Counter<f64, AtomicU64>,
    breaks: Counter,
    start_skew: Histogram,
    missed_slots: Counter,
    leader: Gauge,
    objects: Family<Objects, Gauge>,
}

fn reconcile_buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 30.0])
}

fn sync_buckets() -> Histogram {
    Histogram::new([1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reconciles: Family::default(),
            durations: Family::new_with_constructor(reconcile_buckets),
            syncs: Family::default(),
            sync_durations: Family::new_with_constructor(sync_buckets),
            records: Family::default(),
            requests: Family::default(),
            request_seconds: Counter::default(),
            retries: Counter::default(),
            throttled_seconds: Counter::default(),
            breaks: Counter::default(),
            start_skew: Histogram::new([0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3_600.0]),
            missed_slots: Counter::default(),
            leader: Gauge::default(),
            objects: Family::default(),
        };
        let registry = &mut metrics.registry;
        for Metric { name, help, .. } in METRICS {
            match name {
                "backflow_reconcile_total" => registry.register("backflow_reconcile", help, metrics.reconciles.clone()),
                "backflow_reconcile_duration_seconds" => registry.register(name, help, metrics.durations.clone()),
                "backflow_syncs_total" => registry.register("backflow_syncs", help, metrics.syncs.clone()),
                "backflow_sync_duration_seconds" => registry.register(name, help, metrics.sync_durations.clone()),
                "backflow_sync_records_total" => {
                    registry.register("backflow_sync_records", help, metrics.records.clone())
                }
                "backflow_delivery_requests_total" => {
                    registry.register("backflow_delivery_requests", help, metrics.requests.clone())
                }
                "backflow_delivery_request_seconds_total" => {
                    registry.register("backflow_delivery_request_seconds", help, metrics.request_seconds.clone())
                }
                "backflow_delivery_retries_total" => {
                    registry.register("backflow_delivery_retries", help, metrics.retries.clone())
                }
                "backflow_delivery_throttled_seconds_total" => {
                    registry.register("backflow_delivery_throttled_seconds", help, metrics.throttled_seconds.clone())
                }
                "backflow_delivery_breaks_total" => {
                    registry.register("backflow_delivery_breaks", help, metrics.breaks.clone())
                }
                "backflow_sync_start_skew_seconds" => registry.register(name, help, metrics.start_skew.clone()),
                "backflow_missed_slots_total" => {
                    registry.register("backflow_missed_slots", help, metrics.missed_slots.clone())
                }
                "backflow_leader" => registry.register(name, help, metrics.leader.clone()),
                _ => registry.register(name, help, metrics.objects.clone()),
            }
        }
        metrics
    }
}

impl Metrics {
    /// One reconcile has ended.
    pub fn reconciled(&self, kind: Kind, result: Outcome, took: std::time::Duration) {
        self.reconciles.get_or_create(&Reconcile { kind, result }).inc();
        self.durations.get_or_create(&OfKind { kind }).observe(took.as_secs_f64());
    }

    /// A Sync has ended.
    pub fn sync_ended(&self, mode: RunMode, status: &SyncStatus) {
        let mode = format!("{mode:?}");
        let phase = status.phase.map(|phase| format!("{phase:?}")).unwrap_or_default();
        let reason = status.reason.clone().unwrap_or_default();
        self.syncs.get_or_create(&Ended { mode: mode.clone(), phase, reason }).inc();
        if let (Some(start), Some(end)) = (&status.started_at, &status.finished_at) {
            self.sync_durations.get_or_create(&OfMode { mode }).observe(end.0.duration_since(start.0).as_secs_f64());
        }
        let delivered = status.delivered.unwrap_or_default();
        let delivered = delivered.inserted + delivered.updated + delivered.upserted + delivered.deleted;
        for (outcome, count) in [
            ("delivered", Some(delivered)),
            ("rejected", status.rejected),
            ("retrying", status.retrying),
            ("withheld", status.withheld_deletes),
            ("skipped", status.skipped),
        ] {
            let count = count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default();
            self.records.get_or_create(&Records { outcome }).inc_by(count);
        }
    }

    /// What an ended Sync saw of its destination.
    pub fn delivered(&self, traffic: &Traffic) {
        for (answer, count) in [
            ("taken", traffic.taken),
            ("rejected", traffic.rejected),
            ("throttled", traffic.throttled),
            ("failed", traffic.failed),
            ("refused", traffic.refused),
        ] {
            self.requests.get_or_create(&Requests { answer }).inc_by(count);
        }
        let seconds = |milliseconds: u64| std::time::Duration::from_millis(milliseconds).as_secs_f64();
        self.request_seconds.inc_by(seconds(traffic.request_ms));
        self.retries.inc_by(traffic.retries);
        self.throttled_seconds.inc_by(seconds(traffic.throttled_ms));
        self.breaks.inc_by(traffic.breaks);
    }

    /// A Job was created this long after its slot.
    pub fn started(&self, skew: std::time::Duration) {
        self.start_skew.observe(skew.as_secs_f64());
    }

    /// Slots got no run of their own.
    pub fn missed(&self, slots: u64) {
        self.missed_slots.inc_by(slots);
    }

    /// Whether this controller leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// How many objects of a kind are Ready, and how many are not.
    pub fn objects(&self, kind: Kind, ready: i64, others: i64) {
        self.objects.get_or_create(&Objects { kind, ready: "true" }).set(ready);
        self.objects.get_or_create(&Objects { kind, ready: "false" }).set(others);
    }

    /// All metrics in the text format of OpenMetrics.
    ///
    /// # Errors
    /// If a label cannot be written, which would be a fault of this crate.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_scraped_under_its_documented_name() {
        let metrics = Metrics::default();
        metrics.reconciled(Kind::Sync, Outcome::ok, std::time::Duration::from_millis(3));
        let now = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH));
        let ended = SyncStatus { started_at: now.clone(), finished_at: now, ..SyncStatus::default() };
        metrics.sync_ended(RunMode::Full, &ended);
        metrics.delivered(&Traffic::default());
        metrics.objects(Kind::Source, 1, 0);
        let text = metrics.encode().unwrap();
        for metric in METRICS {
            let family = metric.name.trim_end_matches("_total");
            assert!(text.contains(&format!("# TYPE {family} {}", metric.kind)), "{}: {text}", metric.name);
            let sample = text.lines().any(|line| line.starts_with(metric.name));
            assert!(sample || metric.kind == "histogram", "{}: {text}", metric.name);
            for label in metric.labels {
                assert!(text.contains(&format!("{label}=\"")), "{}: {label}", metric.name);
            }
        }
    }
}
