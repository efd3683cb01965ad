//! A clock that does not wait: definitions pause a minute after a refusal and poll jobs every ten seconds.

use std::sync::mpsc;
use std::time::Duration;

use super::remote::Remote;

/// How far the clock goes at once.
const STEP: Duration = Duration::from_millis(40);

/// While this exists, the clock of the current runtime goes a [`STEP`] with each round trip to the fakes: fast, but slower where the
/// machine is busy, so that no request takes long by it.
pub(crate) struct FastClock {
    ticking: tokio::task::JoinHandle<()>,
    /// A blocking task waits for its end. While there is one, the runtime does not move a paused clock by itself when it is idle: it
    /// would not know of answers that are on their way.
    _held: mpsc::Sender<()>,
}

impl FastClock {
    pub(crate) fn start(remote: Remote) -> Self {
        tokio::time::pause();
        let (held, end) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || end.recv());
        let ticking = tokio::spawn(async move {
            loop {
                remote.round_trip().await;
                tokio::time::advance(STEP).await;
            }
        });
        Self { ticking, _held: held }
    }
}

impl Drop for FastClock {
    fn drop(&mut self) {
        self.ticking.abort();
    }
}
