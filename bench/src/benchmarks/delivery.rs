//! BM11: the delivery engine alone: records in memory become requests by a definition, and answers become outcomes.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{anyhow, ensure};
use backflow_bench_processes::Cpu;
use backflow_core::change::Memory;
use backflow_core::record::{Outcome, Record};
use backflow_core::selection::Operation;
use backflow_core::sink::Sink;
use backflow_tests::webhook::Webhook;
use tokio::task::JoinSet;

use super::{Bench, mapping};
use crate::measure::median;
use crate::report::{Line, rounded};

/// Records of a request.
const BATCH: u64 = 1_000;
/// Batches that are held in memory and sent again and again.
const BATCHES: u64 = 100;
/// What one processor has to do in a second.
const GOAL: f64 = 300_000.0;

/// Measures the delivery engine with the built-in definition of webhooks.
///
/// # Errors
/// Something did not run at all.
pub async fn run(bench: &Bench) -> anyhow::Result<Line> {
    let batches = bench.rows.div_ceil(BATCH);
    let records = batches * BATCH;
    let work =
        format!("delivery alone, {records} records by a definition, batches of {BATCH}, to a receiver on this machine");
    let mut line = Line::new("BM11", work);
    let held: Vec<Arc<[Record]>> = (0..BATCHES.min(batches)).map(batch).collect();
    let bytes: usize = held.iter().flat_map(|batch| batch.iter()).map(|record| record.data.len()).sum();
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..bench.repetitions {
        bench.receiver.clear().await?;
        let webhook = Webhook::new(&bench.receiver.url());
        let (sink, _stop) = webhook.open().map_err(|failure| anyhow!("{failure}"))?;
        let before = Cpu::of(std::process::id())?.own;
        let since = Instant::now();
        let delivered = send(&sink, &held, batches).await?;
        wall.push(since.elapsed().as_secs_f64());
        cpu.push(Cpu::of(std::process::id())?.own - before);
        let taken = bench.receiver.stats().await?.records;
        if (delivered, taken) != (records, records) {
            line.wrong(format!("of {records} records {delivered} have the outcome delivered, and {taken} were taken"));
        }
    }
    let (wall_s, cpu_s) = (median(wall.iter().copied()), median(cpu.iter().copied()));
    line.set("records", records);
    line.set("record_bytes", bytes as u64 / (held.len() as u64 * BATCH));
    line.set("ours_s", rounded(wall_s));
    line.set("ours_cpu_s", rounded(cpu_s));
    line.set("records_per_s", (records as f64 / wall_s).round());
    let per_processor = (records as f64 / cpu_s).round();
    line.set("records_per_cpu_s", per_processor);
    line.set("ours", wall);
    line.goal(format!("at least 300,000 records/s of one processor (is {per_processor})"), per_processor >= GOAL);
    Ok(line)
}

/// Sends as many batches at a time as the destination takes; returns how many records were delivered.
async fn send(sink: &Arc<dyn Sink>, held: &[Arc<[Record]>], batches: u64) -> anyhow::Result<u64> {
    let mut delivered = 0;
    let mut in_flight = JoinSet::new();
    let mut count = |joined: Result<Vec<Outcome>, tokio::task::JoinError>| -> anyhow::Result<()> {
        let outcomes = joined?;
        ensure!(outcomes.len() as u64 == BATCH, "a batch has {} outcomes", outcomes.len());
        delivered += outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Delivered { .. })).count() as u64;
        Ok(())
    };
    for batch in held.iter().cycle().take(usize::try_from(batches)?) {
        while in_flight.len() >= sink.limits().concurrency {
            in_flight.join_next().await.map_or(Ok(()), &mut count)?;
        }
        let (sink, batch) = (Arc::clone(sink), Arc::clone(batch));
        in_flight.spawn(async move { sink.deliver(&batch).await.outcomes });
    }
    while let Some(joined) = in_flight.join_next().await {
        count(joined)?;
    }
    Ok(delivered)
}

fn batch(number: u64) -> Arc<[Record]> {
    let record = |n: u64| Record {
        id: n.to_string(),
        op: Operation::Upsert,
        memory: Memory::default(),
        data: mapping::by_hand(&mapping::row(n)),
        key: format!("{n:064x}"),
    };
    (number * BATCH..(number + 1) * BATCH).map(record).collect()
}
