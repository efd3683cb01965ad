//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use url::Url;

use crate::authorize;
use crate::manifests::Resource;

/// Sends warehouse data to business tools.
#[derive(Debug, Parser)]
#[command(
    name = "backflow",
    version,
    about = "Sends the changed rows of a warehouse to business tools: from manifests, without a cluster",
    long_about = "Sends the changed rows of a warehouse to business tools.\n\n\
        The manifests (Source, Model, Destination, Mapping) are those of a cluster. This command runs them once on this machine, with \
        the same code as a cluster does, finds what is wrong with them, and shows what they would read.",
    after_help = "Examples:\n  \
        backflow validate -f manifests/                  what is wrong, by file and line\n  \
        backflow test -f manifests/                      do the connections work?\n  \
        backflow preview -f manifests/ --model customers the first rows of a Model\n  \
        backflow run -f manifests/                       send what changed since the last run\n\n\
        Exit codes: 0 all is well, 1 something failed, 2 something was left (rejected, withheld), 64 wrong usage or manifests, \
        130 interrupted.\n\
        Installed as kubectl-backflow, it is also `kubectl backflow`."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const RUN: &str = "Runs the Mappings of a folder of manifests once, whatever their schedules say: a Mapping that follows another one \
        (schedule.after) comes after it, else the order is that of the files. What was acknowledged is remembered in the warehouse \
        itself, in the Source's state schema, so the next run sends only what changed.\n\n\
        Suspended Mappings are left out unless --mapping names them. Ctrl-C ends the run after the batch in flight, with all that was \
        acknowledged kept; a second Ctrl-C ends it at once, and the next run sends the last batches again.\n\n\
        Secrets are taken from --secret, else from the environment variable BACKFLOW_SECRET_<NAME>_<KEY> (upper case, anything but \
        letters and digits as _), else from Secret manifests beside the others.";
const VALIDATE: &str = "Finds everything that is wrong with manifests: YAML, fields, types and rules of the API, settings of the destination, \
        schedules, names, references. Nothing is contacted and nothing is sent.\n\n\
        What may exist in the cluster (a Source, a Secret that is not in the folder) is a warning.";
const PREVIEW: &str = "Reads the first rows of a Model and prints them. Nothing is sent and nothing is remembered.";
const TEST: &str = "Without --key: connects to each Source and Destination, reads the columns of each Model, and checks the fields of each \
        Mapping against them. No row is read and none is sent.\n\n\
        With --key: takes the row with this primary key and really sends it, once. Request and answer are printed, nothing is \
        remembered.";

const AUTHORIZE: &str = "Asks a person to agree that your own application at a vendor acts for them, and prints the Secret that the Destination needs.\n\n\
        The vendor's page opens in a browser; its answer comes to this machine and is exchanged for a refresh token. Standard output has the \
        manifest and nothing else: pipe it into kubectl apply -f -.\n\n\
        The Destination says the rest: its type, auth and clientId, and under spec.secrets the names and keys of the Secret. The \
        application's own secret is given as for a run (--secret, environment, or a Secret manifest).";

const DISCOVER: &str = "Asks the account of a Destination what it offers for a setting, config or field: its lists, object types, audiences. Without LIST, \
        says which lists there are and what takes their values, and contacts nothing. Nothing is sent and nothing is remembered.";

const STATE: &str = "Shows what is remembered of each Mapping: whose it is, how many rows, and when it last moved. It lives where the Source's \
        spec.state says, and outlives Mappings and clusters.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run Mappings once: find what changed, send it, remember what arrived
    #[command(long_about = RUN)]
    Run(RunArgs),
    /// Find everything that is wrong with manifests, by file and line
    #[command(long_about = VALIDATE)]
    Validate(ValidateArgs),
    /// Show the first rows of a Model
    #[command(long_about = PREVIEW)]
    Preview(PreviewArgs),
    /// Try connections and queries, or really send one record
    #[command(long_about = TEST)]
    Test(TestArgs),
    /// Ask a person's consent for a Destination, and print the Secret with its refresh token
    #[command(long_about = AUTHORIZE)]
    Authorize(AuthorizeArgs),
    /// Show what an account offers for a setting or a field
    #[command(long_about = DISCOVER)]
    Discover(DiscoverArgs),
    /// Show what is remembered: of which Mappings, since when, how much
    #[command(long_about = STATE)]
    State {
        /// What to show.
        #[command(subcommand)]
        command: StateCommand,
    },
    /// Print the completion script of a shell
    #[command(after_help = "Example:\n  backflow completions bash > /etc/bash_completion.d/backflow")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where manifests are.
#[derive(Debug, Args)]
pub(crate) struct Input {
    /// A manifest, a folder of manifests, or - for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "DIR|FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Look into the folders below, too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// The namespace of manifests that name none; it is part of the name of a Mapping's state
    #[arg(short = 'n', long, default_value = "default")]
    pub namespace: String,
}

