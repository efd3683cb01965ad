//! Why a reconcile could not be finished. What is wrong with a manifest or the world is no error: it is written into the status.

use std::time::Duration;

/// A call of the API server that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object changed since it was read: look again.
    #[error("{0} has changed meanwhile")]
    Conflict(String),
    /// Another call failed.
    #[error("{call}: {source}")]
    Api {
        /// What was called, in words.
        call: &'static str,
        /// What came back.
        source: kube::Error,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The API server took too long.
    #[error("no end after {0:?}")]
    Timeout(Duration),
}

impl Error {
    /// Wraps an error of `call`.
    pub fn api(call: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { call, source }
    }

    /// Whether looking again at once may help.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

/// Whether the API server says that the object is not there.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// Whether the API server says that the name is taken.
#[must_use]
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

/// What the API server refuses for good: the object itself, not the moment. Its sentence is about our own object.
#[must_use]
pub fn refusal(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status) if status.is_forbidden() || status.is_invalid() || status.code == 400 => {
            Some(status.message.clone())
        }
        _ => None,
    }
}
