//! The decision itself.

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::{Schedule, SlotCount, Slots};

use super::name::{after_name, requested_name, slot_name};
use super::view::{
    Action, Baseline, Decision, NewSync, Phase, ScheduleEvent, ScheduleStatus, SyncView, Trigger, UpstreamRun, View,
    Waiting,
};

/// Wake up this much after a slot: the clocks of controller and API server differ.
const AFTER_SLOT: Duration = Duration::from_millis(100);
/// Never sleep longer: a runtime's timers are limited, and clocks are set.
const LONGEST_SLEEP: Duration = Duration::from_secs(6 * 3_600);
/// A recorded moment that lies so far ahead was written under a wrong clock. It is more than any jitter.
const CLOCK_FAULT: Duration = Duration::from_secs(2 * 86_400);
/// Hash of the baseline while the schedule cannot be read: the correction is then an edit like any other.
const INVALID: &str = "invalid";

/// Decides what a Mapping does now.
#[must_use]
pub fn decide(view: &View<'_>, now: Timestamp) -> Decision {
    let mut status = view.recorded.clone();
    status.suspended = view.suspended.any();
    status.next_schedule_time = None;
    repair(&mut status, view.syncs);
    let mut decision =
        Decision { action: Action::Wait, wake_at: None, status, events: Vec::new(), waiting: None, collision: None };
    let Some(schedule) = view.schedule else {
        no_schedule(&mut decision, now);
        return decision;
    };
    let moment = Moment::new(view, schedule, &mut decision.status, now);
    let due = moment.due(view);
    let due = moment.absorb(view, due, &mut decision.status);
    let requested = request(view, &mut decision);
    if !requested && let Some(due) = due {
        moment.scheduled(view, &due, &mut decision);
    }
    if !view.suspended.any() {
        moment.look_ahead(view, &mut decision);
    }
    decision
}

/// Status is a report: a Sync that exists was started, even if the status does not say so yet.
fn repair(status: &mut ScheduleStatus, syncs: &[SyncView<'_>]) {
    let newest = syncs.iter().filter(|sync| sync.is_scheduled()).filter_map(|sync| sync.slot).max();
    status.last_schedule_time = status.last_schedule_time.max(newest);
}

fn no_schedule(decision: &mut Decision, now: Timestamp) {
    let status = &mut decision.status;
    status.effective_schedule = None;
    if status.baseline.as_ref().is_none_or(|baseline| baseline.hash != INVALID) {
        status.baseline = Some(Baseline { hash: INVALID.to_owned(), since: whole_second(now) });
    }
    decision.waiting = Some(Waiting::NotRunnable);
}

/// A slot that has come.
struct Due {
    slot: Timestamp,
    name: String,
    trigger: Trigger,
    /// Slots since the last run, this one included.
    slots: SlotCount,
}

/// The schedule as it stands at this moment.
struct Moment<'a> {
    schedule: &'a Schedule,
    offset: Duration,
    now: Timestamp,
    /// The recorded baseline, corrected for edit and resume.
    since: Timestamp,
    /// Slots after this one count.
    base: Timestamp,
}

impl<'a> Moment<'a> {
    fn new(view: &View<'_>, schedule: &'a Schedule, status: &mut ScheduleStatus, now: Timestamp) -> Self {
        let offset = schedule.offset(view.uid);
        let since = since(view, schedule, offset, now);
        status.baseline = Some(Baseline { hash: schedule.hash().to_owned(), since });
        status.effective_schedule = Some(schedule.describe(offset));
        let last = status.last_schedule_time.filter(|last| !is_clock_fault(*last, now));
        Self { schedule, offset, now, since, base: last.map_or(since, |last| last.max(since)) }
    }

