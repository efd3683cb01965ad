//! DryRun: everything but sending. Nothing moves, not even a claim.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Plan, SyncPlan};
use backflow_core::result::{Estimate, RunResult};
use backflow_core::selection::Operation;

use crate::deliver::{ORDER, batch_is_full, batch_records};
use crate::ledger::Ledger;
use crate::render::{Rendered, Rendering};
use crate::run::{Opened, guard, noted, open, stopped};
use crate::{Environment, empty, failed};

/// Says what a run would do now.
pub(crate) async fn run(plan: &Plan, sync: &SyncPlan, environment: &Environment) -> RunResult {
    match estimate(plan, sync, environment).await {
        Ok(result) => result,
        Err(failure) => failed(plan, failure),
    }
}

async fn estimate(plan: &Plan, sync: &SyncPlan, environment: &Environment) -> Result<RunResult, Failure> {
    let mut opened = match open(plan, sync, environment).await? {
        Ok(opened) => opened,
        Err(asked) => return Ok(stopped(plan, asked)),
    };
    let result = estimated(plan, sync, environment, &mut opened).await;
    if let Err(failure) = opened.extraction.close().await {
        tracing::warn!(%failure, "What the DryRun needed is still there; the next run takes it away.");
    }
    result
}

async fn estimated(
    plan: &Plan,
    sync: &SyncPlan,
    environment: &Environment,
    Opened { mapping, sink, extraction }: &mut Opened,
) -> Result<RunResult, Failure> {
    let before = extraction.checkpoint().clone();
    let mut found = extraction.findings().clone();
    let mut ledger = Ledger::new(extraction.carried(), found.added + found.updated + found.deleted);
    noted(&mut ledger, &found);
    if let Some(refused) = guard(sync, &mut found, &mut **extraction, &mut ledger) {
        return Err(refused);
    }
    let limits = sink.limits();
    let rendering = Rendering::new(mapping, &sync.mapping, &**extraction)?;
    let mut estimate = Estimate::default();
    for kind in ORDER {
        loop {
            if let Some(asked) = environment.stop.failure() {
                return Ok(stopped(plan, asked));
            }
            let page = extraction.next_page(kind, limits.max_records).await?;
            if page.is_empty() {
                break;
            }
            let (mut records, mut bytes) = (0, 0);
            for change in page {
                let record = match rendering.render(change, &mut Vec::new()) {
                    Rendered::Record(_, record) => record,
                    Rendered::NotSelected(change) => {
                        ledger.not_selected(&change);
                        continue;
                    }
                    Rendered::Rejected(change, rejection) => {
                        ledger.rejected(&change, &rejection);
                        continue;
                    }
                };
                let data = record.data.len();
                let most = batch_records(estimate.requests <= 1, limits);
                if records == 0 || batch_is_full(records, bytes, data, most, limits.max_bytes) {
                    estimate.requests += 1;
                    (records, bytes) = (0, 0);
                }
                records += 1;
                bytes += data;
                estimate.bytes += data as u64;
                *count(&mut estimate, record.op) += 1;
            }
            ledger.report(&*environment.reporter);
        }
    }
    // Additions that need a deletion first come when it is acknowledged, which nothing is here: they would be upserts of a Mirror.
    let waiting = extraction.left().await?;
    estimate.upserts += waiting;
    estimate.requests += waiting.div_ceil(limits.max_records as u64);
    estimate.minutes =
        sync.destination.limits.requests_per_second.map(|rate| estimate.requests.div_ceil(60 * u64::from(rate.max(1))));
    let accounted = estimate.inserts + estimate.updates + estimate.upserts + estimate.deletes;
    let all = found.added + found.updated + found.deleted + found.still_rejected;
    if all != accounted + ledger.counters.accounted() {
        return Err(Failure::new(
            Code::LedgerMismatch,
            format!("{all} changes were found and {accounted} are estimated; nothing was sent, please report this"),
        ));
    }
    Ok(RunResult {
        findings: Some(found),
        counters: ledger.counters.clone(),
        errors: ledger.errors.to_vec(),
        checkpoint_before: Some(before),
        estimate: Some(estimate),
        ..empty(plan)
    })
}

/// The number of records of one operation.
fn count(estimate: &mut Estimate, op: Operation) -> &mut u64 {
    match op {
        Operation::Insert => &mut estimate.inserts,
        Operation::Update => &mut estimate.updates,
        Operation::Upsert => &mut estimate.upserts,
        Operation::Delete => &mut estimate.deletes,
    }
}
