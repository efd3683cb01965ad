//! Connections to Postgres servers: how they come about, what their transactions begin with, and what the driver's errors mean.
//!
//! Both sides use them: the Source that reads rows and keeps state, and the Destination that writes rows. [`Words`] are what each calls
//! its settings, so that a message names the field that its user can change.

mod connect;
mod errors;

pub use connect::{Connector, Purpose, Reach, Target, Words, begin, end, run};
pub use errors::{broken, database, transient, unavailable};

/// A name in double quotes.
#[must_use]
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