impl RunArgs {
    /// What kind of run it is.
    #[must_use]
    pub(crate) fn mode(&self) -> Mode {
        if self.dry_run { Mode::DryRun } else { self.mode }
    }

    /// What is wrong with --key and --sync.
    #[must_use]
    pub(crate) fn misfit(&self) -> Option<&'static str> {
        match (self.mode(), self.keys.len(), &self.sync) {
            (Mode::Test, 1, None) | (Mode::Replay, 1.., None) | (Mode::Replay, 0, Some(_)) => None,
            (Mode::Test, ..) => Some("--mode Test sends one record; say which with one --key"),
            (Mode::Replay, ..) => Some("--mode Replay needs --sync RUN, or a --key for each row"),
            (_, 0, None) => None,
            _ => Some("--key is for --mode Test and Replay, --sync for --mode Replay; add that, or leave it out"),
        }
    }
}

impl Input {
    /// The namespace that a manifest beside this resource must name: none where `kubectl` puts both into its own.
    #[must_use]
    pub(crate) fn namespace_of<'r>(&self, resource: &'r Resource) -> Option<&'r str> {
        let said = resource.node.get("metadata").is_some_and(|metadata| metadata.get("namespace").is_some());
        (said || self.namespace != "default").then_some(resource.namespace.as_str())
    }

    /// Findings are printed in the order in which the files were named.
    #[must_use]
    pub(crate) fn rank(&self, file: &str) -> usize {
        let named = |given: &PathBuf| PathBuf::from(file).starts_with(given.strip_prefix(".").unwrap_or(given));
        self.files.iter().position(named).unwrap_or_default()
    }
}

/// Where secret values are.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// A secret value. @FILE reads it from a file: values on the command line are seen by other users of this machine (ps) and kept
    /// by the shell's history
    #[arg(long = "secret", value_name = "NAME/KEY=VALUE|@FILE")]
    pub secrets: Vec<String>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What kind of run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum Mode {
    /// What changed since the last run
    Incremental,
    /// Every current row again
    Full,
    /// Forget what was sent, then as a first run
    Reset,
    /// Chosen rows again: those of --sync, or those with a --key
    Replay,
    /// Everything but sending: what a run would do now
    DryRun,
    /// One record, really sent; nothing is remembered
    Test,
}

/// `backflow run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        backflow run -f manifests/\n  \
        backflow run -f manifests/ --mapping customers-to-crm --secret crm/token=@token.txt\n  \
        backflow run -f manifests/ --approve-deletes 1500    send deletions that were withheld, if there are no more\n  \
        backflow run -f manifests/ --mode Full               send every row again\n  \
        backflow run -f manifests/ --dry-run                 say what would be sent\n  \
        backflow run -f manifests/ -o json | jq .extracted   one JSON object per run, with the fields of a Sync's status\n\n\
        Exit codes: 0 every run succeeded, 2 some only partially, 1 one failed, 64 wrong usage or manifests, 130 interrupted.")]