    fn slots(&self) -> Option<Slots<'a>> {
        self.schedule.slots(self.since, self.offset)
    }

    /// The newest slot that has come and counts. Older ones are carried by its run.
    fn due(&self, view: &View<'_>) -> Option<Due> {
        if let Some(slots) = self.slots() {
            let slot = slots.previous_slot_at_or_before(self.now).filter(|slot| *slot > self.base)?;
            let name = slot_name(view.mapping, slot);
            return Some(Due { slot, name, trigger: Trigger::Schedule, slots: slots.missed_between(self.base, slot) });
        }
        let runs: Vec<_> = self.upstream(view).filter(|(slot, _)| *slot <= self.now).collect();
        let (slot, run) = runs.iter().max_by_key(|(slot, run)| (*slot, run.sync))?;
        let name = after_name(view.mapping, view.uid, run.sync, run.finished_at);
        let slots = SlotCount { count: runs.len() as u64, exact: true };
        Some(Due { slot: *slot, name, trigger: Trigger::After, slots })
    }

    /// Runs of the followed Mapping that ask for a run and had none, with the moment at which it is due.
    fn upstream<'v>(&self, view: &'v View<'_>) -> impl Iterator<Item = (Timestamp, &'v UpstreamRun<'v>)> {
        let follows = self.schedule.follows().is_some();
        let (offset, base) = (self.offset, self.base);
        let runs = view.upstream.iter().filter(move |run| follows && (run.delivered || run.nothing_to_do));
        runs.filter_map(move |run| Some((run.finished_at.checked_add(offset).ok()?, run)))
            .filter(move |(slot, _)| *slot > base)
    }

    /// A scheduled Sync that still waits for its turn carries the slots that come meanwhile, and one that runs those up to its start.
    fn absorb(&self, view: &View<'_>, due: Option<Due>, status: &mut ScheduleStatus) -> Option<Due> {
        let due = due?;
        if view.suspended.any() {
            // No slot counts during a suspension, so none is missed.
            return Some(due);
        }
        let carried = view.syncs.iter().filter(|sync| sync.is_scheduled()).any(|sync| match sync.phase {
            Phase::Queued => true,
            Phase::Running | Phase::Finished { .. } => sync.started_at.is_some_and(|started| started >= due.slot),
        });
        if !carried || view.syncs.iter().any(|sync| sync.name == due.name) {
            return Some(due);
        }
        self.pass(status, &due);
        None
    }

    /// A slot that gets no run of its own.
    fn pass(&self, status: &mut ScheduleStatus, due: &Due) {
        status.missed_slots = status.missed_slots.saturating_add(due.slots.count);
        self.count_from(status, due.slot);
    }

    fn count_from(&self, status: &mut ScheduleStatus, slot: Timestamp) {
        status.baseline = Some(Baseline { hash: self.schedule.hash().to_owned(), since: slot });
    }

    fn scheduled(&self, view: &View<'_>, due: &Due, decision: &mut Decision) {
        match view.syncs.iter().find(|sync| sync.name == due.name) {
            Some(sync) if sync.is_ours() => {
                self.started(due, decision);
                return;
            }
            Some(_) => {
                decision.events.push(ScheduleEvent::NameCollision { name: due.name.clone() });
                decision.collision = Some(due.name.clone());
                self.pass(&mut decision.status, due);
                return;
            }
            None => {}
        }
        if view.suspended.any() {
            decision.waiting = Some(Waiting::Suspended);
            return;
        }
        if let Some(deadline) = self.schedule.starting_deadline()
            && self.now.duration_since(due.slot)
                > jiff::SignedDuration::try_from(deadline).unwrap_or(jiff::SignedDuration::MAX)
        {
            decision.events.push(ScheduleEvent::MissSchedule { slot: due.slot, deadline });
            self.pass(&mut decision.status, due);
            return;
        }
        if !view.runnable {
            decision.waiting = Some(Waiting::NotRunnable);
        } else if let Some(sync) = view.syncs.iter().find(|sync| is_active(sync)) {
            decision.waiting = Some(Waiting::Active { sync: sync.name.to_owned() });
        } else {
            let missed = due.slots.count.saturating_sub(1);
            if missed > 0 {
                decision.status.missed_slots = decision.status.missed_slots.saturating_add(missed);
                decision.events.push(ScheduleEvent::MissedSlots { count: missed, exact: due.slots.exact });
            }
            self.started(due, decision);
            decision.action =
                Action::Start(NewSync { name: due.name.clone(), trigger: due.trigger, slot: Some(due.slot) });
        }
    }

    fn started(&self, due: &Due, decision: &mut Decision) {
        let status = &mut decision.status;
        // A last slot from a wrong clock stays where it is, so the baseline has to remember this one.
        if status.last_schedule_time.is_some_and(|last| is_clock_fault(last, self.now)) {
            self.count_from(status, due.slot);
        }
        status.last_schedule_time = status.last_schedule_time.max(Some(due.slot));
    }

    fn look_ahead(&self, view: &View<'_>, decision: &mut Decision) {
        let next = match self.slots() {
            Some(slots) => slots.next_slot_after(self.now.max(self.base)),
            None => self.upstream(view).map(|(slot, _)| slot).filter(|slot| *slot > self.now).min(),
        };
        decision.status.next_schedule_time = next;
        let longest = self.now.checked_add(LONGEST_SLEEP).unwrap_or(Timestamp::MAX);
        decision.wake_at = next.map(|slot| slot.checked_add(AFTER_SLOT).unwrap_or(slot).min(longest));
    }
}

