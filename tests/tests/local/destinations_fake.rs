//! Built-in definitions, unaltered, by the worker's library against the fake vendors: their hosts are reached through the fakes' proxy,
//! and what they took is what the worker says. Rows and Mappings are made of the definitions' own fixtures.

mod checks;
mod clock;
mod exact;
mod fixture;
mod remote;
mod route;
mod strict;
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
    command.args([
        "--exact",
        "--nocapture",
        "destinations_fake::every_action_of_every_definition_syncs_with_an_exact_ledger",
    ]);
    for name in ["HTTP_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    command.env(FAKES, fakes.url()).env("HTTPS_PROXY", fakes.url());
    command.env("SSL_CERT_FILE", fakes.authority()).env_remove("SSL_CERT_DIR").stdin(Stdio::null()).kill_on_drop(true);
    let status = tokio::time::timeout(PATIENCE, command.status()).await.expect("it does not end").unwrap();
    assert!(status.success(), "{status}: see above");
    assert!(!fakes.ledger().vendors.is_empty(), "the other process ran nothing");
}
