//! The pushdown engine: the warehouse compares model and state itself, and only changes leave it.
//!
//! [`open`] claims the state as the streaming engine does, has the warehouse make the delta by one statement ([`dialect`]), and returns
//! its changes. The returned extraction reads them page by page and moves the entries by what was acknowledged ([`run`]).
//!
//! The warehouse does not know which record of the destination a row stands for: that is for the Mapping to say. Where records are
//! found by more than the primary key, the delta is made in two steps: what is not simply unchanged is read by the worker, which says
//! what each row stands for ([`records`]), and a second statement has all rows beside all records ([`dialect::Dialect::resolve`]).
//!
//! **Doubt.** The delta itself is the durable note that its changes may have reached the destination: it is made before the first page
//! is read, and an entry that was acknowledged since carries this claim as its `rev`. What a run leaves without an acknowledgement is
//! noted in the entries by the run that drops the delta: by this one at its end, or, after a crash, by the next before it compares.

mod codes;
pub(crate) mod dialect;
pub(crate) mod dialects;
mod limits;
mod opening;
mod page;
mod ready;
mod records;
mod run;
pub(crate) mod statement;
mod summary;
pub(crate) mod tables;
mod text;
pub(crate) mod transport;
pub(crate) mod typed;

pub(crate) use self::opening::open;
