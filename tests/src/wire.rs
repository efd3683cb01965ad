//! A wire to a server that can be cut at the worst moment: between a commit and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How Postgres is told to commit, in plain text.
const COMMIT: &[u8] = b"COMMIT\0";

/// The wire; it is gone when this is dropped.
pub struct Wire {
    port: u16,
    /// Answers to commits that are still to be lost.
    armed: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// Leads to a port of this machine.
    ///
    /// # Errors
    /// Of the system.
    pub async fn to(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.port();
        let armed = Arc::new(AtomicUsize::new(0));
        let shared = Arc::clone(&armed);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, Arc::clone(&shared)));
            }
        });
        Ok(Self { port: own, armed, task })
    }

    /// Where it begins.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The answers to the next commits are lost: each is made, and then its connection is cut.
    pub fn lose_commits(&self, commits: usize) {
        self.armed.store(commits, SeqCst);
    }

    /// Answers that are still to be lost.
    #[must_use]
    pub fn to_lose(&self) -> usize {
        self.armed.load(SeqCst)
    }
}

async fn carry(client: TcpStream, port: u16, armed: Arc<AtomicUsize>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let losing = AtomicBool::new(false);
    let sending = async {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            let commits = bytes[..read].windows(COMMIT.len()).any(|window| window == COMMIT);
            let lose = commits && armed.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            losing.fetch_or(lose, SeqCst);
            if to_server.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    let answering = async {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
            // The server has answered: it is done.
            if losing.load(SeqCst) || to_client.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = answering => {}
    }
}
