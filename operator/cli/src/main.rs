//! The backflow command: see [`backflow_cli`].

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // The first provider wins; nothing has made a TLS connection before this line.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // What a person needs to know is printed; the worker's log is for those who ask for it.
    let filter = EnvFilter::try_from_env("BACKFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    ExitCode::from(backflow_cli::main(std::env::args_os().collect()).await)
}
