//! BM4: ten times the rows, in no more memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use backflow_core::result::Phase;

use super::Bench;
use crate::data::{Customers, Share};
use crate::measure::Cost;
use crate::ours::Ours;
use crate::report::{Line, rounded};
use crate::taken::{Taken, compare};

/// One row of a thousand of each kind.
const SHARE: Share = Share { added: 1, updated: 1, deleted: 1 };

/// What a pod is limited to.
const LIMIT_MIB: u64 = 128;

/// Measures memory at the usual rows and at ten times as many.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench) -> anyhow::Result<Line> {
    let (small, large) = (bench.rows, 10 * bench.rows);
    let mut line =
        Line::new("BM4", format!("{large} rows, one of a thousand added, updated, deleted each; {LIMIT_MIB} MiB"));
    let limit = Limit::new();
    match &limit {
        Ok(_) => {
            line.note(format!("the process and its page cache were limited to {LIMIT_MIB} MiB by a control group"))
        }
        Err(error) => line.note(format!("not limited by a control group: {error:#}")),
    }
    let limit = limit.ok();
    let mut peaks = Vec::new();
    for (name, rows) in [("one", small), ("ten", large)] {
        let mut customers = Customers::create(&bench.server, &format!("big_{name}"), rows).await?;
        let url = bench.receiver.url();
        let mut ours =
            Ours::new(&bench.operator, &bench.server, &customers.database, &url, &format!("bench/big-{name}"))?;
        let everything = customers.all().await?;
        let (first, first_mib) = one(bench, &mut ours, limit.as_ref(), &everything, &mut line).await?;
        drop(everything);
        let changes = customers.change(SHARE).await?;
        let (changed, changed_mib) = one(bench, &mut ours, limit.as_ref(), &changes, &mut line).await?;
        line.set(&format!("first_{name}_s"), rounded(first.wall_s));
        line.set(&format!("first_{name}_mib"), rounded(first_mib));
        line.set(&format!("changed_{name}_s"), rounded(changed.wall_s));
        line.set(&format!("changed_{name}_mib"), rounded(changed_mib));
        peaks.push(first_mib.max(changed_mib));
        if name == "ten" {
            line.set("rows", rows);
            line.set("ours_s", rounded(changed.wall_s));
            line.set("requests", changed.requests);
            line.set("rss_mib", rounded(first_mib.max(changed_mib)));
        }
        bench.server.exec("postgres", &format!("DROP DATABASE {}", customers.database)).await?;
    }
    let growth = rounded(peaks[1] / peaks[0]);
    line.set("growth", growth);
    line.at_most("rss_mib", LIMIT_MIB as f64, "at most 128 MiB");
    line.at_most("growth", 1.25, "memory with ten times the rows is flat: at most 1.25 ×");
    Ok(line)
}

async fn one(
    bench: &Bench,
    ours: &mut Ours,
    limit: Option<&Limit>,
    expected: &[Taken],
    line: &mut Line,
) -> anyhow::Result<(Cost, f64)> {
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
    let difference = compare(expected, &bench.receiver.taken().await?);
    if said.result.phase != Phase::Succeeded || !difference.exact() {
        line.wrong(format!("{run}: {:?}, {:?}, {difference}", said.result.phase, said.result.failure));
    }
    Ok((cost, said.rss_mib))
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
        limited
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
