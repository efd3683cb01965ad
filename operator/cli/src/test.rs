//! `backflow test`: do connections, queries and fields work? And: send one record.

use std::io::Write;
use std::sync::{Arc, Mutex};

use backflow_core::cell::Column;
use backflow_core::plan::{Plan, Task};
use backflow_core::report::{Progress, Reporter};
use backflow_core::result::{CheckResult, Phase, RunResult};
use backflow_plan::Parts;
use backflow_worker::Environment;
use backflow_worker::stop::Stop;
use serde::Serialize;

use crate::args::{Mode, Output, RunArgs, TestArgs};
use crate::console::Console;
use crate::local::{self, Chain};
use crate::manifests::{Manifests, Resource};
use crate::run::{Interrupt, line_of_failure, watched};
use crate::secrets::{Given, LocalSecrets};
use crate::select::Why;
use crate::{exit, run, select, validate};

/// One line of the result.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tested {
    resource: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    columns: Vec<Column>,
}

/// Runs the command and returns the exit code.
pub(crate) async fn run(args: &TestArgs) -> u8 {
    if let Some(key) = &args.key {
        return send(args, key).await;
    }
    let console = Console::new(args.output == Output::Text);
    let given = match Given::parse(&args.secrets.secrets) {
        Ok(given) => given,
        Err(message) => return select::usage(&message, &console),
    };
    let (manifests, problems) = validate::load(&args.input, &given);
    let chosen = match chosen(&manifests, args) {
        Ok(chosen) => chosen,
        Err(why) => return select::stopped(why, &problems, &console),
    };
    if let Some(code) = select::refused(&problems, Some(&chosen), &console) {
        return code;
    }
    let desk = match Desk::new(&given, &manifests, &console) {
        Ok(desk) => desk,
        Err(code) => return code,
    };
    let mut columns: Vec<(&Resource, Vec<Column>)> = Vec::new();
    let mut failed = false;
    for resource in chosen {
        if desk.interrupt.asked() {
            return exit::INTERRUPTED;
        }
        let tested = if resource.kind == "Mapping" {
            fields(&manifests, resource, &columns)
        } else {
            desk.check(resource).await
        };
        if let Some(seen) = tested.as_ref().filter(|tested| tested.ok && resource.kind == "Model") {
            columns.push((resource, seen.columns.clone()));
        }
        let Some(tested) = tested else { continue };
        failed |= !tested.ok;
        match args.output {
            Output::Json => console.json(&tested),
            Output::Text => console.print(format_args!(
                "{}  {}: {}",
                if tested.ok { "ok    " } else { "FAILED" },
                tested.resource,
                tested.message
            )),
        }
    }
    if failed { exit::FAILED } else { exit::OK }
}

/// With a key: as `backflow run --mode Test`.
async fn send(args: &TestArgs, key: &str) -> u8 {
    let given = RunArgs {
        input: crate::args::Input {
            files: args.input.files.clone(),
            recursive: args.input.recursive,
            namespace: args.input.namespace.clone(),
        },
        mappings: args.mapping.clone().into_iter().collect(),
        mode: Mode::Test,
        keys: vec![key.to_owned()],
        dry_run: false,
        sync: None,
        approve_deletes: None,
        retry_rejected: false,
        adopt_state: false,
        confirm: false,
        secrets: crate::args::SecretArgs { secrets: args.secrets.secrets.clone() },
        output: args.output,
    };
    run::run(&given).await
}

/// What is tested: what is named, or everything; Sources first, Mappings last.
fn chosen<'a>(manifests: &'a Manifests, args: &TestArgs) -> Result<Vec<&'a Resource>, Why> {
    let mut chosen = Vec::new();
    if let Some(name) = &args.source {
        chosen.push(select::one(manifests, "Source", Some(name))?);
    }
    if let Some(name) = &args.mapping {
        let mapping = select::one(manifests, "Mapping", Some(name))?;
        let chain = Chain::of(manifests, mapping)?;
        chosen.extend([chain.source, chain.model, chain.destination, mapping]);
    }
    if let Some(name) = &args.destination {
        chosen.push(select::one(manifests, "Destination", Some(name))?);
    }
    if chosen.is_empty() {
        chosen
            .extend(["Source", "Model", "Destination", "Mapping"].into_iter().flat_map(|kind| manifests.of_kind(kind)));
    }
    if chosen.is_empty() { Err(select::nothing(manifests).into()) } else { Ok(chosen) }
}

