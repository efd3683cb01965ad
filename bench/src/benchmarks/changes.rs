//! BM1 first sync, BM2 nothing changed, BM3 one per cent changed: Backflow and the floor, turn by turn.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use backflow_core::result::Phase;

use super::Bench;
use crate::data::{Customers, ONE_PERCENT, ROLE};
use crate::floor::Said;
use crate::measure::{Cost, median};
use crate::ours::Ours;
use crate::peers::{Measured, Peers};
use crate::report::{Line, rounded};
use crate::taken::{Taken, compare};

/// As [`Sides::peers`] name them.
const PLAIN: &str = "plain Python";
const DLT_BEST: &str = "dlt, connectorx and Parquet (resends everything)";
const DLT_DEFAULT: &str = "dlt, SQLAlchemy and JSON lines (resends everything)";

/// Both sides of one benchmark, and whoever does the same.
#[derive(Default)]
struct Sides {
    ours: Vec<Cost>,
    floor: Vec<Cost>,
    peers: Vec<(&'static str, Measured)>,
}

impl Sides {
    fn of(&self, peer: &str) -> impl Iterator<Item = &Measured> {
        self.peers.iter().filter(move |(name, _)| *name == peer).map(|(_, measured)| measured)
    }

    /// Median seconds of a peer.
    fn best_of(&self, peer: &str) -> Option<f64> {
        self.of(peer).next()?;
        Some(median(self.of(peer).map(|measured| measured.cost.wall_s)))
    }

    fn compare_peers(&self, line: &mut Line) {
        let mut all = serde_json::Map::new();
        for peer in [PLAIN, DLT_BEST, DLT_DEFAULT] {
            let Some(seconds) = self.best_of(peer) else { continue };
            let memory = self.of(peer).map(|measured| measured.cost.rss_mib).fold(0.0, f64::max);
            let ratio = rounded(seconds / line.number("ours_s"));
            line.note(format!("{peer}: {seconds:.1} s, {memory:.0} MiB; ours is {ratio} × as fast"));
            for wrong in self.of(peer).filter_map(|measured| measured.wrong.as_ref()) {
                line.note(format!("{peer} was wrong: {wrong}"));
            }
            all.insert(peer.into(), self.of(peer).map(Measured::json).collect::<Vec<_>>().into());
        }
        if !all.is_empty() {
            line.set("peers", all);
        }
    }
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
        |round: usize| Ours::new(&bench.operator, &bench.server, "changes", &bench.receiver.url(), &state_key(round));
    let floor = |round: usize| folder.path().join(format!("state-{round}"));
    let mut race = Race { bench, ours: ours(0)?, floor: floor(0), database: customers.database.clone() };
    let rounds = |id: &str| if wanted(id) { bench.repetitions } else { 0 };
    // The others need what a first sync leaves.
    for round in 0..rounds("BM1").max(1) {
        (race.ours, race.floor) = (ours(round)?, floor(round));
        race.both(round, &everything, &mut first, &mut all[0]).await?;
    }
    if let Some(peers) = bench.peers.as_ref().filter(|_| wanted("BM1")) {
        race.resenders(peers, &everything, &mut all[0]).await?;
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
        sides.compare_peers(line);
    }
    if let Some(dlt) = all[0].best_of(DLT_BEST) {
        let ratio = rounded(dlt / first.number("ours_s"));
        first.goal(format!("at least 3 × faster than dlt at its best (is {ratio})"), ratio >= 3.0);
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
        if let Some(peers) = &self.bench.peers {
            let state = self.floor.with_extension("plain");
            let arguments = ["plain.py", &state.to_string_lossy(), &self.bench.receiver.url()];
            let measured = peers.python(&self.bench.meter(), &self.database, &arguments, expected).await?;
            sides.peers.push((PLAIN, measured));
        }
        Ok(())
    }

    /// Those that have no diff: every run of theirs is a first one. The slow one runs once.
    async fn resenders(&self, peers: &Peers, expected: &[Taken], sides: &mut Sides) -> anyhow::Result<()> {
        let url = self.bench.receiver.url();
        for (name, style, times) in [(DLT_BEST, "best", self.bench.repetitions), (DLT_DEFAULT, "default", 1)] {
            for _ in 0..times {
                let arguments = ["dlt_pipeline.py", style, &url];
                let measured = peers.python(&self.bench.meter(), &self.database, &arguments, expected).await?;
                sides.peers.push((name, measured));
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
