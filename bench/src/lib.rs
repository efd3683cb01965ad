//! `cargo xtask bench`: how fast Backflow is, beside the bare minimum for the same work and beside others.
//!
//! Everything runs on this machine: one Postgres, one receiver in a process of its own, and one competitor at a time. What arrives is
//! compared with what SQL says should arrive, record by record: a fast wrong run is a failure.

pub mod benchmarks;
pub mod canonical;
pub mod data;
pub mod floor;
pub mod measure;
pub mod ours;
pub mod peers;
pub mod place;
pub mod receiver;
pub mod report;
pub mod taken;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use backflow_tests::postgres::{PostgresServer, ServerTls};

use benchmarks::{Bench, answers, big, changes, controller, delivery, diff, faults, kills, limits, mapping, wide};
use peers::Peers;
use place::{Engine, PLACES, Place, Store, Stores};
use receiver::Client;
use report::Report;

/// All benchmarks in their order.
pub const IDS: [&str; 13] =
    ["BM1", "BM2", "BM3", "BM4", "BM5", "BM6", "BM7", "BM8", "BM9", "BM10", "BM11", "BM12", "BM13"];

/// What is measured, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only these benchmarks.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(IDS))]
    pub ids: Vec<String>,
    /// Rows of the table.
    #[arg(long, default_value_t = 1_000_000)]
    pub rows: u64,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    pub repetitions: usize,
    /// Measures others, too, which are installed into this folder from the registries of their languages.
    #[arg(long)]
    pub peers: Option<PathBuf>,
    /// The program that is controller and worker.
    #[arg(long)]
    pub operator: PathBuf,
    /// BM5 and BM6 with this engine only.
    #[arg(long)]
    pub engine: Option<Engine>,
    /// BM5 and BM6 with state there only.
    #[arg(long)]
    pub store: Option<Store>,
    /// BM4 in pods of the cluster that `KUBECONFIG` names, and not in a process.
    #[arg(long)]
    pub pod: bool,
    /// Mappings of BM10.
    #[arg(long, default_value_t = 10_000)]
    pub mappings: usize,
    /// The folder of the CRDs' manifests.
    #[arg(long)]
    pub crds: PathBuf,
    /// The folder of etcd and kube-apiserver.
    #[arg(long)]
    pub kubernetes: PathBuf,
    /// Where the JSON lines go.
    #[arg(long)]
    pub output: PathBuf,
}

impl Args {
    /// Where BM5 and BM6 run.
    fn places(&self) -> impl Iterator<Item = Place> {
        let asked = |place: &Place| {
            self.engine.is_none_or(|engine| engine == place.engine)
                && self.store.is_none_or(|store| store == place.store)
        };
        PLACES.into_iter().filter(asked)
    }

    fn controller_parts(&self) -> controller::Parts {
        controller::Parts {
            kubernetes: self.kubernetes.clone(),
            operator: self.operator.clone(),
            crds: self.crds.clone(),
        }
    }
}

/// Measures; `true` if all that arrived was right.
///
/// # Errors
/// Something did not run at all.
pub async fn run(args: Args) -> anyhow::Result<bool> {
    let mut report = Report::new(&args.output)?;
    let wanted = |id: &str| args.ids.is_empty() || args.ids.iter().any(|wanted| wanted == id);
    let address = if args.pod { backflow_bench_pod::host().await? } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
    let bench = Bench {
        server: PostgresServer::start_at(address, ServerTls::Off).await?,
        receiver: Client::start(address)?,
        operator: args.operator.clone(),
        repetitions: args.repetitions,
        rows: args.rows,
        peers: args.peers.as_deref().map(Peers::install).transpose()?,
    };
    if ["BM1", "BM2", "BM3"].into_iter().any(wanted) {
        for line in changes::run(&bench, wanted).await? {
            report.add(line)?;
        }
    }
    for id in IDS.into_iter().filter(|id| wanted(id)) {
        if ["BM5", "BM6"].contains(&id) {
            let stores = Stores::start().await?;
            for place in args.places() {
                report.add(match id {
                    "BM5" => faults::run(&bench, &stores, place).await?,
                    _ => kills::run(&bench, &stores, place).await?,
                })?;
            }
            continue;
        }
        if id == "BM12" {
            for service in answers::SERVICES {
                report.add(answers::run(&bench, service).await?)?;
            }
            continue;
        }
        if id == "BM13" {
            for line in limits::run(&bench).await? {
                report.add(line)?;
            }
            continue;
        }
        let line = match id {
            "BM4" => big::run(&bench, args.pod).await,
            "BM7" => mapping::run(&bench),
            "BM8" => diff::run(&bench).await,
            "BM9" => wide::run(&bench).await,
            "BM10" => controller::run(args.controller_parts(), args.mappings).await,
            "BM11" => delivery::run(&bench).await,
            _ => continue,
        };
        report.add(line?)?;
    }
    Ok(report.end())
}
