//! What a Mapping does now: start a Sync, wait until a moment, or wait for something to happen.
//!
//! [`decide`] is a pure function of what is known ([`View`]) and the time. The atomic creation of the Sync is the lock: its name
//! follows from the slot, so two controllers, or one that crashed between creation and status, come to the same name. When the
//! creation answers that the name is taken, the caller adds that Sync to [`View::syncs`] and decides again.

mod after;
mod decision;
mod history;
mod name;
mod view;

#[cfg(test)]
mod tests;

pub use after::after_cycles;
pub use decision::decide;
pub use history::prune;
pub use name::{after_name, requested_name, slot_name};
pub use view::{
    Action, Baseline, Decision, NewSync, Phase, ScheduleEvent, ScheduleStatus, Suspended, SyncView, Trigger,
    UpstreamRun, View, Waiting,
};