/// From when on slots count, after a look at what changed since the status was written.
fn since(view: &View<'_>, schedule: &Schedule, offset: Duration, now: Timestamp) -> Timestamp {
    let at = whole_second(now);
    match &view.recorded.baseline {
        None => schedule.begin_new(view.created_at, offset),
        Some(recorded) if recorded.hash == INVALID && view.recorded.last_schedule_time.is_none() => {
            schedule.begin_new(at, offset)
        }
        Some(recorded) if recorded.hash != schedule.hash() || is_clock_fault(recorded.since, now) => {
            schedule.begin_edited(at, offset)
        }
        Some(recorded) if view.recorded.suspended && !view.suspended.any() => {
            schedule.begin_resumed(recorded.since, at)
        }
        Some(recorded) => recorded.since,
    }
}

/// A run that a person asked for by annotation. Answers whether it takes this decision's turn.
fn request(view: &View<'_>, decision: &mut Decision) -> bool {
    let Some(token) = view.requested_at.filter(|token| !token.is_empty()) else { return false };
    if decision.status.last_handled_request.as_deref() == Some(token) {
        return false;
    }
    let name = requested_name(view.mapping, view.uid, token);
    let existing = view.syncs.iter().find(|sync| sync.name == name);
    if let Some(sync) = existing {
        decision.status.last_handled_request = Some(token.to_owned());
        if !sync.is_ours() {
            decision.events.push(ScheduleEvent::NameCollision { name: name.clone() });
            decision.collision = Some(name);
        }
        return false;
    }
    // A scheduled Sync in the queue does not hold a person back: it may wait for as long as the Mapping is suspended.
    let ahead = view.syncs.iter().find(|sync| is_active(sync) && !(sync.is_scheduled() && sync.phase == Phase::Queued));
    if view.suspended.beyond_mapping() {
        decision.waiting = Some(Waiting::Suspended);
    } else if !view.runnable {
        decision.waiting = Some(Waiting::NotRunnable);
    } else if let Some(sync) = ahead {
        decision.waiting = Some(Waiting::Active { sync: sync.name.to_owned() });
    } else {
        decision.status.last_handled_request = Some(token.to_owned());
        decision.action = Action::Start(NewSync { name, trigger: Trigger::Manual, slot: None });
    }
    // While the request waits, a slot may still pass its deadline or be adopted; it cannot start, for what holds up the request holds
    // up the slot as well.
    matches!(decision.action, Action::Start(_))
}

fn is_active(sync: &SyncView<'_>) -> bool {
    !matches!(sync.phase, Phase::Finished { .. })
}

fn is_clock_fault(recorded: Timestamp, now: Timestamp) -> bool {
    recorded > now.checked_add(CLOCK_FAULT).unwrap_or(Timestamp::MAX)
}

/// Moments in the status have whole seconds.
fn whole_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}
