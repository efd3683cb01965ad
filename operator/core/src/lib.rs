//! The domain of Backflow, pure: plans, cells, changes, records, outcomes, results, schedules and decisions.
//!
//! Nothing here opens a socket, reads a clock or knows Kubernetes. The crates around it do: [`plan::Plan`] is what the controller
//! hands to a worker, [`result::RunResult`] is what comes back, and the traits [`extraction::Extraction`], [`sink::Sink`],
//! [`state::StateStore`], [`notes::Notes`] and [`report::Reporter`] are the seams between the parts of a run.

pub mod admission;
pub mod authorities;
pub mod cell;
pub mod change;
pub mod code;
pub mod codec;
pub mod decide;
pub mod duration;
pub mod encode;
pub mod extraction;
pub mod failpoint;
pub mod finding;
pub mod guard;
pub mod notes;
pub mod plan;
pub mod record;
pub mod report;
pub mod result;
pub mod schedule;
pub mod secret;
pub mod selection;
pub mod sigv4;
pub mod sink;
pub mod state;
pub mod traffic;
