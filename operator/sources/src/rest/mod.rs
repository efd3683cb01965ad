//! Warehouses that are reached by HTTPS and JSON: one client, one way to try again, one way to read large answers.
//!
//! [`service`] sends requests and tries again what may pass; [`body`] reads an answer as it arrives, unpacked and bounded; [`scan`]
//! finds the rows in it without holding them; [`row`] makes batches of them. [`running`] keeps statements that are cancelled when
//! nobody waits for them, and [`read`] reads models by them; [`token`] keeps tokens while they hold. What an answer means is each warehouse's own: a new one implements
//! [`running::Jobs`] and [`read::Models`] for its client, and [`row::Described`] and [`row::Wire`] for its types. No text of a
//! server's and no credential is in a failure of this module.

pub(crate) mod body;
mod call;
pub(crate) mod compose;
pub(crate) mod digits;
#[cfg(test)]
pub(crate) mod golden;
pub(crate) mod jwt;
#[cfg(test)]
pub(crate) mod keys;
pub(crate) mod page;
pub(crate) mod read;
pub(crate) mod row;
pub(crate) mod running;
pub(crate) mod scan;
#[cfg(test)]
pub(crate) mod script;
pub(crate) mod service;
pub(crate) mod token;
mod trouble;

pub(crate) use self::call::{Call, Link};
pub(crate) use self::service::{Authorize, Service, request_id};
