//! Events: one line each, for people. Losing one loses nothing, so nothing waits for them.

use std::collections::HashMap;
use std::time::Duration;

use backflow_core::code::cut;
use backflow_crds::reasons::Reason;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as EventObject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// Longest note in bytes that the API server takes.
const NOTE_MAX: usize = 1024;
/// Events that wait to be written.
const BACKLOG: usize = 512;
/// The same event again within this time is counted on the one that exists.
const SERIES: Duration = Duration::from_secs(30 * 60);
/// Remembered events. Beyond it, the oldest are forgotten: they would be written again, not lost.
const REMEMBERED: usize = 2_048;

/// An event's reason that is no [`Reason`]: something happened, and nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A Sync was created by the controller.
    SyncCreated,
    /// A Sync waits for its turn.
    SyncQueued,
    /// A Sync's Job was created.
    SyncStarted,
    /// A Sync was asked to stop.
    SyncCanceling,
    /// A Sync ended well.
    SyncSucceeded,
    /// A Sync ended, but some records were not delivered.
    SyncPartiallySucceeded,
    /// A Sync failed.
    SyncFailed,
    /// A Sync was stopped by a person.
    SyncCanceled,
    /// Slots passed without a run of their own.
    MissedSlots,
    /// A slot was too late to start.
    MissSchedule,
    /// All rows are sent again, because the Mapping was edited.
    Resending,
    /// The object became Ready.
    Ready,
    /// The object is not Ready, or stalled: the event's reason is the condition's.
    Because(Reason),
}

impl Happening {
    /// Every happening that is not named by a [`Reason`], with what it means.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::SyncCreated, "Mapping: a Sync was created for a slot, a request or the end of another run."),
        (Self::SyncQueued, "Sync: it waits for its turn; the note says behind what."),
        (Self::SyncStarted, "Sync: its Job was created."),
        (Self::SyncCanceling, "Sync: it was asked to stop and ends the batch in flight."),
        (Self::SyncSucceeded, "Sync and Mapping: a run ended; the note has its counts."),
        (Self::SyncPartiallySucceeded, "Sync and Mapping: a run ended, but some records were not delivered."),
        (Self::SyncFailed, "Sync and Mapping: a run failed; the note says why."),
        (Self::SyncCanceled, "Sync and Mapping: a person stopped the run."),
        (Self::MissedSlots, "Mapping: slots passed without a run of their own; one run carries all changes."),
        (Self::MissSchedule, "Mapping: a slot was later than startingDeadline, and is skipped."),
        (Self::Resending, "Sync: the run sends every row again, because the Mapping was edited."),
        (Self::Ready, "Source, Model, DestinationDefinition, Destination and Mapping: it became Ready."),
    ];

    /// The event's reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SyncCreated => "SyncCreated",
            Self::SyncQueued => "SyncQueued",
            Self::SyncStarted => "SyncStarted",
            Self::SyncCanceling => "SyncCanceling",
            Self::SyncSucceeded => "SyncSucceeded",
            Self::SyncPartiallySucceeded => "SyncPartiallySucceeded",
            Self::SyncFailed => "SyncFailed",
            Self::SyncCanceled => "SyncCanceled",
            Self::MissedSlots => "MissedSlots",
            Self::MissSchedule => "MissSchedule",
            Self::Resending => "Resending",
            Self::Ready => "Ready",
            Self::Because(reason) => reason.as_str(),
        }
    }

    const fn is_warning(self) -> bool {
        matches!(
            self,
            Self::SyncPartiallySucceeded | Self::SyncFailed | Self::MissedSlots | Self::MissSchedule | Self::Because(_)
        )
    }
}

/// Takes events and never blocks.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Event>);

/// An event on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What it is about.
    pub about: ObjectReference,
    /// What happened.
    pub happening: Happening,
    /// In a sentence.
    pub note: String,
}

impl Events {
    /// A channel of events: the other end goes to [`publish`], or to a test.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self(sender), receiver)
    }

    /// Tells people about `object`.
    pub fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, happening: Happening, note: impl Into<String>) {
        let about = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            name: Some(object.name_any()),
            namespace: object.namespace(),
            resource_version: object.resource_version(),
            uid: object.uid(),
            ..ObjectReference::default()
        };
        if self.0.try_send(Event { about, happening, note: cut(note.into(), NOTE_MAX) }).is_err() {
            tracing::debug!("An event is dropped: too many wait.");
        }
    }
}