pub(crate) struct RunArgs {
    /// Where manifests are.
    #[command(flatten)]
    pub input: Input,
    /// Run this Mapping only, also if it is suspended; may be given several times
    #[arg(long = "mapping", value_name = "NAME")]
    pub mappings: Vec<String>,
    /// What kind of run it is
    #[arg(long, value_enum, ignore_case = true, default_value = "Incremental")]
    pub mode: Mode,
    /// Say what a run would send, and send nothing: --mode DryRun
    #[arg(long, conflicts_with = "mode")]
    pub dry_run: bool,
    /// With --mode Test: the primary key of the row to send; with --mode Replay: of a row to send again, and may be given several times.
    /// Of several columns a JSON array, ["eu", 42]
    #[arg(long = "key", value_name = "KEY", required_if_eq("mode", "Test"))]
    pub keys: Vec<String>,
    /// With --mode Replay: the run whose rows are sent again; -o json prints the names of runs
    #[arg(long, value_name = "RUN", conflicts_with = "keys")]
    pub sync: Option<String>,
    /// Send deletions that the guard withholds, if there are no more than N
    #[arg(long, value_name = "N")]
    pub approve_deletes: Option<u32>,
    /// Send again what was rejected before, though nothing changed
    #[arg(long)]
    pub retry_rejected: bool,
    /// Take over state of another cluster, account or warehouse
    #[arg(long)]
    pub adopt_state: bool,
    /// Needed with --mode Reset of a Mirror: what it sent before is no longer deleted
    #[arg(long)]
    pub confirm: bool,
    /// Secret values.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// text, or json: one object per run on one line
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `backflow validate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        backflow validate -f manifests/\n  \
        helm template my-chart | backflow validate -f -\n  \
        backflow validate -f manifests/ -o json | jq '.findings[].message'\n\n\
        Exit codes: 0 no errors (warnings are allowed), 64 errors.")]
pub(crate) struct ValidateArgs {
    /// Where manifests are.
    #[command(flatten)]
    pub input: Input,
    /// text: a line per finding; json: one object with all of them
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `backflow preview`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        backflow preview -f manifests/ --model customers\n  \
        backflow preview -f manifests/ --model customers --limit 100 -o json    one JSON object per row\n\n\
        Exit codes: 0 the rows are printed, 1 the Model cannot be read, 64 wrong usage or manifests.")]
pub(crate) struct PreviewArgs {
    /// Where manifests are.
    #[command(flatten)]
    pub input: Input,
    /// The Model; may be left out if there is only one
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// How many rows, at most
    #[arg(long, value_name = "ROWS", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Secret values.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// text: a table; json: one object per row
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `backflow test`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        backflow test -f manifests/\n  \
        backflow test -f manifests/ --source warehouse\n  \
        backflow test -f manifests/ --mapping customers-to-crm --key 42\n\n\
        Exit codes: 0 all is well, 1 something failed, 2 the record was rejected, 64 wrong usage or manifests.")]
pub(crate) struct TestArgs {
    /// Where manifests are.
    #[command(flatten)]
    pub input: Input,
    /// Test this Source
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    pub source: Option<String>,
    /// Test this Destination
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    pub destination: Option<String>,
    /// Test this Mapping and all that it needs
    #[arg(long, value_name = "NAME")]
    pub mapping: Option<String>,
    /// Send the row with this primary key; of several columns a JSON array, ["eu", 42]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Secret values.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// text, or json: one object per line
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `backflow authorize`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        backflow authorize -f destination.yaml --secret crm/clientSecret=@secret.txt | kubectl apply -f -\n  \
        backflow authorize -f manifests/ --destination crm --redirect-url http://localhost:8123/callback\n  \
        backflow authorize -f destination.yaml --no-browser    on a machine without a desktop: open the address elsewhere,\n                                                         \
        with ssh -L 8123:localhost:8123 and --redirect-url\n\n\
        Exit codes: 0 the manifest is printed, 1 there was no consent, 64 wrong usage or manifests.")]
pub(crate) struct AuthorizeArgs {
    /// Where manifests are.
    #[command(flatten)]
    pub input: Input,
    /// The Destination; may be left out if there is only one
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Where the vendor's answer comes to, on this machine; many vendors want to know the exact address. Port 0 is any free one
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:0/callback", value_parser = authorize::redirect_url)]
    pub redirect_url: Url,
    /// Print the address, and open no browser
    #[arg(long)]
    pub no_browser: bool,
    /// How long the answer is waited for
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = authorize::patience)]
    pub timeout: Duration,
    /// Secret values.
    #[command(flatten)]
    pub secrets: SecretArgs,
}

/// `backflow discover`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
        backflow discover -f manifests/ --destination crm\n  \
        backflow discover -f manifests/ --destination crm customObjects\n  \
        backflow discover -f manifests/ lists -o json | jq -r .value\n\n\
        Exit codes: 0 they are shown, 1 the account cannot be asked, 64 wrong usage or manifests.")]
pub(crate) struct DiscoverArgs {
    /// Where manifests are.
    #[command(flatten)]
    pub input: Input,
    /// The Destination; may be left out if there is only one
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// The list of choices; without it, the lists that there are
    #[arg(value_name = "LIST")]
    pub list: Option<String>,
    /// Secret values.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// text, or json: one object per line
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}

/// `backflow state`.
#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// All states of the Sources, a line for each
    #[command(after_help = "Examples:\n  \
        backflow state list -f manifests/\n  \
        backflow state list -f manifests/ -o json | jq -r .stateKey\n\n\
        Exit codes: 0 they are listed, 1 a Source or its state cannot be read, 64 wrong usage or manifests.")]
    List {
        /// Where to look.
        #[command(flatten)]
        input: StateInput,
        /// How many of each Source, at most
        #[arg(long, value_name = "STATES", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One state: what it is bound to, its last run, and how to remove it
    #[command(after_help = "Example:\n  \
        backflow state show -f manifests/ default/customers-to-crm\n\n\
        Exit codes: 0 it is shown, 1 there is none of this key or it cannot be read, 64 wrong usage or manifests.")]
    Show {
        /// Where to look.
        #[command(flatten)]
        input: StateInput,
        /// Its key: namespace/name of the Mapping, or its stateKey
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// Where `backflow state` looks.
#[derive(Debug, Args)]
pub(crate) struct StateInput {
    /// Where manifests are.
    #[command(flatten)]
    pub input: Input,
    /// Look at this Source only; may be given several times
    #[arg(long = "source", value_name = "NAME")]
    pub sources: Vec<String>,
    /// Secret values.
    #[command(flatten)]
    pub secrets: SecretArgs,
    /// text, or json: one object per state on one line
    #[arg(short = 'o', long, value_enum, default_value = "text")]
    pub output: Output,
}
