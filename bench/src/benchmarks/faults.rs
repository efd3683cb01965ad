//! BM5: a receiver that throttles, refuses some rows and is down for half a minute.
//!
//! Some rows are refused by themselves, inside of an answer 207, and some with their whole batch.

use std::collections::HashSet;

use anyhow::ensure;
use backflow_core::result::Phase;
use serde_json::{Value, json};

use super::Bench;
use crate::canonical;
use crate::data::{Customers, TABLE};
use crate::ours::Ours;
use crate::place::{Place, Stores};
use crate::receiver::{Faults, REJECTED};
use crate::report::{Line, rounded};
use crate::taken::{Taken, compare};

/// One row of so many is refused whenever it comes, and its whole batch with it.
const POISON: u64 = 10_000;
/// One row of so many is refused by itself.
const REJECT: u64 = 100;
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
            "{}: first sync of {rows} rows, 5 % of requests throttled, one row of {REJECT} refused inside of a 207, one of {POISON} with \
             its batch, receiver down for 30 s",
            place.name()
        ),
    );
    let database = format!("faults_{}", place.tag().replace('-', "_"));
    let customers = Customers::create(&bench.server, &database, rows).await?;
    let poison_sql = format!("SELECT id FROM {TABLE} WHERE id % {POISON} = 7 ORDER BY id");
    let poison = customers.ids(&poison_sql).await?;
    let reject_sql = format!("SELECT id FROM {TABLE} WHERE id % {REJECT} = 3 ORDER BY id");
    let reject = customers.ids(&reject_sql).await?;
    let refused: HashSet<u64> = poison.iter().chain(&reject).copied().collect();
    let expected: Vec<Taken> =
        customers.all().await?.into_iter().filter(|taken| !refused.contains(&taken.id)).collect();
    let state_key = format!("bench/faults-{}", place.tag());
    let mut ours = Ours::new(&bench.operator, &bench.server, &database, &bench.receiver.url(), &state_key)?;
    ours.place(stores, place)?;
    ours.sync.destination.kind = "by-record".into();
    ours.sync.destination.definition = Some(by_record());
    ours.sync.destination.auth = "none".into();
    bench.receiver.clear().await?;
    let faults = Faults {
        seed: 5,
        throttle: 0.05,
        poison: poison.clone(),
        reject: reject.clone(),
        down_after: Some(rows / 2000),
        down_seconds: 30,
        slow: 0,
    };
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
    let mut named = 0;
    for (code, mut wanted) in [("HTTP_422", poison), (REJECTED, reject)] {
        let keys = match stores.rejects(place, &state_key, code)? {
            Some(keys) => keys,
            None => {
                let sql = format!("SELECT key FROM _backflow.rejects WHERE code = '{code}' ORDER BY key");
                bench.server.query(&database, &sql).await?.into_iter().flatten().flatten().collect()
            }
        };
        let mut found: Vec<u64> = keys.iter().map(|key| canonical::hash(key)).collect::<Result<_, _>>()?;
        found.sort_unstable();
        wanted.sort_unstable();
        if found != wanted {
            line.wrong(format!("{} rows are named as {code}, {} were refused so", found.len(), wanted.len()));
        }
        named += found.len();
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
    line.set("rejected", stats.rejected);
    line.set("rejects_named", named);
    line.set("runs", runs);
    line.goal("nothing lost, nothing twice", difference.exact());
    line.goal("as many rows are named as rejects as were refused", named == refused.len());
    Ok(line)
}

/// A webhook that answers for each record.
fn by_record() -> Value {
    json!({
        "version": 1,
        "settings": {"type": "object", "required": ["url"], "properties": {
            "url": {"type": "string", "pattern": "^http://127\\.0\\.0\\.1:[0-9]+/[a-z]*$", "description": "Where."},
        }},
        "auth": {"choose": [{"id": "none", "type": "none", "description": "Without."}]},
        "http": {"baseUrl": "${settings.url}", "hosts": {"allow": ["127.0.0.1"]}},
        "limits": {"concurrency": {"max": 4}},
        "actions": {"send": {
            "title": "Send", "description": "Sends records.", "idempotent": true, "syncModes": ["Mirror"],
            "fields": {"type": "object", "additionalProperties": true}, "batch": {"maxRecords": 1000},
            "operations": [{
                "for": ["upsert", "delete"],
                "request": {
                    "method": "POST", "path": "", "body": "$items",
                    "item": {"id": "${rec.id}", "op": "${rec.op}", "key": "${rec.key}", "data": "${f}"},
                },
                "results": {"mode": "byIndex", "from": "${body}", "ok": "${it.ok}", "code": "${it.code}"},
            }],
        }},
    })
}

#[cfg(test)]
mod tests {
    use backflow_tests::webhook::Webhook;

    #[test]
    fn its_definition_is_taken() -> anyhow::Result<()> {
        let mut webhook = Webhook::new("http://127.0.0.1:9/hook");
        webhook.destination.kind = "by-record".into();
        webhook.destination.definition = Some(super::by_record());
        webhook.destination.auth = "none".into();
        webhook.open().map(drop).map_err(|failure| anyhow::anyhow!("{failure}"))
    }
}
