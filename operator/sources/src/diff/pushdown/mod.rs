//! The pushdown engine: the warehouse compares model and state itself, and only changes leave it.
//!
//! [`open`] claims the state as the streaming engine does, has the warehouse make the delta by one statement ([`dialect`]), and returns
//! its changes. The returned extraction reads them page by page and moves the entries by what was acknowledged ([`run`]).
//!
//! **Doubt.** The delta itself is the durable note that its changes may have reached the destination: it is made before the first page
//! is read, and an entry that was acknowledged since carries this claim as its `rev`. What a run leaves without an acknowledgement is
//! noted in the entries by the run that drops the delta: by this one at its end, or, after a crash, by the next before it compares.

pub(crate) mod dialect;
mod opening;
mod page;
pub(crate) mod postgres;
mod run;
mod summary;
pub(crate) mod tables;
pub(crate) mod transport;

pub(crate) use self::opening::open;
