//! One run of a Mapping, from the warehouse to the destination and back to the checkpoint.

use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::change::Identify;
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::{Extraction, Findings, row_columns};
use backflow_core::failpoint;
use backflow_core::guard::{DeletesAction, Deletions};
use backflow_core::plan::{Plan, SyncPlan};
use backflow_core::result::{Phase, RunResult};
use backflow_core::sink::Sink;
use backflow_destinations::Keeping;
use backflow_mapping::Compiled;
use backflow_sources::diff;
use backflow_sources::notes::StoredNotes;
use backflow_sources::warehouse::Warehouse;

use crate::deliver::{Delivering, deliver};
use crate::ledger::Ledger;
use crate::render::Rendering;
use crate::{Environment, after, application, empty, failed};

/// Runs a Mapping once.
pub(crate) async fn run(plan: &Plan, sync: &SyncPlan, environment: &Environment) -> RunResult {
    match try_run(plan, sync, environment).await {
        Ok(result) => result,
        Err(failure) => failed(plan, failure),
    }
}

/// A run before its first change.
pub(crate) struct Opened {
    pub(crate) mapping: Compiled,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) extraction: Box<dyn Extraction>,
}

/// Reads the model and compares it: everything before delivery. The warehouse is closed when this returns. `Err` in the answer: the run
/// was asked to end.
pub(crate) async fn open(
    plan: &Plan,
    sync: &SyncPlan,
    environment: &Environment,
) -> Result<Result<Opened, Failure>, Failure> {
    let warehouse = backflow_sources::warehouse::open(&sync.source, &*environment.secrets, &application(plan)).await?;
    // To describe a model may take as long as to read it: a table that it names may be locked.
    let opening = async {
        let columns = warehouse.describe(&sync.model).await?;
        let mapping = compile(sync, &columns)?;
        let stop = environment.stop.watch();
        let keeping = Some(keeping(plan, &*warehouse));
        let sink = backflow_destinations::open(&sync.destination, &sync.mapping, &*environment.secrets, keeping, stop)?;
        let bound = bound(sync, sink.ready(&mapping.members()).await?);
        let renderer = mapping.bind(&row_columns(&columns, mapping.used_columns(), &sync.model.primary_key))?;
        let identifies = renderer.identifies();
        let request = diff::Request {
            plan: &bound,
            run: &plan.run,
            owner: &plan.owner,
            used: mapping.used_columns(),
            described: &columns,
            // A row whose match key cannot be computed has none: its record is rejected when it is rendered.
            identify: identifies
                .then(|| Arc::new(move |row: &[Cell]| renderer.memory(row).unwrap_or_default()) as Identify),
            scratch: &environment.scratch,
            clock: Arc::new(jiff::Timestamp::now),
            reporter: environment.reporter.clone(),
        };
        let extraction = diff::open(&*warehouse, warehouse.state(), request).await?;
        Ok::<_, Failure>(Opened { mapping, sink, extraction })
    };
    let opened = tokio::select! {
        opened = opening => Ok(opened),
        failure = environment.stop.asked() => Err(failure),
    };
    // An extraction that ended early has its query cancelled; a process that is gone could not do that.
    warehouse.idle().await;
    match opened {
        Ok(opened) => opened.map(Ok),
        Err(asked) => Ok(Err(asked)),
    }
}

/// The plan with what the destination calls its account: the state is bound to that, too.
fn bound(sync: &SyncPlan, account: Option<String>) -> SyncPlan {
    let mut bound = sync.clone();
    bound.mapping.identity.extend(account.map(|account| ("destination.account".to_owned(), account)));
    bound
}

