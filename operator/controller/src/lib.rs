//! The controller: watches the six kinds, and runs one Job for each Sync.
//!
//! Every kind has a folder with the same files: `dereference` (reads what the object refers to), `decide` (pure: what to do now),
//! `apply` (creates and deletes), `status` (the one patch). What happens between the API server and these folders is in
//! [`watch`] (what is seen), [`triggers`] (who must look), [`queue`] and [`reconcile`] (when).

mod args;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod testkit;

pub mod admission;
pub mod check;
pub mod context;
pub mod definition;
pub mod destination;
pub mod discovery;
pub mod ending;
pub mod error;
pub mod events;
pub mod labels;
pub mod leader;
pub mod lease;
pub mod mapping;
pub mod metrics;
pub mod model;
pub mod progress;
pub mod queue;
pub mod reconcile;
pub mod runs;
pub mod server;
pub mod signal;
pub mod source;
pub mod status;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod token;
pub mod triggers;
pub mod watch;

pub use args::Args;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::{Api, Client};

use crate::leader::Leader;
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::server::Readiness;
use crate::signal::Stop;

/// The controller's process, by its command line.
///
/// # Errors
/// As [`run`].
pub fn main(line: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let args = Args::parse_from(line);
    telemetry::init(&args.log)?;
    // Two threads: the work is waiting for the API server, and each thread holds memory of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = signal::on_termination()?;
        run(args, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Runs the controller until it is asked to stop.
///
/// # Errors
/// If there is no way to the API server, or the address for health and metrics is taken.
async fn run(args: Args, stop: Stop) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::default());
    let readiness = Readiness::default();
    server::start(args.http_addr, readiness.clone(), metrics.clone(), stop.clone()).await?;
    let client = Client::try_default().await?;
    let leases: Api<LeaseObject> = Api::namespaced(client.clone(), &args.pod_namespace);
    // A container that restarts in its pod goes on at once: the one before it has ended.
    let identity = match &args.pod_name {
        Some(name) => name.clone(),
        None => format!("backflow-controller-{}", token::random()?),
    };
    let lease = Lease::new(leases, args.lease_name.clone(), identity.clone());
    let leader = Leader { client, args, identity, metrics: metrics.clone(), readiness: readiness.clone() };
    loop {
        let mut held = tokio::select! {
            () = stop.requested() => return Ok(()),
            held = lease.acquire() => held,
        };
        metrics.leads(true);
        tracing::info!("This controller leads.");
        let lost = tokio::select! {
            () = leader.lead(&stop) => false,
            () = held.lost() => true,
        };
        metrics.leads(false);
        if lost {
            readiness.clear();
            // Its work was dropped with the future: nothing of it is still running.
            tracing::warn!("Another controller leads, or the Lease could not be renewed: all work is dropped.");
        } else {
            held.release().await;
            return Ok(());
        }
    }
}
