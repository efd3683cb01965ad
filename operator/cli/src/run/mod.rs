//! `backflow run`: the Mappings of a folder, once.

mod interrupt;
mod order;
mod progress;
mod summary;

pub(crate) use interrupt::Interrupt;
use summary::Ran;
pub(crate) use summary::{line_of_failure, table};

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backflow_core::plan::Plan;
use backflow_core::report::Reporter;
use backflow_core::result::RunResult;
use backflow_core::secret::Secrets;
use backflow_crds::v1alpha1::{Finding, LocalRef, Replay, RunMode, SyncPhase, SyncSpec, Test};
use backflow_worker::stop::Stop;
use backflow_worker::{Environment, execute};

use crate::args::{Mode, Output, RunArgs};
use crate::console::Console;
use crate::local::{self, Chain};
use crate::manifests::{Manifests, Resource};
use crate::secrets::{Given, LocalSecrets};
use crate::select::Why;
use crate::{exit, select, validate};
use progress::Progress;

/// How long before `runs.deadline` a run ends itself, as in a cluster.
const MARGIN: Duration = Duration::from_secs(60);

/// Runs the command and returns the exit code.
pub(crate) async fn run(args: &RunArgs) -> u8 {
    let console = Console::new(args.output == Output::Text);
    let given = match Given::parse(&args.secrets.secrets) {
        Ok(given) => given,
        Err(message) => return select::usage(&message, &console),
    };
    if let Some(misfit) = args.misfit() {
        return select::usage(misfit, &console);
    }
    let (manifests, problems) = validate::load(&args.input, &given);
    let chains = match chosen(&manifests, args) {
        Ok(chains) => chains,
        Err(why) => return select::stopped(why, &problems, &console),
    };
    let relevant: Vec<&Resource> = chains.iter().flat_map(|chain| chain.resources()).collect();
    let relevant = (!args.mappings.is_empty()).then_some(relevant.as_slice());
    if let Some(code) = select::refused(&problems, relevant, &console) {
        return code;
    }
    let mut planned = Vec::new();
    for chain in &chains {
        match plan(chain, args) {
            Ok(plan) => planned.push((chain, plan)),
            Err(findings) => {
                for Finding { path, code, message } in findings {
                    console.error(chain.mapping.problem(path, &code, message));
                }
                return exit::USAGE;
            }
        }
    }
    match tempfile::Builder::new().prefix("backflow-").tempdir() {
        Ok(scratch) => execute_all(args, &given, &manifests, &planned, scratch.path(), &console).await,
        Err(error) => {
            console.error(format_args!(
                "error: no scratch folder can be made ({}); set TMPDIR to a folder with free space",
                error.kind()
            ));
            exit::FAILED
        }
    }
}

/// The Mappings to run, in their order.
fn chosen<'a>(manifests: &'a Manifests, args: &RunArgs) -> Result<Vec<Chain<'a>>, Why> {
    let mappings = select::named(manifests, "Mapping", &args.mappings)?;
    if matches!(args.mode(), Mode::Test | Mode::Replay) && mappings.len() > 1 {
        let message = format!("--mode {:?} is about rows of one Mapping; say which with --mapping NAME", args.mode());
        return Err(message.into());
    }
    order::in_order(mappings).into_iter().map(|mapping| Ok(Chain::of(manifests, mapping)?)).collect()
}

fn plan(chain: &Chain<'_>, args: &RunArgs) -> Result<Plan, Vec<Finding>> {
    let sync = SyncSpec {
        mapping_ref: Some(LocalRef::new(&chain.mapping.name)),
        model_ref: None,
        forget: None,
        mode: match args.mode() {
            Mode::Incremental => RunMode::Incremental,
            Mode::Full => RunMode::Full,
            Mode::Reset => RunMode::Reset,
            Mode::Replay => RunMode::Replay,
            Mode::DryRun => RunMode::DryRun,
            Mode::Test => RunMode::Test,
        },
        trigger: Default::default(),
        replay: (args.mode() == Mode::Replay).then(|| Replay {
            sync_ref: args.sync.as_ref().map(|sync| LocalRef::new(sync)),
            keys: (!args.keys.is_empty()).then(|| args.keys.clone()),
        }),
        test: match (args.mode(), args.keys.first()) {
            (Mode::Test, Some(key)) => Some(Test { key: key.clone() }),
            _ => None,
        },
        limit: None,
        approve_deletes: args.approve_deletes.map(i64::from),
        retry_rejected: args.retry_rejected,
        adopt_state: args.adopt_state,
        confirm: args.confirm,
        cancel: false,
    };
    let task = chain.plan(&sync)?;
    Ok(local::plan(&chain.mapping.namespace, &chain.mapping.name, chain.spec.runs.deadline.seconds(), task))
}

