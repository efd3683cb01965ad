//! `backflow state`: what is remembered, and of which Mappings.

use backflow_core::plan::SourcePlan;
use backflow_worker::states::{self, StateDetails, StateSummary};
use serde::Serialize;

use crate::args::{Output, StateCommand, StateInput};
use crate::console::Console;
use crate::manifests::Resource;
use crate::run::table;
use crate::secrets::{Given, LocalSecrets};
use crate::{exit, local, select, validate};

/// A state and where it is.
#[derive(Serialize)]
struct Line<'a, T> {
    source: &'a str,
    namespace: &'a str,
    location: String,
    #[serde(flatten)]
    state: T,
}

/// Runs the command and returns the exit code.
pub(crate) async fn run(command: &StateCommand) -> u8 {
    match command {
        StateCommand::List { input, limit } => {
            look(input, async |source: Looked<'_>| source.list(*limit, input.output).await).await
        }
        StateCommand::Show { input, key } => {
            look(input, async |source: Looked<'_>| source.show(key, input.output).await).await
        }
    }
}

/// A Source whose states are asked for.
struct Looked<'a> {
    resource: &'a Resource,
    plan: SourcePlan,
    secrets: LocalSecrets,
    console: Console,
}

/// Does it for each Source.
async fn look(input: &StateInput, each: impl AsyncFn(Looked<'_>) -> u8) -> u8 {
    let console = Console::new(input.output == Output::Text);
    let given = match Given::parse(&input.secrets.secrets) {
        Ok(given) => given,
        Err(message) => return select::usage(&message, &console),
    };
    let (manifests, problems) = validate::load(&input.input, &given);
    let sources = match select::named(&manifests, "Source", &input.sources) {
        Ok(sources) => sources,
        Err(why) => return select::stopped(why.into(), &problems, &console),
    };
    if let Some(code) = select::refused(&problems, Some(&sources), &console) {
        return code;
    }
    let mut worst = exit::OK;
    for resource in sources {
        let Ok(plan) = local::source(resource) else {
            return select::usage("the manifests cannot be planned; see backflow validate", &console);
        };
        let secrets = LocalSecrets::new(&given, &manifests.secrets, &resource.namespace);
        worst = worst.max(each(Looked { resource, plan, secrets, console }).await);
    }
    worst
}

impl Looked<'_> {
    fn place(&self) -> String {
        self.plan.state.place(&self.resource.name)
    }

    fn line<T>(&self, state: T) -> Line<'_, T> {
        Line { source: &self.resource.name, namespace: &self.resource.namespace, location: self.place(), state }
    }

    async fn list(&self, limit: u32, output: Output) -> u8 {
        let found = match states::list(&self.plan, &self.secrets, limit).await {
            Ok(found) => found,
            Err(failure) => {
                self.console.error(format_args!("{}: {failure}", self.resource.title()));
                return exit::FAILED;
            }
        };
        match output {
            Output::Json => found.iter().for_each(|state| self.console.json(&self.line(state))),
            Output::Text if found.is_empty() => {
                self.console.remark(format_args!("There is no state in {}.", self.place()))
            }
            Output::Text => {
                self.console.print(table(&HEAD.map(str::to_owned), &found.iter().map(row).collect::<Vec<_>>()));
                let more = if found.len() as u64 == u64::from(limit) { "; there may be more: --limit" } else { "" };
                self.console.remark(format_args!("{} in {}{more}", count(found.len() as u64, "state"), self.place()));
            }
        }
        exit::OK
    }

    async fn show(&self, key: &str, output: Output) -> u8 {
        match states::show(&self.plan, &self.secrets, key).await {
            Ok(Some(state)) => {
                match output {
                    Output::Json => self.console.json(&self.line(&state)),
                    Output::Text => {
                        self.console.print(details(&state, &self.place()));
                        self.console.remark(self.how_to_remove(key));
                    }
                }
                exit::OK
            }
            Ok(None) => {
                let sentence = "there is no state \"{key}\" in".replace("{key}", key);
                self.console.error(format_args!(
                    "{}: {sentence} {}; backflow state list shows what there is",
                    self.resource.title(),
                    self.place()
                ));
                exit::FAILED
            }
            Err(failure) => {
                self.console.error(format_args!("{}: {failure}", self.resource.title()));
                exit::FAILED
            }
        }
    }

    /// A state of a Mapping that is gone stays. Removing it is a run like any other, so that it is fenced and written down.
    fn how_to_remove(&self, key: &str) -> String {
        format!(
            "\nTo remove it, when its Mapping is gone (rows that it sent stay at the destination):\n  \
             kubectl create -f - <<'EOF'\n  \
             apiVersion: backflow.dev/v1alpha1\n  \
             kind: Sync\n  \
             metadata: {{generateName: forget-, namespace: {}}}\n  \
             spec: {{mode: Forget, forget: {{sourceRef: {{name: {}}}, stateKey: {key}}}}}\n  \
             EOF",
            self.resource.namespace, self.resource.name
        )
    }
}

const HEAD: [&str; 7] = ["KEY", "OWNER", "ROWS", "RUNS", "SIZE", "LAST COMMIT", "BY"];

fn row(state: &StateSummary) -> Vec<String> {
    let document = &state.document;
    vec![
        state.state_key.clone(),
        state.owner.clone(),
        document.rows.to_string(),
        document.runs.to_string(),
        size(state.bytes),
        document.committed_at.as_deref().map_or_else(|| "-".into(), seconds),
        document.sync_name.clone().unwrap_or_else(|| "-".into()),
    ]
}

fn details(state: &StateDetails, place: &str) -> String {
    let StateDetails { summary, last_run } = state;
    let document = &summary.document;
    let mut lines = vec![
        ("key", summary.state_key.clone()),
        ("location", place.to_owned()),
        ("owner", summary.owner.clone()),
        ("format", summary.format.to_string()),
        ("claims", summary.epoch.to_string()),
        ("runs", document.runs.to_string()),
        ("rows", document.rows.to_string()),
        ("size", size(summary.bytes)),
        ("primary key", document.primary_key.join(", ")),
        ("last commit", document.committed_at.as_deref().map_or_else(|| "-".into(), seconds)),
    ];
    if let Some(run) = last_run {
        let counters = &run.counters;
        let did = format!(
            "{}, {:?}: {} delivered, {} rejected",
            run.name,
            run.phase,
            counters.delivered(),
            counters.rejected
        );
        lines.push(("last run", did));
    }
    lines.extend(document.identity.iter().map(|(name, value)| ("bound to", format!("{name} = {value}"))));
    let lines = lines.into_iter().map(|(name, value)| format!("{name:<12} {value}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Whole seconds, as Kubernetes writes times.
fn seconds(time: &str) -> String {
    let whole = time.parse::<jiff::Timestamp>().and_then(|time| jiff::Timestamp::from_second(time.as_second()));
    whole.map_or_else(|_| time.to_owned(), |time| time.to_string())
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn count(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
