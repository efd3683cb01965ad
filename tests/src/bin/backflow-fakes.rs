//! The vendors of all built-in definitions, for a person to point Destinations at (tests/fakes/destinations/README.md).

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use backflow_tests::destinations::{Fakes, definitions};
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Plays the vendors of Backflow's destination definitions, behind an HTTP proxy.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to write the certificate of the authority that vouches for the hosts.
    #[arg(long, default_value = "ca.pem")]
    authority: PathBuf,
    /// The folder of definitions with their fixtures.
    #[arg(long, default_value_os_t = definitions())]
    definitions: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Args { listen, authority, definitions } = Args::parse();
    let fakes = Fakes::bind(listen, &definitions).await?;
    std::fs::copy(fakes.authority(), &authority).with_context(|| authority.display().to_string())?;
    let authority = authority.canonicalize()?;
    println!("{}", json!({"url": fakes.url(), "authority": authority, "accounts": fakes.credentials()}));
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = fakes.join() => ended.context("the server failed"),
        _ = terminated.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