async fn try_run(plan: &Plan, sync: &SyncPlan, environment: &Environment) -> Result<RunResult, Failure> {
    let Opened { mapping, sink, mut extraction } = match open(plan, sync, environment).await? {
        Ok(opened) => opened,
        Err(asked) => return Ok(stopped(plan, asked)),
    };
    failpoint::hit("after-extract");
    let delivering = Delivering {
        run: &plan.run,
        rendering: Arc::new(Rendering::new(&mapping, &sync.mapping, &*extraction)?),
        sink,
        reporter: &*environment.reporter,
        stop: &environment.stop,
    };
    conclude(plan, sync, &delivering, &mut *extraction, environment).await
}

/// The result of a run that was asked to end before there was anything to deliver.
pub(crate) fn stopped(plan: &Plan, failure: Failure) -> RunResult {
    let phase = match failure.code {
        Code::Canceled => Phase::Canceled,
        Code::Terminated => Phase::Running,
        _ => Phase::Failed,
    };
    RunResult { phase, failure: Some(failure), ..empty(plan) }
}

/// Guard, delivery, fold, and the result.
async fn conclude(
    plan: &Plan,
    sync: &SyncPlan,
    delivering: &Delivering<'_>,
    extraction: &mut dyn Extraction,
    environment: &Environment,
) -> Result<RunResult, Failure> {
    let before = extraction.checkpoint().clone();
    let mut found = extraction.findings().clone();
    let mut ledger = Ledger::new(extraction.carried(), found.added + found.updated + found.deleted);
    noted(&mut ledger, &found);
    let mut ended = guard(sync, &mut found, extraction, &mut ledger);
    if ended.is_none() {
        ended = deliver(extraction, delivering, &mut ledger).await?;
        delivering.sink.finish().await;
    }
    let found = Ledger::extracted(extraction.carried(), &found);
    let base = RunResult {
        findings: Some(found.clone()),
        counters: ledger.counters.clone(),
        errors: ledger.errors.to_vec(),
        checkpoint_before: Some(before),
        throttled_until: delivering.sink.throttled().map(after),
        ..empty(plan)
    };
    if environment.stop.is(Code::Terminated) {
        // The replacement pod finds what is left; folding takes time that the kubelet may not give.
        let checkpoint_after = Some(extraction.checkpoint().clone());
        return Ok(RunResult { phase: Phase::Running, failure: environment.stop.failure(), checkpoint_after, ..base });
    }
    let balance = if refused(ended.as_ref()) { Ok(()) } else { ledger.balance(&found) };
    let (phase, failure) = verdict(&ledger, &found, ended, balance.err());
    let checkpoint = extraction.finish(&ledger.counters, phase).await?;
    failpoint::hit("before-result");
    tracing::info!(
        phase = ?phase,
        delivered = ledger.counters.delivered(),
        rejected = ledger.counters.rejected,
        retrying = ledger.counters.retrying,
        withheld = ledger.counters.withheld,
        "The run ended."
    );
    Ok(RunResult { phase, failure, checkpoint_after: Some(checkpoint), ..base })
}

/// Counts what the comparison left out.
pub(crate) fn noted(ledger: &mut Ledger, found: &Findings) {
    ledger.counters.still_rejected = found.still_rejected;
    ledger.errors.count_many(
        "NULL_KEY",
        None,
        "rows with a NULL in the primary key are not sent; give each row a key",
        found.invalid_null_key,
    );
    ledger.errors.count_many(
        "DUPLICATE_KEY",
        None,
        "rows that share a primary key are not sent; make the key unique",
        found.invalid_duplicate_key,
    );
}

