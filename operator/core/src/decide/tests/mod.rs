//! Scenarios for the decision: each case of docs/schedules.md is a test with its name.

mod after_runs;
mod history;
mod laws;
mod requests;
mod slots;

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::{FormSpec, Schedule, ScheduleSpec};

use super::*;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().expect("a time stamp")
}

/// The 2nd of June 2025, a Monday, at this time.
pub(super) fn monday(time: &str) -> Timestamp {
    at(&format!("2025-06-02T{time}Z"))
}

pub(super) fn schedule(form: FormSpec, jitter: Option<&str>, deadline: Option<&str>) -> Schedule {
    let spec = ScheduleSpec { form, jitter: jitter.map(str::to_owned), starting_deadline: deadline.map(str::to_owned) };
    Schedule::parse(&spec).expect("a valid schedule")
}

pub(super) fn every(text: &str) -> Schedule {
    schedule(FormSpec::Interval(text.to_owned()), None, None)
}

pub(super) fn cron(text: &str) -> Schedule {
    schedule(cron_form(text), None, None)
}

pub(super) fn cron_form(text: &str) -> FormSpec {
    FormSpec::Cron { expressions: vec![text.to_owned()], time_zone: None }
}

/// A Sync as a namespace holds it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) by_controller: bool,
    pub(super) owner: String,
    pub(super) trigger: Trigger,
    pub(super) slot: Option<Timestamp>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) phase: Phase,
}

/// A Mapping, its Syncs, and a controller that carries out what is decided.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) uid: String,
    pub(super) created_at: Timestamp,
    pub(super) schedule: Option<Schedule>,
    pub(super) runnable: bool,
    pub(super) suspended: Suspended,
    pub(super) requested_at: Option<String>,
    pub(super) status: ScheduleStatus,
    pub(super) syncs: Vec<Stored>,
    pub(super) upstream: Vec<(String, Timestamp, bool, bool)>,
}

impl World {
    pub(super) fn new(schedule: Schedule, created_at: Timestamp) -> Self {
        Self {
            uid: "uid-1".to_owned(),
            created_at,
            schedule: Some(schedule),
            runnable: true,
            suspended: Suspended::default(),
            requested_at: None,
            status: ScheduleStatus::default(),
            syncs: Vec::new(),
            upstream: Vec::new(),
        }
    }

    /// What is decided, without carrying it out.
    pub(super) fn decide(&self, now: Timestamp) -> Decision {
        let syncs: Vec<SyncView<'_>> = self
            .syncs
            .iter()
            .map(|sync| SyncView {
                name: &sync.name,
                by_controller: sync.by_controller,
                owned: sync.owner == self.uid,
                trigger: sync.trigger,
                slot: sync.slot,
                started_at: sync.started_at,
                phase: sync.phase,
            })
            .collect();
        let upstream: Vec<UpstreamRun<'_>> = self
            .upstream
            .iter()
            .map(|(sync, finished_at, delivered, nothing_to_do)| UpstreamRun {
                sync,
                finished_at: *finished_at,
                delivered: *delivered,
                nothing_to_do: *nothing_to_do,
            })
            .collect();
        let view = View {
            mapping: "crm",
            uid: &self.uid,
            created_at: self.created_at,
            schedule: self.schedule.as_ref(),
            runnable: self.runnable,
            suspended: self.suspended,
            requested_at: self.requested_at.as_deref(),
            recorded: &self.status,
            syncs: &syncs,
            upstream: &upstream,
        };
        decide(&view, now)
    }

    /// Decides and carries it out; the new Sync waits in the queue.
    pub(super) fn step(&mut self, now: Timestamp) -> Decision {
        let decision = self.decide(now);
        if let Action::Start(new) = &decision.action {
            assert!(self.syncs.iter().all(|sync| sync.name != new.name), "{} is created twice", new.name);
            self.create(new);
        }
        self.status = decision.status.clone();
        decision
    }

    pub(super) fn create(&mut self, new: &NewSync) {
        self.syncs.push(Stored {
            name: new.name.clone(),
            by_controller: true,
            owner: self.uid.clone(),
            trigger: new.trigger,
            slot: new.slot,
            started_at: None,
            phase: Phase::Queued,
        });
    }

    pub(super) fn by_person(&mut self, name: &str, phase: Phase) {
        self.syncs.push(Stored {
            name: name.to_owned(),
            by_controller: false,
            owner: String::new(),
            trigger: Trigger::Manual,
            slot: None,
            started_at: None,
            phase,
        });
    }

    /// The newest Sync begins to run.
    pub(super) fn run(&mut self, now: Timestamp) {
        let sync = self.syncs.last_mut().expect("a Sync");
        sync.phase = Phase::Running;
        sync.started_at = Some(now);
    }

    /// The newest Sync ends.
    pub(super) fn finish(&mut self, now: Timestamp) {
        self.syncs.last_mut().expect("a Sync").phase = Phase::Finished { at: now, succeeded: true };
    }

    /// A whole run within a second.
    pub(super) fn run_at_once(&mut self, now: Timestamp) -> Option<String> {
        let started = self.step(now);
        let name = started_name(&started)?;
        self.run(now);
        self.finish(now);
        Some(name)
    }
}

pub(super) fn started_name(decision: &Decision) -> Option<String> {
    if let Action::Start(new) = &decision.action { Some(new.name.clone()) } else { None }
}

pub(super) fn name_at(slot: Timestamp) -> Option<String> {
    Some(slot_name("crm", slot))
}

pub(super) fn soon_after(slot: Timestamp) -> Option<Timestamp> {
    Some(slot + Duration::from_millis(100))
}
