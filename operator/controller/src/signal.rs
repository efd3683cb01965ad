//! Stopping: what SIGTERM and SIGINT set off.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether the process has been asked to stop. Cheap to clone; every task that loops holds one.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// The other end of a [`Stop`].
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

impl Stop {
    /// A signal that is given by hand.
    #[must_use]
    pub fn by_hand() -> (Stopper, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Self(receiver))
    }

    /// Returns once the signal is given.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // A sender that is gone can never ask: whoever dropped it stops by other means.
        if receiver.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether it has been given.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

impl Stopper {
    /// Gives the signal.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// Listens for SIGTERM and SIGINT.
///
/// # Errors
/// If the handlers cannot be installed.
pub fn on_termination() -> std::io::Result<Stop> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stopper, stop) = Stop::by_hand();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("Asked to stop.");
        stopper.stop();
        // Keeps the channel, and so the signal, for as long as the process lives.
        std::future::pending::<()>().await;
    });
    Ok(stop)
}