/// Withholds the deletions of a run that has too many, or refuses the run.
pub(crate) fn guard(
    sync: &SyncPlan,
    found: &mut Findings,
    extraction: &mut dyn Extraction,
    ledger: &mut Ledger,
) -> Option<Failure> {
    let selection = &sync.mapping.selection;
    let ahead = Deletions::ahead(found, selection);
    if !selection.deletes() || ahead == 0 {
        return None;
    }
    let deletions = Deletions::of(found, extraction.carried(), selection);
    if !sync.mapping.deletes.withholds(deletions, sync.options.approve_deletes) {
        return None;
    }
    match sync.mapping.deletes.action {
        DeletesAction::Withhold => {
            extraction.withhold_deletions();
            ledger.counters.withheld = ahead;
            // Those of rows that were never sent wait too, and so do additions that need their deletion first. Nobody has to approve
            // them: the next run finds them again.
            found.deleted = ahead;
            found.added -= found.rekeyed;
            None
        }
        DeletesAction::Fail => Some(Failure::new(
            Code::DeletesRefused,
            format!(
                "{} of {} known rows would be deleted, more than deletes allows, so nothing was sent; mend the Model, or \
                 approve by a Sync with approveDeletes: {}",
                deletions.count, deletions.known, deletions.count
            ),
        )),
    }
}

fn refused(ended: Option<&Failure>) -> bool {
    ended.is_some_and(|failure| failure.code == Code::DeletesRefused)
}

/// How the run ended, and why if it did not simply succeed.
fn verdict(
    ledger: &Ledger,
    found: &Findings,
    ended: Option<Failure>,
    mismatch: Option<Failure>,
) -> (Phase, Option<Failure>) {
    if mismatch.is_some() {
        return (Phase::Failed, mismatch);
    }
    let counters = &ledger.counters;
    let moved = counters.delivered() > 0;
    match ended {
        Some(failure) if failure.code == Code::Canceled => (Phase::Canceled, Some(failure)),
        Some(failure) if moved => (Phase::PartiallySucceeded, Some(failure)),
        Some(failure) => (Phase::Failed, Some(failure)),
        None if found.scratch_full => {
            let message = "scratch is full: what was read is delivered, deletions wait, the next run goes on; or raise worker.scratch";
            (Phase::PartiallySucceeded, Some(Failure::new(Code::ScratchFull, message)))
        }
        None if counters.retrying > 0 => {
            let message = format!("{} records were not acknowledged; the next run sends them", counters.retrying);
            let phase = if moved { Phase::PartiallySucceeded } else { Phase::Failed };
            (phase, Some(Failure::new(Code::RetriesExhausted, message)))
        }
        None if counters.rejected + counters.still_rejected + counters.withheld + found.invalid() > 0 => {
            (Phase::PartiallySucceeded, None)
        }
        None => (Phase::Succeeded, None),
    }
}

/// What is true of the Destination's account lies beside the states of its Mappings.
pub(crate) fn keeping(plan: &Plan, warehouse: &dyn Warehouse) -> Keeping {
    let notes = Arc::new(StoredNotes::new(warehouse.state()));
    Keeping { notes, cluster: plan.owner.clone(), namespace: plan.namespace.clone() }
}

pub(crate) fn compile(sync: &SyncPlan, columns: &[backflow_core::cell::Column]) -> Result<Compiled, Failure> {
    let destination = &sync.destination;
    let Ok(definition) = backflow_definitions::planned(destination) else {
        // The sink says so, too, with its reason.
        return backflow_mapping::compile(&sync.mapping, columns, None).map_err(first);
    };
    let settings = backflow_definitions::complete(&definition.settings, &destination.settings);
    let action = definition.action(&sync.mapping.action).ok();
    let target = action.map(|action| backflow_mapping::Target { action, settings: &settings });
    backflow_mapping::compile(&sync.mapping, columns, target).map_err(first)
}

/// The first finding as a failure; the controller shows all of them as soon as it knows the columns.
fn first(findings: Vec<backflow_core::finding::Finding>) -> Failure {
    let more = findings.len().saturating_sub(1);
    let Some(finding) = findings.into_iter().next() else {
        return Failure::new(Code::MappingInvalid, "the Mapping's fields cannot be compiled");
    };
    let code = if finding.code == "UnknownColumn" { Code::ColumnNotFound } else { Code::MappingInvalid };
    let rest = if more > 0 { format!(" (and {more} more)") } else { String::new() };
    Failure::new(code, format!("{}: {}{rest}", finding.path, finding.message))
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
