//! BM5: a receiver that throttles, refuses some rows and is down for half a minute.

use anyhow::ensure;
use backflow_core::result::Phase;

use super::Bench;
use crate::canonical;
use crate::data::{Customers, TABLE};
use crate::ours::Ours;
use crate::place::{Place, Stores};
use crate::receiver::Faults;
use crate::report::{Line, rounded};
use crate::taken::{Taken, compare};

/// One row of so many is refused whenever it comes, and its whole batch with it.
const POISON: u64 = 10_000;
/// The most runs until nothing is left.
const RUNS: usize = 20;

/// Measures until everything that can be delivered is.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench, stores: &Stores, place: Place) -> anyhow::Result<Line> {
    let rows = bench.rows / 5;
    let mut line = Line::new(
        "BM5",
        format!(
            "{}: first sync of {rows} rows, 5 % of requests throttled, one row of {POISON} refused, receiver down for 30 s",
            place.name()
        ),
    );
    let database = format!("faults_{}", place.tag().replace('-', "_"));
    let customers = Customers::create(&bench.server, &database, rows).await?;
    let poison_sql = format!("SELECT id FROM {TABLE} WHERE id % {POISON} = 7 ORDER BY id");
    let poison = customers.ids(&poison_sql).await?;
    let expected: Vec<Taken> = customers.all().await?.into_iter().filter(|taken| !poison.contains(&taken.id)).collect();
    let state_key = format!("bench/faults-{}", place.tag());
    let mut ours = Ours::new(&bench.operator, &bench.server, &database, &bench.receiver.url(), &state_key)?;
    ours.place(stores, place)?;
    bench.receiver.clear().await?;
    let faults =
        Faults { seed: 5, throttle: 0.05, poison: poison.clone(), down_after: Some(rows / 2000), down_seconds: 30 };
    bench.receiver.faults(&faults).await?;

    let (mut seconds, mut memory, mut runs) = (0.0, 0.0_f64, Vec::new());
    loop {
        ensure!(runs.len() < RUNS, "{RUNS} runs do not end: {runs:?}");
        let run = ours.next_run();
        let (ended, cost) = bench.meter().go_on(|| ours.start(&run, None)).await?;
        let said = ours.said(&run)?;
        ensure!(ended.status.success(), "{run} failed: {:?}", said.result.failure);
        seconds += cost.wall_s;
        memory = memory.max(said.rss_mib);
        runs.push(format!("{:?}", said.result.phase));
        let counters = said.result.counters;
        if counters.retrying == 0 && said.result.phase != Phase::Failed && counters.delivered() + counters.rejected == 0
        {
            break;
        }
    }
    let difference = compare(&expected, &bench.receiver.taken().await?);
    if !difference.exact() {
        line.wrong(format!("{difference}"));
    }
    let keys = match stores.rejects(place, &state_key, "HTTP_422")? {
        Some(keys) => keys,
        None => {
            let sql = "SELECT key FROM _backflow.rejects WHERE code = 'HTTP_422' ORDER BY key";
            bench.server.query(&database, sql).await?.into_iter().flatten().flatten().collect()
        }
    };
    let mut named: Vec<u64> = keys.iter().map(|key| canonical::hash(key)).collect::<Result<_, _>>()?;
    let mut rejected = poison;
    named.sort_unstable();
    rejected.sort_unstable();
    if named != rejected {
        line.wrong(format!("{} rejects are named, {} rows were refused", named.len(), rejected.len()));
    }
    let stats = bench.receiver.stats().await?;
    line.set("engine", format!("{:?}", place.engine));
    line.set("store", format!("{:?}", place.store));
    line.set("rows", rows);
    line.set("ours_s", rounded(seconds));
    line.set("rss_mib", rounded(memory));
    line.set("requests", stats.requests);
    line.set("throttled", stats.throttled);
    line.set("refused", stats.refused);
    line.set("cut", stats.cut);
    line.set("rejects_named", named.len());
    line.set("runs", runs);
    line.goal("nothing lost, nothing twice", difference.exact());
    line.goal("exactly the refused rows are named as rejects", named == rejected);
    line.note("a webhook acknowledges a batch as a whole: rejects inside of a 200 or 207 need another destination");
    Ok(line)
}
