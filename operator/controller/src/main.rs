//! `backflow-controller`: watches the five kinds and runs one Job for each Sync.

use std::process::ExitCode;

use backflow_controller::{Args, run, signal, telemetry};
use clap::Parser as _;

// musl's own allocator serialises threads and gives little back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    // Before anything can open a connection: two providers may be compiled in, and rustls does not choose.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = Args::parse();
    telemetry::init(&args.log)?;
    // Two threads: the work is waiting for the API server, and each thread holds memory of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = signal::on_termination()?;
        run(args, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}
