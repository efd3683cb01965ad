//! BM4: ten times the rows, in no more memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use backflow_bench_pod::{Between, Mapped, Ran};
use backflow_core::result::Phase;

use super::Bench;
use crate::data::{Customers, ROLE, Share, TABLE};
use crate::ours::Ours;
use crate::report::{Line, rounded};
use crate::taken::{Taken, compare};

/// One row of a thousand of each kind.
const SHARE: Share = Share { added: 1, updated: 1, deleted: 1 };

/// What a pod is limited to.
const LIMIT_MIB: u64 = 128;

/// Measures memory at the usual rows and at ten times as many. `pod`: in pods of a cluster.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench, pod: bool) -> anyhow::Result<Line> {
    let (small, large) = (bench.rows, 10 * bench.rows);
    let mut line =
        Line::new("BM4", format!("{large} rows, one of a thousand added, updated, deleted each; {LIMIT_MIB} MiB"));
    let limit = if pod { None } else { Some(Limit::new()) };
    line.note(match &limit {
        None => format!("in pods with a limit of {LIMIT_MIB} MiB; seconds are from the request to the end of the Sync"),
        Some(Ok(_)) => format!("the process and its page cache were limited to {LIMIT_MIB} MiB by a control group"),
        Some(Err(error)) => format!("not limited by a control group: {error:#}"),
    });
    let limit = limit.and_then(Result::ok);
    let mut peaks = Vec::new();
    for (name, rows) in [("one", small), ("ten", large)] {
        let mut customers = Customers::create(&bench.server, &format!("big_{name}"), rows).await?;
        let mut runner = if pod {
            Runner::Pod(mapped(bench, &customers.database).await?)
        } else {
            let (url, key) = (bench.receiver.url(), format!("bench/big-{name}"));
            let ours = Ours::new(&bench.operator, &bench.server, &customers.database, &url, &key)?;
            Runner::Process(Box::new(ours))
        };
        let everything = customers.all().await?;
        let first = runner.run(bench, limit.as_ref(), &everything, &mut line).await?;
        drop(everything);
        let changes = customers.change(SHARE).await?;
        let changed = runner.run(bench, limit.as_ref(), &changes, &mut line).await?;
        line.set(&format!("first_{name}_s"), rounded(first.seconds));
        line.set(&format!("first_{name}_mib"), rounded(first.peak_mib));
        line.set(&format!("changed_{name}_s"), rounded(changed.seconds));
        line.set(&format!("changed_{name}_mib"), rounded(changed.peak_mib));
        let peak = first.peak_mib.max(changed.peak_mib);
        peaks.push(peak);
        if name == "ten" {
            line.set("rows", rows);
            line.set("ours_s", rounded(changed.seconds));
            line.set("requests", bench.receiver.stats().await?.requests);
            line.set("rss_mib", rounded(peak));
        }
        runner.end();
        bench.server.exec("postgres", &format!("DROP DATABASE {} WITH (FORCE)", customers.database)).await?;
    }
    let growth = rounded(peaks[1] / peaks[0]);
    line.set("growth", growth);
    line.at_most("rss_mib", LIMIT_MIB as f64, "at most 128 MiB");
    line.at_most("growth", 1.25, "memory with ten times the rows is flat: at most 1.25 ×");
    Ok(line)
}

async fn mapped(bench: &Bench, database: &str) -> anyhow::Result<Mapped> {
    let between = Between {
        port: bench.server.port(),
        database: database.to_owned(),
        role: ROLE.into(),
        password: bench.server.password(ROLE).context("the role has no password")?,
        table: TABLE.into(),
        url: bench.receiver.url(),
    };
    Mapped::apply(between, LIMIT_MIB).await
}

/// Where runs run.
enum Runner {
    /// In a process of this machine.
    Process(Box<Ours>),
    /// In pods.
    Pod(Mapped),
}

impl Runner {
    /// Runs once, and compares what arrived.
    async fn run(
        &mut self,
        bench: &Bench,
        limit: Option<&Limit>,
        expected: &[Taken],
        line: &mut Line,
    ) -> anyhow::Result<Ran> {
        let ran = match self {
            Self::Pod(mapped) => {
                bench.receiver.clear().await?;
                mapped.run().await?
            }
            Self::Process(ours) => in_process(bench, ours, limit).await?,
        };
        let difference = compare(expected, &bench.receiver.taken().await?);
        if ran.fault.is_some() || !difference.exact() {
            line.wrong(format!("{}: {difference}", ran.fault.clone().unwrap_or_default()));
        }
        Ok(ran)
    }

    fn end(self) {
        if let Self::Pod(mapped) = self {
            mapped.end();
        }
    }
}

async fn in_process(bench: &Bench, ours: &mut Ours, limit: Option<&Limit>) -> anyhow::Result<Ran> {
    let run = ours.next_run();
    let start = || match limit {
        None => ours.start(&run, None),
        Some(limit) => {
            let mut command = limit.inside(&ours.command(&run, None)?);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(ours.log()?);
            command.spawn().context("the limited program does not start")
        }
    };
    let (ended, cost) = bench.meter().run(start).await?;
    let said = ours.said(&run).with_context(|| format!("{run} ended: {ended:?}"))?;
    let fault = (said.result.phase != Phase::Succeeded)
        .then(|| format!("{run}: {:?}, {:?}", said.result.phase, said.result.failure));
    Ok(Ran { seconds: cost.wall_s, peak_mib: said.rss_mib, fault })
}

/// A control group with a memory limit, in either version; it goes with this.
struct Limit {
    folder: PathBuf,
}

impl Limit {
    fn new() -> anyhow::Result<Self> {
        let (root, file) = match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            true => ("/sys/fs/cgroup", "memory.max"),
            false => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        };
        let folder = Path::new(root).join(format!("backflow-bench-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let limit = Self { folder };
        fs::write(limit.folder.join(file), (LIMIT_MIB << 20).to_string())
            .with_context(|| format!("{file} cannot be set"))?;
        Ok(limit)
    }

    /// The same command, in the group from its first instruction.
    fn inside(&self, command: &Command) -> Command {
        let mut limited = Command::new("sh");
        limited.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.folder.join("cgroup.procs"));
        limited.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
