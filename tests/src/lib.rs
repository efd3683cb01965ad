//! What tests of several crates share: real servers, fakes, receivers, oracles.

pub mod certificates;
pub mod cli;
pub mod cluster;
pub mod customers;
pub mod destinations;
pub mod diff_site;
pub mod fake_site;
pub mod guide;
pub mod mariadb;
pub mod memory;
pub mod oracle;
pub mod postgres;
pub mod program;
pub mod receiver;
pub mod redshift;
pub mod rows;
pub mod s3;
pub mod state_conformance;
pub mod tunnel;
pub mod warehouse;
pub mod webhook;
pub mod wire;
pub mod worker;

use std::time::Duration;

use anyhow::Context as _;

/// How long anything may take before a test gives up. A hang costs this, a success nothing.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Looks again and again until something is so that nobody tells of.
///
/// # Errors
/// It is not within [`PATIENCE`]: `otherwise` says what is the case then.
pub async fn until(otherwise: &str, mut so: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let waiting = async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        while !so().await {
            again.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.with_context(|| format!("{otherwise} after {} s", PATIENCE.as_secs()))
}
