//! The bench's binary: measures, and plays the parts that need a process of their own.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "backflow-bench", version, about = "How fast it is.")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Measure
    Run(backflow_bench::Args),
    /// The least that any program must do for the same work
    Floor(backflow_bench::floor::Args),
    /// Take and check batches
    Receiver {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Play a service that sends rows
    Answers(backflow_bench::benchmarks::answers::Args),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().part {
        Part::Floor(args) => {
            println!("{}", serde_json::to_string(&backflow_bench::floor::run(&args)?)?);
            Ok(ExitCode::SUCCESS)
        }
        Part::Receiver { listen } => {
            runtime()?.block_on(backflow_bench::receiver::serve(listen))?;
            Ok(ExitCode::SUCCESS)
        }
        Part::Answers(args) => {
            runtime()?.block_on(backflow_bench::benchmarks::answers::serve(args))?;
            Ok(ExitCode::SUCCESS)
        }
        Part::Run(args) => {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let right = runtime()?.block_on(backflow_bench::run(args))?;
            Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
