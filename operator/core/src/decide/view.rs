//! What [`decide`](super::decide) is told, and what it answers.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::duration::format_duration;
use crate::schedule::Schedule;

/// Everything that is known about a Mapping when it decides.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// Its name.
    pub mapping: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its schedule; none while the schedule is invalid.
    pub schedule: Option<&'a Schedule>,
    /// Whether a run could start: the manifest is valid, what it names exists, and the plan can be made.
    pub runnable: bool,
    /// Who is suspended now.
    pub suspended: Suspended,
    /// The annotation `backflow.dev/requestedAt`, if it is there.
    pub requested_at: Option<&'a str>,
    /// What the status says.
    pub recorded: &'a ScheduleStatus,
    /// Known Syncs of this Mapping, at least all that are not finished, whoever made them.
    pub syncs: &'a [SyncView<'a>],
    /// Known finished runs of the Mapping that is followed, at least the last one; empty for other schedules.
    pub upstream: &'a [UpstreamRun<'a>],
}

/// `suspend: true`, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Suspended {
    /// The Mapping itself: scheduled runs wait, requested ones do not.
    pub mapping: bool,
    /// Its Source.
    pub source: bool,
    /// Its Model.
    pub model: bool,
    /// Its Destination.
    pub destination: bool,
}

impl Suspended {
    /// Whether no scheduled run may start.
    #[must_use]
    pub fn any(self) -> bool {
        self.mapping || self.beyond_mapping()
    }

    /// Whether no run at all may start.
    #[must_use]
    pub fn beyond_mapping(self) -> bool {
        self.source || self.model || self.destination
    }
}

/// The part of a Mapping's status that belongs to its schedule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleStatus {
    /// The newest slot that was started. It never moves backwards.
    pub last_schedule_time: Option<Timestamp>,
    /// The next slot; none if there is none that is known.
    pub next_schedule_time: Option<Timestamp>,
    /// From when on slots count.
    pub baseline: Option<Baseline>,
    /// The newest `requestedAt` that was answered with a run.
    pub last_handled_request: Option<String>,
    /// Slots that got no run of their own, in all.
    pub missed_slots: u64,
    /// The schedule in words.
    pub effective_schedule: Option<String>,
    /// Whether a Source, Model, Destination or the Mapping was suspended when this was written: the next decision sees the resume.
    pub suspended: bool,
}

/// From when on slots count: those after `since`, of the schedule with this hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Baseline {
    /// [`Schedule::hash`].
    pub hash: String,
    /// Slots after this moment count. For an interval it is itself a slot, from which the others are counted: a new Mapping, whose
    /// first run is due at once, begins one interval before its creation.
    pub since: Timestamp,
}

/// Why a Sync was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A slot came.
    Schedule,
    /// A person asked, by annotation or by a Sync of their own.
    Manual,
    /// The followed Mapping's run ended.
    After,
}

/// A Sync of this Mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether the controller made it (not a person).
    pub by_controller: bool,
    /// Whether its owner is this Mapping: same uid, not only same name.
    pub owned: bool,
    /// Why it was made.
    pub trigger: Trigger,
    /// The slot it was made for, if known.
    pub slot: Option<Timestamp>,
    /// When its run began; none while it is queued.
    pub started_at: Option<Timestamp>,
    /// How far it is.
    pub phase: Phase,
}

impl SyncView<'_> {
    /// Whether the controller made it for this very Mapping.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.by_controller && self.owned
    }

    /// Whether the controller made it for a slot, or for the end of a followed run.
    pub(super) fn is_scheduled(&self) -> bool {
        self.is_ours() && self.trigger != Trigger::Manual
    }
}

/// How far a Sync is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits for its turn.
    Queued,
    /// It runs, or is being cancelled.
    Running,
    /// It ended.
    Finished {
        /// When.
        at: Timestamp,
        /// Whether it succeeded, in all its records.
        succeeded: bool,
    },
}

/// A finished run of the Mapping that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamRun<'a> {
    /// Name of its Sync.
    pub sync: &'a str,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Whether at least one record was delivered.
    pub delivered: bool,
    /// Whether it succeeded and found no change at all.
    pub nothing_to_do: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// When to decide again at the latest; none: when something happens.
    pub wake_at: Option<Timestamp>,
    /// What to write into the status, after the action has succeeded.
    pub status: ScheduleStatus,
    /// What to tell people.
    pub events: Vec<ScheduleEvent>,
    /// Why a run that is due does not start.
    pub waiting: Option<Waiting>,
    /// A Sync of somebody else has the name that this Mapping's run would have: `Ready=False/NameCollision`.
    pub collision: Option<String>,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Create this Sync.
    Start(NewSync),
    /// Nothing.
    Wait,
}

/// The Sync to create, mode Incremental.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSync {
    /// Its name.
    pub name: String,
    /// Its `spec.trigger`.
    pub trigger: Trigger,
    /// The slot it is for; none for a requested run.
    pub slot: Option<Timestamp>,
}

/// Why a run that is due does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Somebody is suspended.
    Suspended,
    /// The Mapping cannot run as it is.
    NotRunnable,
    /// Another Sync of this Mapping is not finished.
    Active {
        /// Its name.
        sync: String,
    },
}

/// Something that people are told once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScheduleEvent {
    /// The name of a run belongs to somebody else's Sync; this run does not take place.
    NameCollision {
        /// The name.
        name: String,
    },
    /// Slots passed without a run of their own.
    MissedSlots {
        /// How many.
        count: u64,
        /// Whether they were counted; otherwise about so many.
        exact: bool,
    },
    /// A slot was too late to start.
    MissSchedule {
        /// The slot.
        slot: Timestamp,
        /// The limit.
        deadline: Duration,
    },
}

impl ScheduleEvent {
    /// The event's reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NameCollision { .. } => "NameCollision",
            Self::MissedSlots { .. } => "MissedSlots",
            Self::MissSchedule { .. } => "MissSchedule",
        }
    }
}

impl fmt::Display for ScheduleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameCollision { name } => write!(
                f,
                "the Sync \"{name}\" exists and does not belong to this Mapping, so this run is skipped; delete that Sync if it is not needed"
            ),
            Self::MissedSlots { count, exact } => {
                let about = if *exact { "" } else { "about " };
                let slots = if *count == 1 { "slot" } else { "slots" };
                write!(f, "{about}{count} {slots} passed without a run of their own; one run now carries all changes")
            }
            Self::MissSchedule { slot, deadline } => write!(
                f,
                "the slot of {} did not start within its startingDeadline of {} and is skipped",
                slot.strftime("%Y-%m-%dT%H:%M:%SZ"),
                format_duration(*deadline)
            ),
        }
    }
}
