//! Warehouses that answer from memory, and how fast their rows become the engine's own.
//!
//! A service is played by a process of its own, so that what it costs is not counted. Its rows are read as a worker reads them: by the
//! warehouse's own client, from the bytes of its answers to batches of encoded rows.

mod answer;
mod service;
mod table;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, anyhow, ensure};
use backflow_bench_processes::Cpu;
use backflow_core::plan::{ModelPlan, ModelQuery};
use backflow_sources::warehouse::{self, Query, Rows};
use futures::StreamExt as _;

pub use answer::serve;
pub use service::{SERVICES, Service};

use answer::PAGE;

/// Columns of a row.
pub const COLUMNS: usize = table::COLUMNS.len();

/// How to play a service.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Which one.
    #[arg(long)]
    pub service: Service,
    /// How many pages its result has.
    #[arg(long)]
    pub pages: u64,
}

/// What was found of a service.
#[derive(Clone, Debug)]
pub struct Found {
    /// Rows of its result.
    pub rows: u64,
    /// Bytes of a row as it arrives, unpacked.
    pub row_bytes: u64,
    /// What each read cost.
    pub costs: Vec<Cost>,
    /// How a row is not what it must be.
    pub wrong: Option<String>,
}

/// What a read cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds from the login to the last row.
    pub wall_s: f64,
    /// Processor seconds of this process.
    pub cpu_s: f64,
}

/// Reads at least so many rows, again and again.
///
/// # Errors
/// Something did not run at all.
pub async fn measure(service: Service, rows: u64, repetitions: usize) -> anyhow::Result<Found> {
    // Every row of a page, and that another page follows.
    let wrong = Played::start(service, 2 * PAGE)?.check().await?;
    let player = Played::start(service, rows)?;
    let mut costs = Vec::new();
    for _ in 0..repetitions {
        costs.push(player.read().await?);
    }
    let row_bytes = answer::rows(service).len() as u64 / PAGE;
    Ok(Found { rows: player.rows, row_bytes, costs, wrong })
}

/// A process that plays a service; it ends with this.
struct Played {
    child: Child,
    service: Service,
    port: u16,
    /// Rows of its result.
    rows: u64,
}

impl Played {
    /// Starts this program as a service that has at least so many rows.
    fn start(service: Service, rows: u64) -> anyhow::Result<Self> {
        let pages = rows.div_ceil(PAGE);
        let mut child = Command::new(std::env::current_exe()?)
            .args(["answers", "--service", &service.argument(), "--pages", &pages.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", service.name()))?;
        let mut port = String::new();
        let said = child.stdout.take().context("it has no output")?;
        BufReader::new(said).read_line(&mut port)?;
        Ok(Self { child, service, port: port.trim().parse()?, rows: pages * PAGE })
    }

    /// Reads all rows and looks at none.
    async fn read(&self) -> anyhow::Result<Cost> {
        let (since, before) = (Instant::now(), Cpu::of(std::process::id())?.own);
        let mut rows = self.rows().await?;
        let mut seen = 0;
        while let Some(batch) = rows.next().await {
            seen += batch.map_err(|failure| anyhow!("{failure}"))?.len() as u64;
        }
        let cost = Cost { wall_s: since.elapsed().as_secs_f64(), cpu_s: Cpu::of(std::process::id())?.own - before };
        ensure!(seen == self.rows, "{seen} rows instead of {} were read", self.rows);
        Ok(cost)
    }

    /// Compares every row with what it must be; says which is another.
    async fn check(&self) -> anyhow::Result<Option<String>> {
        let mut rows = self.rows().await?;
        let mut seen = 0;
        while let Some(batch) = rows.next().await {
            for cells in batch.map_err(|failure| anyhow!("{failure}"))? {
                let expected = table::cells(seen % PAGE + 1);
                if cells != expected {
                    return Ok(Some(format!("row {seen} is {cells:?} instead of {expected:?}")));
                }
                seen += 1;
            }
        }
        Ok((seen != self.rows).then(|| format!("{seen} rows instead of {}", self.rows)))
    }

    async fn rows(&self) -> anyhow::Result<Rows> {
        let source = self.service.source(self.port);
        let warehouse = warehouse::open(&source, &service::Any, "backflow/bench").await;
        let warehouse = warehouse.map_err(|failure| anyhow!("{failure}"))?;
        let query = ModelQuery::Table(table::TABLE.into());
        let model = ModelPlan { name: table::TABLE.into(), query, primary_key: vec!["id".into()] };
        let columns = table::COLUMNS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let query = Query { model, columns, filter: None, limit: None };
        warehouse.rows(query).await.map_err(|failure| anyhow!("{failure}"))
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
