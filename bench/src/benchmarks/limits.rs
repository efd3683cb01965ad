//! BM13: the bounds, with all rows: a destination that answers once a second, little room for scratch, and a Full that is killed.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use backflow_core::code::Code;
use backflow_core::plan::Mode;
use backflow_core::result::Phase;

use super::{Bench, WINDOW};
use crate::data::Customers;
use crate::ours::Ours;
use crate::place::{Engine, Place, Store};
use crate::receiver::Faults;
use crate::report::{Line, rounded};
use crate::taken::{Difference, compare};

/// So many requests are answered one after another, a second apart.
const SLOW: u64 = 60;
/// The room for scratch.
const SCRATCH: u64 = 50 * 1000 * 1000;
/// The most runs that it may take through that.
const RUNS: usize = 20;
/// How often the Full is killed.
const KILLS: u64 = 3;
/// How often the server and the receiver are asked.
const LOOK: Duration = Duration::from_millis(50);

/// Seconds since the oldest open transaction of a worker began.
const AGE: &str = "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::text FROM pg_stat_activity \
                   WHERE application_name LIKE 'backflow/%' AND xact_start IS NOT NULL";

/// A line for each bound, and for each engine where both have it.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let customers = Customers::create(&bench.server, "limits", bench.rows).await?;
    let mut lines = Vec::new();
    for engine in [Engine::Streaming, Engine::Pushdown] {
        lines.push(slow(bench, &customers, engine).await?);
    }
    lines.push(scratch(bench, &customers).await?);
    for engine in [Engine::Streaming, Engine::Pushdown] {
        lines.push(full(bench, &customers, engine).await?);
    }
    Ok(lines)
}

fn ours(bench: &Bench, customers: &Customers<'_>, engine: Engine, name: &str) -> anyhow::Result<Ours> {
    let place = Place { engine, store: Store::Schema };
    let key = format!("bench/limits-{name}-{}", place.tag());
    let mut ours = Ours::new(&bench.operator, &bench.server, &customers.database, &bench.receiver.url(), &key)?;
    ours.sync.source.diff = place.diff();
    Ok(ours)
}

/// The first requests take a second each: what does the server see meanwhile?
async fn slow(bench: &Bench, customers: &Customers<'_>, engine: Engine) -> anyhow::Result<Line> {
    let rows = bench.rows;
    let mut line = Line::new(
        "BM13",
        format!("{engine:?}: first sync of {rows} rows, the first {SLOW} requests are answered one a second"),
    );
    let ours = ours(bench, customers, engine, "slow")?;
    bench.receiver.clear().await?;
    bench.receiver.faults(&Faults { slow: SLOW, ..Faults::default() }).await?;
    let mut child = ours.start("run", None)?;
    // The first request is answered a second after it came: the model was read before.
    let (mut looks, mut oldest, mut extracted) = (0, 0.0_f64, None);
    loop {
        ensure!(child.try_wait()?.is_none(), "the run ended before the destination was quick again");
        let taken = bench.receiver.stats().await?.taken;
        if taken >= 1 {
            let since = *extracted.get_or_insert_with(std::time::Instant::now);
            let found = bench.server.query("postgres", AGE).await?;
            let age: f64 = found.first().and_then(|row| row.first()?.as_deref()?.parse().ok()).context("no age")?;
            oldest = oldest.max(age);
            looks += 1;
            if age > since.elapsed().as_secs_f64() + 1.0 {
                line.wrong(format!("a transaction is {age:.1} s old, older than the first answer"));
            }
        }
        if taken >= SLOW {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let said = finished(&ours, child, "run")?;
    let difference = compare(&customers.all().await?, &bench.receiver.taken().await?);
    if said.result.phase != Phase::Succeeded || !difference.exact() {
        line.wrong(format!("{:?}: {difference}", said.result.phase));
    }
    line.set("rows", rows);
    line.set("looks", looks);
    line.set("oldest_transaction_s", rounded(oldest));
    line.set("rss_mib", rounded(said.rss_mib));
    line.goal(format!("no transaction stays open while requests are slow: the oldest was {oldest:.2} s"), oldest < 1.0);
    Ok(line)
}

/// Runs until everything is through little room.
async fn scratch(bench: &Bench, customers: &Customers<'_>) -> anyhow::Result<Line> {
    let rows = bench.rows;
    let mut line =
        Line::new("BM13", format!("Streaming: first sync of {rows} rows, {} MB of scratch", SCRATCH / 1_000_000));
    let mut ours = ours(bench, customers, Engine::Streaming, "scratch")?;
    ours.sync.mapping.scratch_bytes = SCRATCH;
    bench.receiver.clear().await?;
    let mut sent = Vec::new();
    loop {
        ensure!(sent.len() < RUNS, "{RUNS} runs do not end: {sent:?}");
        let run = ours.next_run();
        let (_, _) = bench.meter().go_on(|| ours.start(&run, None)).await?;
        let said = ours.said(&run)?.result;
        sent.push(said.counters.delivered());
        match (said.phase, said.failure.as_ref().map(|failure| failure.code)) {
            (Phase::Succeeded, None) => break,
            (Phase::PartiallySucceeded, Some(Code::ScratchFull)) => {}
            other => {
                line.wrong(format!("{run}: {other:?}"));
                break;
            }
        }
    }
    let difference = compare(&customers.all().await?, &bench.receiver.taken().await?);
    if !difference.exact() {
        line.wrong(format!("{difference}"));
    }
    line.set("rows", rows);
    line.goal(format!("runs end ScratchFull and the next finish the rest: {sent:?} records"), sent.len() > 1);
    line.set("sent", sent);
    Ok(line)
}

/// Sends every row again, killed on the way.
async fn full(bench: &Bench, customers: &Customers<'_>, engine: Engine) -> anyhow::Result<Line> {
    let rows = bench.rows;
    let mut line = Line::new("BM13", format!("{engine:?}: a Full of {rows} rows, killed {KILLS} times"));
    let mut ours = ours(bench, customers, engine, "full")?;
    let first = ours.next_run();
    let (_, _) = bench.meter().run(|| ours.start(&first, None)).await?;
    ensure!(ours.said(&first)?.result.phase == Phase::Succeeded, "the first sync failed");

    ours.sync.mode = Mode::Full;
    bench.receiver.clear().await?;
    for kill in 1..=KILLS {
        let mut child = ours.start("full", None)?;
        while bench.receiver.stats().await?.records < kill * rows / (KILLS + 1) {
            ensure!(child.try_wait()?.is_none(), "the run ended before it was killed");
            tokio::time::sleep(LOOK).await;
        }
        child.kill()?;
        child.wait()?;
    }
    let child = ours.start("full", None)?;
    let said = finished(&ours, child, "full")?;
    let difference = compare(&customers.all().await?, &bench.receiver.taken().await?);
    let Difference { again, .. } = difference;
    if said.result.phase != Phase::Succeeded || !difference.complete() {
        line.wrong(format!("{:?}: {difference}", said.result.phase));
    }
    line.set("rows", rows);
    line.set("sent_again", again);
    line.set("rss_mib", rounded(said.rss_mib));
    let bound = usize::try_from(KILLS)? * WINDOW;
    line.goal(format!("it goes on where it was: at most {bound} records again (were {again})"), again <= bound);
    Ok(line)
}

/// Waits for the end of a run.
fn finished(ours: &Ours, mut child: Child, run: &str) -> anyhow::Result<crate::ours::Said> {
    tokio::task::block_in_place(|| child.wait())?;
    ours.said(run)
}
