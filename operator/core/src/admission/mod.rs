//! Which queued Syncs may start: a Source and a Destination run only so many at once, and the rest wait their turn.
//!
//! The rules, in this order:
//!
//! 1. Never two runs of one Mapping, never two on one state.
//! 2. A Source and a Destination never run more than their `maxConcurrentSyncs`.
//! 3. First come, first served, per Source and per Destination: whoever waits for one of them is served before all who came later.
//! 4. A Sync that waits for something else does not hold back those behind it, as long as what they need is free. After
//!    [`PATIENCE`] its Destination is kept for it, so that it is not overtaken for ever.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

/// So long a Sync may be overtaken at its Destination while it waits for its Source.
pub const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// A Sync that is queued or running. All names are of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncSlot<'a> {
    /// Name of the Sync.
    pub name: &'a str,
    /// The Source it reads; none for a Sync that reads none.
    pub source: Option<&'a str>,
    /// The Destination it sends to.
    pub destination: Option<&'a str>,
    /// Whether it takes a place at the Destination: not a Preview, Test or check.
    pub queues_for_destination: bool,
    /// The Mapping it runs.
    pub mapping: Option<&'a str>,
    /// The state it reads and moves.
    pub state_key: Option<&'a str>,
    /// Whether its Model is suspended.
    pub model_suspended: bool,
    /// Whether its Mapping is suspended and the run was not asked for by a person.
    pub mapping_suspended: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What a Source or a Destination allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// `maxConcurrentSyncs`.
    pub max_concurrent: usize,
    /// `suspend`.
    pub suspended: bool,
}

/// Who may start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admission {
    /// Names of the Syncs that start now, oldest first.
    pub start: Vec<String>,
    /// The others with what they wait for, as `status.queuedBehind` says it, oldest first.
    pub behind: Vec<(String, String)>,
}