/// Runs one Mapping after the other and returns the exit code.
async fn execute_all(
    args: &RunArgs,
    given: &Given,
    manifests: &Manifests,
    planned: &[(&Chain<'_>, Plan)],
    scratch: &Path,
    console: &Console,
) -> u8 {
    let interrupt = Interrupt::listen(scratch.to_owned(), *console);
    let progress = Progress::new(
        console,
        planned.iter().map(|(chain, _)| chain.mapping.name.chars().count()).max().unwrap_or_default(),
    );
    let mut ran: Vec<Ran> = Vec::new();
    for (chain, plan) in planned {
        let mapping = chain.mapping;
        if interrupt.asked() {
            progress.say(&mapping.name, "not started: interrupted");
            continue;
        }
        match skipped(chain, args, &ran) {
            Some(Ok(why)) => {
                progress.say(&mapping.name, &format!("skipped: {why}"));
                continue;
            }
            Some(Err(why)) => return select::usage(&why, console),
            None => {}
        }
        let environment = Environment {
            secrets: Arc::new(LocalSecrets::new(given, &manifests.secrets, &mapping.namespace)) as Arc<dyn Secrets>,
            scratch: scratch.to_owned(),
            reporter: progress.begin(&mapping.name) as Arc<dyn Reporter>,
            stop: Stop::default(),
            output: match args.output {
                Output::Text => Arc::new(Mutex::new(std::io::stdout())),
                Output::Json => Arc::new(Mutex::new(std::io::stderr())),
            },
        };
        let began = Instant::now();
        let result = watched(plan, &environment, &interrupt).await;
        let run = Ran::new(mapping, plan, args.mode(), began.elapsed(), result);
        progress.end(&run);
        if args.output == Output::Json {
            console.json(&run.line());
        }
        ran.push(run);
    }
    progress.finish();
    if args.output == Output::Text {
        summary::show(&ran, console);
    }
    if interrupt.asked() { exit::INTERRUPTED } else { summary::exit_code(&ran) }
}

/// Executes a plan, which ends early if it is interrupted or its deadline is near.
pub(crate) async fn watched(plan: &Plan, environment: &Environment, interrupt: &Interrupt) -> RunResult {
    if let Some(seconds) = plan.deadline_seconds {
        environment.stop.end_before(Duration::from_secs(seconds), MARGIN);
    }
    let watch = tokio::spawn({
        let (stop, interrupt) = (environment.stop.clone(), interrupt.clone());
        async move {
            interrupt.wait().await;
            stop.cancel();
        }
    });
    let result = execute(plan, environment).await;
    watch.abort();
    result
}

/// Why a Mapping does not run; an error if it was asked for by name.
fn skipped(chain: &Chain<'_>, args: &RunArgs, ran: &[Ran]) -> Option<Result<String, String>> {
    let named = args.mappings.contains(&chain.mapping.name);
    if let Some(resource) = chain.suspended() {
        let why =
            format!("{} \"{}\" is suspended; set suspend: false in {}", resource.kind, resource.name, resource.file);
        return Some(if named {
            Err(format!("Mapping \"{}\" cannot run: {why}", chain.mapping.name))
        } else {
            Ok(why)
        });
    }
    if named {
        return None;
    }
    if chain.spec.suspend {
        return Some(Ok(format!("it is suspended; --mapping {} runs it nevertheless", chain.mapping.name)));
    }
    let before = chain.mapping.refers_to(&["schedule", "after", "mappingRef"])?;
    let failed =
        ran.iter().find(|run| run.mapping() == before && run.namespace() == chain.mapping.namespace && !run.went_on());
    failed.map(|run| {
        Ok(format!(
            "it follows {}, which {}",
            run.mapping(),
            if run.phase() == SyncPhase::Canceled { "was canceled" } else { "failed" }
        ))
    })
}