/// Writes events until the other end is gone.
pub async fn publish(client: Client, reporter: String, mut events: mpsc::Receiver<Event>) {
    let mut known: HashMap<[u8; 32], Known> = HashMap::new();
    while let Some(event) = events.recv().await {
        let id = identity(&event);
        let api = Api::namespaced(client.clone(), event.about.namespace.as_deref().unwrap_or("default"));
        let written = match known.get_mut(&id).filter(|known| known.at.elapsed() < SERIES) {
            Some(known) => {
                known.count += 1;
                timeout(Duration::from_secs(10), again(&api, known)).await
            }
            None => {
                let object = object(&event, &reporter, &id);
                known.insert(id, Known { name: object.name_any(), count: 1, at: Instant::now() });
                timeout(Duration::from_secs(10), create(&api, &object)).await
            }
        };
        if !matches!(written, Ok(Ok(()))) {
            // There may be none to count on: the next one is written anew.
            known.remove(&id);
        }
        if let Ok(Err(error)) = written {
            tracing::debug!(%error, reason = event.happening.as_str(), "An event could not be written.");
        }
        if known.len() > REMEMBERED {
            known.retain(|_, known| known.at.elapsed() < SERIES / 4);
        }
    }
}

struct Known {
    name: String,
    count: i32,
    at: Instant,
}

async fn create(api: &Api<EventObject>, object: &EventObject) -> Result<(), kube::Error> {
    api.create(&PostParams::default(), object).await.map(drop)
}

async fn again(api: &Api<EventObject>, known: &Known) -> Result<(), kube::Error> {
    let series = json!({"series": {"count": known.count, "lastObservedTime": MicroTime(Timestamp::now())}});
    api.patch(&known.name, &PatchParams::default(), &Patch::Merge(series)).await.map(drop)
}

/// Two events are the same only if their notes are, too: "10 rows" must not stand for "99 rows".
fn identity(event: &Event) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [event.about.uid.as_deref().unwrap_or_default(), event.happening.as_str(), &event.note] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

fn object(event: &Event, reporter: &str, id: &[u8; 32]) -> EventObject {
    let now = Timestamp::now();
    // Unique for each new event, so that a restarted controller does not collide with its predecessor.
    let suffix = format!("{:02x}{:02x}{:02x}{:016x}", id[0], id[1], id[2], now.as_nanosecond());
    let name = event.about.name.clone().unwrap_or_default();
    EventObject {
        metadata: ObjectMeta {
            name: Some(format!("{}.{suffix}", cut_name(&name))),
            namespace: event.about.namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(if event.happening.is_warning() { "Warning" } else { "Normal" }.into()),
        reason: Some(event.happening.as_str().into()),
        action: Some("Reconcile".into()),
        note: Some(event.note.clone()),
        regarding: Some(event.about.clone()),
        reporting_controller: Some("backflow.dev/controller".into()),
        reporting_instance: Some(reporter.chars().take(128).collect()),
        ..EventObject::default()
    }
}

/// Names of objects are ASCII and at most 253 long; ours needs room for its suffix.
fn cut_name(name: &str) -> &str {
    &name[..name.len().min(200)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(note: &str) -> Event {
        Event { about: ObjectReference::default(), happening: Happening::SyncSucceeded, note: note.into() }
    }

    #[test]
    fn another_note_is_another_event() {
        assert_ne!(identity(&event("10 rows")), identity(&event("99 rows")));
        assert_eq!(identity(&event("10 rows")), identity(&event("10 rows")));
    }

    #[test]
    fn notes_are_cut_between_characters() {
        let (events, mut receiver) = Events::channel();
        let mut sync = backflow_crds::v1alpha1::Sync::new("s", backflow_crds::v1alpha1::SyncSpec::default());
        sync.metadata.namespace = Some("ns".into());
        events.tell(&sync, Happening::SyncFailed, "€".repeat(1000));
        let note = receiver.try_recv().unwrap().note;
        assert!(note.len() <= NOTE_MAX && note.ends_with("€…"), "{}", note.len());
    }

    #[test]
    fn a_full_backlog_drops_events_and_does_not_wait() {
        let (events, _receiver) = Events::channel();
        let sync = backflow_crds::v1alpha1::Sync::new("s", backflow_crds::v1alpha1::SyncSpec::default());
        for _ in 0..=BACKLOG {
            events.tell(&sync, Happening::SyncQueued, "note");
        }
    }
}
