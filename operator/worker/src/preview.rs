//! Preview: the first rows of a Model, for the person who asked.

use std::sync::PoisonError;

use backflow_core::cell::{Cell, Column, write_string};
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{ModelPlan, Plan, SourcePlan};
use backflow_core::result::{CheckResult, RunResult};
use backflow_sources::warehouse::Query;
use futures::StreamExt as _;

use crate::{Environment, application, empty, failed};

/// Prints the first rows as one JSON object a line. This is the one task, with Test, whose output holds row data.
pub(crate) async fn run(
    plan: &Plan,
    source: &SourcePlan,
    model: &ModelPlan,
    limit: u32,
    environment: &Environment,
) -> RunResult {
    match print(plan, source, model, limit, environment).await {
        Ok(columns) => {
            let check = CheckResult { columns, ..CheckResult::default() };
            RunResult { check: Some(check), ..empty(plan) }
        }
        Err(failure) => failed(plan, failure),
    }
}

async fn print(
    plan: &Plan,
    source: &SourcePlan,
    model: &ModelPlan,
    limit: u32,
    environment: &Environment,
) -> Result<Vec<Column>, Failure> {
    let warehouse = backflow_sources::warehouse::open(source, &*environment.secrets, &application(plan)).await?;
    let columns = warehouse.describe(model).await?;
    let names = columns.iter().map(|column| column.name.clone()).collect();
    let query = Query { model: model.clone(), columns: names, filter: None, limit: Some(limit) };
    let mut rows = warehouse.rows(query).await?;
    while let Some(batch) = rows.next().await {
        for row in batch? {
            write_line(environment, &object(&columns, &row))?;
        }
    }
    Ok(columns)
}

/// A row as a JSON object.
fn object(columns: &[Column], row: &[Cell]) -> String {
    let mut line = String::from("{");
    for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
        if at > 0 {
            line.push(',');
        }
        write_string(&column.name, &mut line);
        line.push(':');
        cell.write_json(&mut line);
    }
    line.push('}');
    line
}

/// Writes one line to whoever asked.
pub(crate) fn write_line(environment: &Environment, line: &str) -> Result<(), Failure> {
    let mut output = environment.output.lock().unwrap_or_else(PoisonError::into_inner);
    writeln!(output, "{line}")
        .map_err(|error| Failure::new(Code::Internal, format!("the output cannot be written: {}", error.kind())))
}