/// The fields of a Mapping against the columns that its Model has, if those were seen.
fn fields(manifests: &Manifests, mapping: &Resource, columns: &[(&Resource, Vec<Column>)]) -> Option<Tested> {
    let chain = Chain::of(manifests, mapping).ok()?;
    let (_, columns) = columns.iter().find(|(model, _)| std::ptr::eq(*model, chain.model))?;
    let (source, model, destination) = (
        local::source(chain.source).ok()?,
        local::model(chain.model).ok()?,
        local::destination(chain.definitions, chain.destination).ok()?,
    );
    let parts = Parts {
        source: &source,
        model: &model,
        destination: &destination,
        definitions: chain.definitions,
        columns: Some(columns),
    };
    let resource = mapping.title();
    Some(match backflow_plan::mapping(&mapping.namespace, &mapping.name, chain.spec, parts) {
        Ok(plan) => {
            let message = format!("{} fields, all columns exist", plan.fields.len());
            Tested { resource, ok: true, code: None, message, columns: Vec::new() }
        }
        Err(findings) => {
            let code = findings.first().map(|finding| finding.code.clone());
            let message = findings
                .into_iter()
                .map(|finding| {
                    let at = mapping.node.locate(&finding.path);
                    format!("{}:{}:{}: {}: {}", mapping.file, at.line, at.column, finding.path, finding.message)
                })
                .collect::<Vec<_>>()
                .join("\n        ");
            Tested { resource, ok: false, code, message, columns: Vec::new() }
        }
    })
}

/// Where short tasks run: secrets, a scratch folder, Ctrl-C.
pub(crate) struct Desk<'a> {
    given: &'a Given,
    manifests: &'a Manifests,
    scratch: tempfile::TempDir,
    /// Whether a person asked to stop.
    pub(crate) interrupt: Interrupt,
}

impl<'a> Desk<'a> {
    pub(crate) fn new(given: &'a Given, manifests: &'a Manifests, console: &Console) -> Result<Self, u8> {
        match tempfile::Builder::new().prefix("backflow-").tempdir() {
            Ok(scratch) => {
                let interrupt = Interrupt::listen(scratch.path().to_owned(), *console);
                Ok(Self { given, manifests, scratch, interrupt })
            }
            Err(error) => {
                console.error(format_args!(
                    "error: no scratch folder can be made ({}); set TMPDIR to a folder with free space",
                    error.kind()
                ));
                Err(exit::FAILED)
            }
        }
    }

    pub(crate) async fn execute(
        &self,
        plan: &Plan,
        reporter: Arc<dyn Reporter>,
        output: Arc<Mutex<dyn Write + Send>>,
    ) -> RunResult {
        let environment = Environment {
            secrets: Arc::new(LocalSecrets::new(self.given, &self.manifests.secrets, &plan.namespace)),
            scratch: self.scratch.path().to_owned(),
            reporter,
            stop: Stop::default(),
            output,
        };
        watched(plan, &environment, &self.interrupt).await
    }

    /// Checks a Source, a Model or a Destination. None for a Model whose Source is not there, which is a finding of its own.
    async fn check(&self, resource: &Resource) -> Option<Tested> {
        let task = match resource.kind {
            "Source" => Task::CheckSource(local::source(resource).ok()?),
            "Model" => {
                let source = match local::needed(self.manifests, resource, "Source", "sourceRef") {
                    Ok(source) => source,
                    Err(problem) => {
                        return Some(Tested {
                            resource: resource.title(),
                            ok: false,
                            code: Some(problem.code),
                            message: problem.message,
                            columns: Vec::new(),
                        });
                    }
                };
                Task::CheckModel(local::source(source).ok()?, local::model(resource).ok()?)
            }
            _ => Task::CheckDestination(local::destination(&self.manifests.definitions, resource).ok()?),
        };
        let plan = local::plan(&resource.namespace, &resource.name, None, task);
        let result = self.execute(&plan, Arc::new(Quiet), Arc::new(Mutex::new(std::io::sink()))).await;
        Some(tested(resource, result))
    }
}

fn tested(resource: &Resource, result: RunResult) -> Tested {
    let resource_title = resource.title();
    if result.phase == Phase::Failed {
        let code = result.failure.as_ref().map(|failure| failure.code.to_string());
        return Tested {
            resource: resource_title,
            ok: false,
            code,
            message: line_of_failure(&result),
            columns: Vec::new(),
        };
    }
    let CheckResult { server, columns, .. } = result.check.unwrap_or_default();
    let message = match (server, columns.as_slice()) {
        (Some(server), _) => server,
        (None, []) => "it answers".to_owned(),
        (None, columns) => {
            let names = columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect::<Vec<_>>();
            names.join(", ")
        }
    };
    Tested { resource: resource_title, ok: true, code: None, message, columns }
}

/// Nobody watches.
pub(crate) struct Quiet;

impl Reporter for Quiet {
    fn progress(&self, _: Progress) {}

    fn provisional(&self, _: &RunResult) {}
}
