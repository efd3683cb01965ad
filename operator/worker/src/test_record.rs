//! Test: one record, really sent, nothing moved.

use backflow_core::cell::Cell;
use backflow_core::change::{Change, ChangeKind, Key, Memory, NamedKeys};
use backflow_core::code::{Code, Failure};
use backflow_core::encode::EncodedRow;
use backflow_core::extraction::row_columns;
use backflow_core::plan::{Plan, SyncPlan};
use backflow_core::record::{Outcome, Record, idempotency_key};
use backflow_core::result::{Counters, ErrorCounts, Phase, RunResult};
use backflow_core::selection::Operation;
use backflow_sources::warehouse::Query;
use futures::StreamExt as _;

use crate::preview::write_line;
use crate::run::{compile, keeping};
use crate::{Environment, application, empty, failed};

/// Sends the row with this key, prints record and outcome, and leaves the state as it is.
pub(crate) async fn run(plan: &Plan, sync: &SyncPlan, key: &str, environment: &Environment) -> RunResult {
    match send(plan, sync, key, environment).await {
        Ok(result) => result,
        Err(failure) => failed(plan, failure),
    }
}

async fn send(plan: &Plan, sync: &SyncPlan, key: &str, environment: &Environment) -> Result<RunResult, Failure> {
    let warehouse = backflow_sources::warehouse::open(&sync.source, &*environment.secrets, &application(plan)).await?;
    let columns = warehouse.describe(&sync.model).await?;
    let mapping = compile(sync, &columns)?;
    let fields = mapping.members();
    let bound = row_columns(&columns, mapping.used_columns(), &sync.model.primary_key);
    let mapping = mapping.bind(&bound)?;
    let positions: Vec<usize> =
        sync.model.primary_key.iter().filter_map(|name| bound.iter().position(|column| column.name == *name)).collect();

    let query = Query {
        model: sync.model.clone(),
        columns: bound.iter().map(|column| column.name.clone()).collect(),
        filter: sync.mapping.filter.clone(),
        limit: None,
    };
    let mut rows = warehouse.rows(query).await?;
    let wanted = NamedKeys::new([key]);
    let mut found: Option<(Key, Vec<Cell>)> = None;
    'reading: while let Some(batch) = rows.next().await {
        for row in batch? {
            let candidate = Key(positions.iter().map(|at| row[*at].clone()).collect());
            if wanted.contains(&candidate) {
                found = Some((candidate, row));
                break 'reading;
            }
        }
    }
    drop(rows);
    warehouse.idle().await;
    let Some((key, row)) = found else {
        let columns = sync.model.primary_key.join(", ");
        return Err(Failure::new(
            Code::RowNotFound,
            format!("no row of the Model has this primary key ({columns}); name another in test.key"),
        ));
    };

    let kind = ChangeKind::Added;
    let op = sync.mapping.selection.operation(kind, false).unwrap_or(Operation::Upsert);
    let change = Change {
        kind,
        key,
        row: EncodedRow::default(),
        rev: 0,
        hash: 0,
        unsent: false,
        known: false,
        duplicate: false,
        memory: Memory::default(),
        place: 0,
    };
    let mut id = String::new();
    change.key.write_json(&mut id);
    let mut counters = Counters::default();
    let mut errors = ErrorCounts::default();
    let rendered = mapping.memory(&row).and_then(|memory| Ok((memory, mapping.render(&row, op)?)));
    let outcome = match rendered {
        Ok((memory, data)) => {
            // The run's name makes the key: a Test is a delivery of its own, and never shadows a real one.
            let key = idempotency_key(&plan.run, &change, &sync.mapping.fingerprint, op);
            let record = Record { id, op, memory, data, key };
            write_line(
                environment,
                &format!("request: {{\"id\":{},\"op\":\"{}\",\"data\":{}}}", record.id, op.as_str(), record.data),
            )?;
            let stop = environment.stop.watch();
            let keeping = Some(keeping(plan, &*warehouse));
            let sink =
                backflow_destinations::open(&sync.destination, &sync.mapping, &*environment.secrets, keeping, stop)?;
            sink.ready(&fields).await?;
            let mut delivery = sink.deliver(&[record]).await;
            sink.finish().await;
            counters.requests = delivery.requests;
            counters.bytes = delivery.bytes;
            counters.traffic = std::mem::take(&mut delivery.traffic);
            if let Some(failure) = delivery.stop {
                return Err(failure);
            }
            delivery.outcomes.pop().unwrap_or(Outcome::Retrying)
        }
        Err(rejection) => Outcome::Rejected(rejection),
    };
    let (phase, line) = match outcome {
        Outcome::Delivered { .. } => {
            match op {
                Operation::Insert => counters.inserted = 1,
                Operation::Update => counters.updated = 1,
                Operation::Upsert => counters.upserted = 1,
                Operation::Delete => counters.deleted = 1,
            }
            (Phase::Succeeded, "response: delivered".to_owned())
        }
        Outcome::Rejected(rejection) => {
            counters.rejected = 1;
            errors.count(&rejection.code, rejection.field.as_deref(), &rejection.message);
            (Phase::PartiallySucceeded, format!("response: rejected, {}: {}", rejection.code, rejection.message))
        }
        Outcome::Retrying => {
            counters.retrying = 1;
            (Phase::Failed, "response: none that says what became of the record".to_owned())
        }
    };
    write_line(environment, &line)?;
    Ok(RunResult { phase, counters, errors: errors.to_vec(), ..empty(plan) })
}
