//! Backflow's worker, started as a pod starts it: the program, a plan in a file, Secrets in a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use backflow_core::codec;
use backflow_core::plan::{Include, Mode, ModelPlan, ModelQuery, PLAN_VERSION, Plan, SyncPlan, Task};
use backflow_core::result::RunResult;
use backflow_tests::postgres::PostgresServer;
use backflow_tests::webhook::Webhook;
use backflow_tests::worker::IMAGE_VARIABLE;
use tempfile::TempDir;

use crate::data::{ROLE, TABLE};
use crate::place::{Place, Stores};

/// Room for everything that a run may put to scratch.
const SCRATCH: u64 = 20 << 30;

/// One Mapping, run by run.
pub struct Ours {
    program: PathBuf,
    folder: TempDir,
    /// What the next run is given.
    pub sync: SyncPlan,
    runs: u64,
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its result, as the controller reads it.
    pub result: RunResult,
    /// The most memory that was resident, in MiB; unknown if it was killed.
    pub rss_mib: f64,
}

impl Ours {
    /// A Mirror of all columns of the bench's table.
    ///
    /// # Errors
    /// Of the disk.
    pub fn new(
        program: &Path,
        server: &PostgresServer,
        database: &str,
        url: &str,
        state_key: &str,
    ) -> anyhow::Result<Self> {
        let Webhook { destination, mut mapping, .. } = Webhook::new(url);
        mapping.state_key = state_key.to_owned();
        mapping.include = Some(Include { columns: vec!["*".into()], except: Vec::new(), into: None });
        mapping.fingerprint = "bench".into();
        mapping.identity = BTreeMap::from([("destination.settings.url".to_owned(), url.to_owned())]);
        mapping.scratch_bytes = SCRATCH;
        let folder = tempfile::Builder::new().prefix("backflow-bench-").tempdir()?;
        std::fs::create_dir(folder.path().join("scratch"))?;
        let secrets = folder.path().join("secrets").join(ROLE);
        std::fs::create_dir_all(&secrets)?;
        std::fs::write(secrets.join("password"), server.password(ROLE).context("the role has no password")?)?;
        let sync = SyncPlan {
            mode: Mode::Incremental,
            source: server.source(ROLE, database),
            model: ModelPlan {
                name: TABLE.into(),
                query: ModelQuery::Table(TABLE.into()),
                primary_key: vec!["id".into()],
            },
            mapping,
            destination,
            options: backflow_core::plan::RunOptions::default(),
        };
        Ok(Self { program: program.to_owned(), folder, sync, runs: 0 })
    }

    /// From now on with this engine, and with the state there.
    ///
    /// # Errors
    /// Of the disk.
    pub fn place(&mut self, stores: &Stores, place: Place) -> anyhow::Result<()> {
        let secrets = self.file("secrets");
        stores.put(place, &mut self.sync.source, &secrets)
    }

    /// The next run's name.
    pub fn next_run(&mut self) -> String {
        self.runs += 1;
        format!("run-{}", self.runs)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command of a run; `failpoint`: where it dies.
    ///
    /// # Errors
    /// Of the disk, or if the plan is too large.
    pub fn command(&self, run: &str, failpoint: Option<&str>) -> anyhow::Result<Command> {
        let plan = Plan {
            version: PLAN_VERSION,
            run: run.to_owned(),
            namespace: "bench".into(),
            token: "bench".into(),
            owner: "bench".into(),
            deadline_seconds: None,
            task: Task::Sync(Box::new(self.sync.clone())),
        };
        std::fs::write(self.file("plan"), codec::encode(&plan)?)?;
        let mut command = Command::new(&self.program);
        command.arg("backflow-worker");
        for (flag, file) in
            [("--plan", "plan"), ("--secrets", "secrets"), ("--scratch", "scratch"), ("--result", "result")]
        {
            command.arg(flag).arg(self.file(file));
        }
        command.args(["--listen", "127.0.0.1:0"]).env_remove("BACKFLOW_LOG").env_remove("BACKFLOW_FAILPOINT");
        command.env(IMAGE_VARIABLE.0, IMAGE_VARIABLE.1);
        if let Some(failpoint) = failpoint {
            command.env("BACKFLOW_FAILPOINT", failpoint);
        }
        Ok(command)
    }

    /// Starts a run.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self, run: &str, failpoint: Option<&str>) -> anyhow::Result<Child> {
        let mut command = self.command(run, failpoint)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(self.log()?);
        command.spawn().with_context(|| format!("{} does not start", self.program.display()))
    }

    /// The file that a run logs into, empty.
    ///
    /// # Errors
    /// Of the disk.
    pub fn log(&self) -> anyhow::Result<std::fs::File> {
        let _ = std::fs::remove_file(self.file("result"));
        Ok(std::fs::File::create(self.file("log"))?)
    }

    /// What a run said, after its end.
    ///
    /// # Errors
    /// It said nothing.
    pub fn said(&self, run: &str) -> anyhow::Result<Said> {
        let log = std::fs::read_to_string(self.file("log"))?;
        let message = std::fs::read_to_string(self.file("result")).unwrap_or_default();
        let result = RunResult::from_message(&message, run).with_context(|| format!("{run} has no result:\n{log}"))?;
        let field = log.split("\"peak_memory_kib\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let kib: f64 = field.and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok(Said { result, rss_mib: kib / 1024.0 })
    }
}