/// Decides which queued Syncs start now.
///
/// `sources` and `destinations` hold the limits by name; a Sync whose Source or Destination is in neither waits for it to exist.
#[must_use]
pub fn admit<'a>(
    queued: &[SyncSlot<'a>],
    running: &[SyncSlot<'a>],
    sources: &HashMap<&'a str, Limit>,
    destinations: &HashMap<&'a str, Limit>,
    now: Timestamp,
) -> Admission {
    let mut desk = Desk {
        sources: Resources::new("Source", sources),
        destinations: Resources::new("Destination", destinations),
        mappings: HashMap::new(),
        states: HashMap::new(),
    };
    for sync in running {
        desk.take(sync);
    }
    let mut oldest_first: Vec<&SyncSlot<'a>> = queued.iter().collect();
    oldest_first.sort_unstable_by_key(|sync| (sync.created_at, sync.name));
    let mut admission = Admission::default();
    for sync in oldest_first {
        match desk.reason_to_wait(sync, now) {
            None => {
                desk.take(sync);
                admission.start.push(sync.name.to_owned());
            }
            Some(reason) => admission.behind.push((sync.name.to_owned(), reason)),
        }
    }
    admission
}

/// What is taken, while the queue is gone through from the oldest to the youngest.
struct Desk<'a, 'l> {
    sources: Resources<'a, 'l>,
    destinations: Resources<'a, 'l>,
    /// Mappings and states with a run, or with an older Sync in the queue, and that Sync's name.
    mappings: HashMap<&'a str, &'a str>,
    states: HashMap<&'a str, &'a str>,
}

impl<'a> Desk<'a, '_> {
    fn take(&mut self, sync: &SyncSlot<'a>) {
        self.claim(sync);
        if let Some(source) = sync.source {
            self.sources.take(source);
        }
        if let Some(destination) = needed_destination(sync) {
            self.destinations.take(destination);
        }
    }

    /// Whoever is first at a Mapping or a state keeps its place there.
    fn claim(&mut self, sync: &SyncSlot<'a>) {
        if let Some(mapping) = sync.mapping {
            self.mappings.entry(mapping).or_insert(sync.name);
        }
        if let Some(state) = sync.state_key {
            self.states.entry(state).or_insert(sync.name);
        }
    }

    fn reason_to_wait(&mut self, sync: &SyncSlot<'a>, now: Timestamp) -> Option<String> {
        // What is suspended or absent, or has to wait for its own Mapping, holds up nobody else.
        if let Some(reason) = self.held(sync) {
            return Some(reason);
        }
        if let Some(other) = sync.mapping.and_then(|mapping| self.mappings.get(mapping)) {
            return Some(format!("Sync {other} of the same Mapping"));
        }
        if let Some(other) = sync.state_key.and_then(|state| self.states.get(state)) {
            let other = format!("Sync {other} with the same state");
            self.claim(sync);
            return Some(other);
        }
        let source = sync.source.and_then(|source| self.sources.reason_to_wait(source));
        let destination = needed_destination(sync).and_then(|name| self.destinations.reason_to_wait(name));
        if source.is_none() && destination.is_none() {
            return None;
        }
        self.claim(sync);
        if source.is_some()
            && let Some(name) = sync.source
        {
            self.sources.stand_in_line(name);
        }
        let patient = sync.created_at.checked_add(PATIENCE).is_ok_and(|end| now < end);
        if (destination.is_some() || !patient)
            && let Some(name) = needed_destination(sync)
        {
            self.destinations.stand_in_line(name);
        }
        Some([source, destination].into_iter().flatten().collect::<Vec<_>>().join("; "))
    }

    fn held(&self, sync: &SyncSlot<'a>) -> Option<String> {
        if sync.mapping_suspended {
            return Some(
                sync.mapping
                    .map_or_else(|| "suspended Mapping".to_owned(), |name| format!("Mapping {name} is suspended")),
            );
        }
        if sync.model_suspended {
            return Some("its Model is suspended".to_owned());
        }
        // A Preview or Test takes no place at the Destination, but a suspended one is left alone.
        let source = sync.source.and_then(|name| self.sources.held(name));
        source.or_else(|| sync.destination.and_then(|name| self.destinations.held(name)))
    }
}

/// The Destination at which a Sync needs a place.
fn needed_destination<'a>(sync: &SyncSlot<'a>) -> Option<&'a str> {
    sync.destination.filter(|_| sync.queues_for_destination)
}

/// All Sources, or all Destinations.
struct Resources<'a, 'l> {
    kind: &'static str,
    limits: &'l HashMap<&'a str, Limit>,
    running: HashMap<&'a str, usize>,
    /// Where somebody older stands in line.
    line: HashSet<&'a str>,
}

impl<'a, 'l> Resources<'a, 'l> {
    fn new(kind: &'static str, limits: &'l HashMap<&'a str, Limit>) -> Self {
        Self { kind, limits, running: HashMap::new(), line: HashSet::new() }
    }

    fn take(&mut self, name: &'a str) {
        *self.running.entry(name).or_default() += 1;
    }

    fn stand_in_line(&mut self, name: &'a str) {
        self.line.insert(name);
    }

    fn held(&self, name: &str) -> Option<String> {
        match self.limits.get(name) {
            None => Some(format!("{} {name} does not exist", self.kind)),
            Some(limit) if limit.suspended => Some(format!("{} {name} is suspended", self.kind)),
            Some(_) => None,
        }
    }

    /// The text has no numbers that change while a Sync waits: each change would be one more write for each Sync in the queue.
    fn reason_to_wait(&self, name: &str) -> Option<String> {
        let most = self.limits.get(name).map_or(0, |limit| limit.max_concurrent);
        if self.running.get(name).copied().unwrap_or(0) >= most {
            return Some(format!("{} {name} (maxConcurrentSyncs {most})", self.kind));
        }
        self.line.contains(name).then(|| format!("{} {name} (an older Sync is first)", self.kind))
    }
}
