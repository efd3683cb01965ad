//! BM1 first sync, BM2 nothing changed, BM3 one per cent changed: Backflow and the floor, turn by turn.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use backflow_core::result::Phase;

use super::Bench;
use crate::data::{Customers, ONE_PERCENT, ROLE};
use crate::floor::Said;
use crate::measure::Cost;
use crate::ours::Ours;
use crate::report::Line;
use crate::taken::{Taken, compare};

/// Both sides of one benchmark.
#[derive(Default)]
struct Sides {
    ours: Vec<Cost>,
    floor: Vec<Cost>,
}

/// Two competitors on one table, each with a state of its own.
struct Race<'a> {
    bench: &'a Bench,
    ours: Ours,
    floor: PathBuf,
    database: String,
}

/// Runs the three of them, or those that are wanted.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Line>> {
    let mut customers = Customers::create(&bench.server, "changes", bench.rows).await?;
    let rows = bench.rows;
    let folder = tempfile::Builder::new().prefix("backflow-floor-").tempdir()?;
    let mut first = Line::new("BM1", format!("first sync, {rows} rows × 11 columns, batches of 1,000"));
    let mut same = Line::new("BM2", format!("nothing changed, {rows} rows"));
    let mut changed = Line::new("BM3", format!("1 % of {rows} rows changed: 0.3 added, 0.5 updated, 0.2 deleted"));
    let mut all = [Sides::default(), Sides::default(), Sides::default()];
    let everything = customers.all().await?;
    let state_key = |round: usize| format!("bench/customers-{round}");
    let ours =
        |round: usize| Ours::new(&bench.worker, &bench.server, "changes", &bench.receiver.url(), &state_key(round));
    let floor = |round: usize| folder.path().join(format!("state-{round}"));
    let mut race = Race { bench, ours: ours(0)?, floor: floor(0), database: customers.database.clone() };
    let rounds = |id: &str| if wanted(id) { bench.repetitions } else { 0 };
    // The others need what a first sync leaves.
    for round in 0..rounds("BM1").max(1) {
        (race.ours, race.floor) = (ours(round)?, floor(round));
        race.both(round, &everything, &mut first, &mut all[0]).await?;
    }
    for round in 0..rounds("BM2") {
        race.both(round, &[], &mut same, &mut all[1]).await?;
    }
    for round in 0..rounds("BM3") {
        let expected = customers.change(ONE_PERCENT).await?;
        race.both(round, &expected, &mut changed, &mut all[2]).await?;
    }
    for (line, sides) in [&mut first, &mut same, &mut changed].into_iter().zip(&all) {
        line.set("rows", rows);
        line.compare(&sides.ours, &sides.floor);
    }
    first.at_most("ratio", 2.0, "at most 2 × floor");
    first.at_most("rss_mib", 64.0, "at most 64 MiB");
    same.at_most("ratio", 1.3, "at most 1.3 × floor");
    same.at_most("requests", 0.0, "no request");
    same.at_most("rss_mib", 64.0, "at most 64 MiB");
    changed.at_most("ratio", 1.5, "at most 1.5 × floor");
    changed.at_most("requests", 12.0, "at most 12 requests");
    Ok([first, same, changed].into_iter().filter(|line| wanted(&line.id)).collect())
}

impl Race<'_> {
    /// Lets both run; who begins changes from round to round.
    async fn both(
        &mut self,
        round: usize,
        expected: &[Taken],
        line: &mut Line,
        sides: &mut Sides,
    ) -> anyhow::Result<()> {
        for turn in 0..2 {
            if (round + turn).is_multiple_of(2) {
                sides.ours.push(self.ours(expected, line).await?);
            } else {
                sides.floor.push(self.floor(expected, line).await?);
            }
        }
        Ok(())
    }

    async fn ours(&mut self, expected: &[Taken], line: &mut Line) -> anyhow::Result<Cost> {
        let run = self.ours.next_run();
        let (ended, cost) = self.bench.meter().run(|| self.ours.start(&run, None)).await?;
        let said = self.ours.said(&run)?;
        if !ended.status.success() || said.result.phase != Phase::Succeeded {
            line.wrong(format!("the run ended {:?}: {:?}", said.result.phase, said.result.failure));
        }
        self.check("backflow", expected, line).await?;
        Ok(Cost { rss_mib: said.rss_mib, ..cost })
    }

    async fn floor(&mut self, expected: &[Taken], line: &mut Line) -> anyhow::Result<Cost> {
        let output = self.floor.with_extension("said");
        let (ended, cost) = self.bench.meter().run(|| self.start_floor(&output)).await?;
        ensure!(ended.status.success(), "the floor failed");
        let said: Said = serde_json::from_slice(&std::fs::read(&output)?)?;
        self.check("the floor", expected, line).await?;
        Ok(Cost { rss_mib: said.rss_mib, ..cost })
    }

    fn start_floor(&self, output: &std::path::Path) -> anyhow::Result<Child> {
        let server = &self.bench.server;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["floor", "--server", &format!("127.0.0.1:{}", server.port()), "--user", ROLE]);
        command.args(["--database", &self.database, "--receiver", self.bench.receiver.address()]);
        command.arg("--state").arg(&self.floor);
        command.env("FLOOR_PASSWORD", server.password(ROLE).context("the role has no password")?);
        command.stdin(Stdio::null()).stdout(std::fs::File::create(output)?);
        command.spawn().context("the floor does not start")
    }

    async fn check(&self, who: &str, expected: &[Taken], line: &mut Line) -> anyhow::Result<()> {
        let difference = compare(expected, &self.bench.receiver.taken().await?);
        let stats = self.bench.receiver.stats().await?;
        if !difference.exact() || stats.malformed > 0 {
            line.wrong(format!("{who}: {difference}; {} requests were malformed", stats.malformed));
        }
        Ok(())
    }
}
