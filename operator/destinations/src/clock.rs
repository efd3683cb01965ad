//! What time it is: for signatures, assertions, and waits until a moment.

use std::time::SystemTime;

#[cfg(test)]
use std::cell::Cell;

#[cfg(test)]
thread_local! {
    /// What tests say it is.
    static SAID: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// Now.
pub(crate) fn now() -> SystemTime {
    #[cfg(test)]
    if let Some(said) = SAID.get() {
        return said;
    }
    SystemTime::now()
}

/// From now on it is always this moment, on this thread.
#[cfg(test)]
pub(crate) fn set(now: SystemTime) {
    SAID.set(Some(now));
}
