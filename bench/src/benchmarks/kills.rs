//! BM6: killed at random moments and at every failpoint, and replaced.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::ensure;
use backflow_core::result::Phase;

use super::{Bench, WINDOW};
use crate::data::Customers;
use crate::ours::Ours;
use crate::place::{Place, Stores};
use crate::report::{Line, rounded};
use crate::taken::{Difference, Taken, compare};

/// Moments of a run, by seed.
const MOMENTS: u64 = 20;

struct Kills<'a> {
    bench: &'a Bench,
    stores: &'a Stores,
    place: Place,
    database: String,
    expected: Vec<Taken>,
    deaths: usize,
    again: usize,
    most_again: usize,
}

/// Kills first syncs and lets replacements finish them.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench, stores: &Stores, place: Place) -> anyhow::Result<Line> {
    let rows = bench.rows / 10;
    let mut line = Line::new(
        "BM6",
        format!(
            "{}: first sync of {rows} rows, killed at {MOMENTS} moments and at {} failpoints",
            place.name(),
            place.failpoints().len()
        ),
    );
    let database = format!("kills_{}", place.tag().replace('-', "_"));
    let customers = Customers::create(&bench.server, &database, rows).await?;
    let expected = customers.all().await?;
    let mut kills = Kills { bench, stores, place, database, expected, deaths: 0, again: 0, most_again: 0 };

    // How long a run takes that is left alone.
    let undisturbed = kills.ours("alone")?;
    let (_, cost) = bench.meter().run(|| undisturbed.start("run", None)).await?;
    let since = Instant::now();
    for seed in 0..MOMENTS {
        let mut at = Duration::from_secs_f64(cost.wall_s * fastrand::Rng::with_seed(seed).f64());
        for attempt in 0.. {
            let kill = |mut child: Child| {
                std::thread::sleep(at);
                child.kill()?;
                Ok(child)
            };
            if kills.one(&format!("moment-{seed}-{attempt}"), &mut line, None, kill).await? {
                break;
            }
            // It was faster this time.
            at /= 2;
        }
    }
    for &failpoint in place.failpoints() {
        let reached = kills.one(failpoint, &mut line, Some(failpoint), Ok).await?;
        ensure!(reached, "{failpoint}: the failpoint was not reached");
    }
    line.set("engine", format!("{:?}", place.engine));
    line.set("store", format!("{:?}", place.store));
    line.set("rows", rows);
    line.set("ours_s", rounded(since.elapsed().as_secs_f64()));
    line.set("deaths", kills.deaths);
    line.set("sent_again", kills.again);
    line.set("most_sent_again", kills.most_again);
    line.goal("nothing lost, duplicates with the keys they had", line.right());
    line.goal(
        format!("at most a commit window of {WINDOW} again after a kill (was {})", kills.most_again),
        kills.most_again <= WINDOW,
    );
    Ok(line)
}

impl Kills<'_> {
    fn ours(&self, name: &str) -> anyhow::Result<Ours> {
        let state_key = format!("bench/{}-{name}", self.place.tag());
        let url = self.bench.receiver.url();
        let mut ours = Ours::new(&self.bench.operator, &self.bench.server, &self.database, &url, &state_key)?;
        ours.place(self.stores, self.place)?;
        Ok(ours)
    }

    /// One run that dies, its replacement, and a run after it that must have nothing to do. False if it had ended before.
    async fn one(
        &mut self,
        name: &str,
        line: &mut Line,
        failpoint: Option<&str>,
        end: impl FnOnce(Child) -> anyhow::Result<Child>,
    ) -> anyhow::Result<bool> {
        let ours = self.ours(name)?;
        let meter = self.bench.meter();
        let (died, _) = meter.run(|| end(ours.start("run", failpoint)?)).await?;
        if died.status.signal().is_none() {
            return Ok(false);
        }
        self.deaths += 1;
        meter.go_on(|| ours.start("run", None)).await?;
        let said = ours.said("run")?;
        let difference = compare(&self.expected, &self.bench.receiver.taken().await?);
        let Difference { again, .. } = difference;
        (self.again, self.most_again) = (self.again + again, self.most_again.max(again));
        if said.result.phase != Phase::Succeeded || !difference.complete() {
            line.wrong(format!("{name}: {:?}, {difference}", said.result.phase));
        }
        let (_, after) = meter.run(|| ours.start("last", None)).await?;
        if after.requests > 0 {
            line.wrong(format!("{name}: the run after it sent {} requests", after.requests));
        }
        Ok(true)
    }
}
