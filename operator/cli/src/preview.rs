//! `backflow preview`: the first rows of a Model.

use std::sync::{Arc, Mutex, PoisonError};

use backflow_core::plan::{PreviewPlan, Task};
use backflow_core::result::Phase;
use serde_json::{Map, Value};

use crate::args::{Output, PreviewArgs};
use crate::console::Console;
use crate::manifests::Resource;
use crate::run::{line_of_failure, table};
use crate::secrets::Given;
use crate::test::{Desk, Quiet};
use crate::{exit, local, select, validate};

/// The widest cell of a table, in characters.
const WIDEST: usize = 40;

/// Runs the command and returns the exit code.
pub(crate) async fn run(args: &PreviewArgs) -> u8 {
    let console = Console::new(args.output == Output::Text);
    let given = match Given::parse(&args.secrets.secrets) {
        Ok(given) => given,
        Err(message) => return select::usage(&message, &console),
    };
    let (manifests, problems) = validate::load(&args.input, &given);
    let model = match select::one(&manifests, "Model", args.model.as_ref()) {
        Ok(model) => model,
        Err(why) => return select::stopped(why.into(), &problems, &console),
    };
    let source = match local::needed(&manifests, model, "Source", "sourceRef") {
        Ok(source) => source,
        Err(problem) => return select::stopped(problem.into(), &problems, &console),
    };
    let relevant: [&Resource; 2] = [model, source];
    if let Some(code) = select::refused(&problems, Some(&relevant), &console) {
        return code;
    }
    let (Ok(source), Ok(planned)) = (local::source(source), local::model(model)) else {
        return select::usage("the manifests cannot be planned; see backflow validate", &console);
    };
    let task = Task::Preview(source, planned, PreviewPlan { limit: args.limit });
    let plan = local::plan(&model.namespace, &model.name, None, task);
    let printed: Arc<Mutex<Vec<u8>>> = Arc::default();
    let desk = match Desk::new(&given, &manifests, &console) {
        Ok(desk) => desk,
        Err(code) => return code,
    };
    let result = desk.execute(&plan, Arc::new(Quiet), printed.clone()).await;
    if result.phase == Phase::Failed {
        console.error(format_args!("{}: {}", model.title(), line_of_failure(&result)));
        return exit::FAILED;
    }
    let text = String::from_utf8_lossy(&printed.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    match args.output {
        Output::Json => text.lines().for_each(|line| console.print(line)),
        Output::Text => {
            let columns: Vec<String> =
                result.check.unwrap_or_default().columns.into_iter().map(|column| column.name).collect();
            show(&columns, &text, &console);
        }
    }
    if desk.interrupt.asked() { exit::INTERRUPTED } else { exit::OK }
}

fn show(columns: &[String], text: &str, console: &Console) {
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok())
        .map(|row| columns.iter().map(|column| row.get(column).map(cell).unwrap_or_default()).collect())
        .collect();
    console.print(table(columns, &rows));
    console.remark(match rows.len() {
        0 => "The Model has no rows.".to_owned(),
        1 => "1 row".to_owned(),
        count => format!("{count} rows"),
    });
}

/// A value in a table: one line, no control characters, not too wide.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.chars().count() <= WIDEST {
        return plain;
    }
    plain.chars().take(WIDEST - 1).chain(['…']).collect()
}
