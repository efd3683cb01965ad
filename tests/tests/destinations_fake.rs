//! Built-in definitions, unaltered, by the worker's library against the fake vendors: their hosts are reached through the fakes' proxy,
//! and what they took is what the worker says. Rows and Mappings are made of the definitions' own fixtures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "destinations_fake/clock.rs"]
mod clock;
#[path = "destinations_fake/exact.rs"]
mod exact;
#[path = "destinations_fake/fixture.rs"]
mod fixture;
#[path = "destinations_fake/remote.rs"]
mod remote;
#[path = "destinations_fake/route.rs"]
mod route;
#[path = "destinations_fake/strict.rs"]
mod strict;
#[path = "destinations_fake/vendors.rs"]
mod vendors;

use std::process::Stdio;

use backflow_tests::PATIENCE;
use backflow_tests::destinations::Fakes;
use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};

/// Where the fakes are, in the process that runs against them.
const FAKES: &str = "BACKFLOW_TEST_FAKES";

/// Proxy, trusted authorities and clock are the process's, so all runs are in one of their own: this test, once more.
#[test]
fn every_action_of_every_definition_syncs_with_an_exact_ledger() {
    match std::env::var(FAKES) {
        Ok(url) => runtime(Builder::new_current_thread()).block_on(vendors::play_all(url)),
        Err(_) => runtime(Builder::new_multi_thread()).block_on(another_process()),
    }
}

fn runtime(mut builder: Builder) -> Runtime {
    builder.enable_all().build().unwrap()
}

async fn another_process() {
    let fakes = Fakes::start().await.unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "every_action_of_every_definition_syncs_with_an_exact_ledger"]);
    for name in ["HTTP_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env(FAKES, fakes.url()).env("HTTPS_PROXY", fakes.url());
    command.env("SSL_CERT_FILE", fakes.authority()).env_remove("SSL_CERT_DIR").stdin(Stdio::null()).kill_on_drop(true);
    let status = tokio::time::timeout(PATIENCE, command.status()).await.expect("it does not end").unwrap();
    assert!(status.success(), "{status}: see above");
    assert!(!fakes.ledger().vendors.is_empty(), "the other process ran nothing");
}
