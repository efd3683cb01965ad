//! A webhook receiver to watch: checks every batch, prints a line for each, and keeps a ledger (`GET /ledger`, `GET /summary`).

use std::net::SocketAddr;

use anyhow::Context as _;
use backflow_tests::receiver::{Expect, Receiver};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// Takes batches of a Backflow webhook.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080", env = "RECEIVER_LISTEN")]
    listen: SocketAddr,
    /// The bearer token that every request must carry.
    #[arg(long, env = "RECEIVER_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The key that every request must be signed with.
    #[arg(long, env = "RECEIVER_SIGNING_KEY", hide_env_values = true)]
    signing_key: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { listen, token, signing_key } = Args::parse();
    let filled = |secret: Option<String>| secret.filter(|text| !text.is_empty());
    let expect = Expect { token: filled(token), signing_key: filled(signing_key), print: true };
    let receiver = Receiver::bind(listen, expect).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on {}", receiver.address());
    // As the first process of a container it gets no default handler.
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = receiver.join() => ended.context("the server failed"),
        _ = terminated.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
