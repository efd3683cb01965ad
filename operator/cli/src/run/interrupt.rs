//! Ctrl-C: the first ends the run in an orderly way, the second at once.

use std::path::PathBuf;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::console::Console;
use crate::exit;

/// Whether a person asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM until the process ends. The second one removes `scratch` and ends the process.
    pub(crate) fn listen(scratch: PathBuf, console: Console) -> Self {
        let (asked, receiver) = watch::channel(false);
        let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        if let [Ok(mut interrupt), Ok(mut terminate)] = signals {
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if asked.send_replace(true) {
                        let _ = std::fs::remove_dir_all(&scratch);
                        std::process::exit(i32::from(exit::INTERRUPTED));
                    }
                    console.error("Stopping after the batch in flight; what was acknowledged is kept. Ctrl-C again stops at once.");
                }
            });
        }
        Self(receiver)
    }

    /// Whether a person asked to stop.
    pub(crate) fn asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when a person asks to stop.
    pub(crate) async fn wait(&self) {
        if self.0.clone().wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
