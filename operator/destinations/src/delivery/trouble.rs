//! Why there is no answer.

use std::time::Duration;

use backflow_core::code::{Code, Failure};

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) failure: Failure,
    /// Trying again in this run cannot help.
    pub(crate) fatal: bool,
    /// The request may have arrived nevertheless.
    pub(crate) perhaps_arrived: bool,
}

impl Trouble {
    /// No answer within this time.
    pub(crate) fn timeout(shown: &str, after: Duration) -> Self {
        let message = format!("{shown} did not answer within {} s", after.as_secs());
        Self::perhaps_arrived(Failure::new(Code::DestinationUnreachable, message))
    }

    /// There was no connection that anything could have gone over.
    pub(crate) fn unsent(failure: Failure) -> Self {
        Self { failure, fatal: false, perhaps_arrived: false }
    }

    /// The connection broke after something went over it.
    pub(crate) fn perhaps_arrived(failure: Failure) -> Self {
        Self { failure, fatal: false, perhaps_arrived: true }
    }

    /// Nothing was sent, and nothing can be.
    pub(crate) fn fatal(failure: Failure) -> Self {
        Self { failure, fatal: true, perhaps_arrived: false }
    }
}
