//! The engines and the places of state: every one of them must survive the same chaos.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use backflow_core::plan::{DiffEngine, DirectoryState, SourcePlan, StateLocation, StateStorePlan};
use backflow_tests::s3::S3Server;
use backflow_tests::worker::{FAILPOINTS, PUSHDOWN_FAILPOINTS};
use serde_json::Value;
use tempfile::TempDir;

/// Where state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// A schema of the warehouse.
    Schema,
    /// A bucket that speaks S3.
    Bucket,
    /// A folder.
    Directory,
}

/// Who finds the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// The worker.
    Streaming,
    /// The warehouse.
    Pushdown,
}

/// One engine with one place of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who finds the changes.
    pub engine: Engine,
    /// Where state lives.
    pub store: Store,
}

/// All that go together: Pushdown has its state in the warehouse.
pub const PLACES: [Place; 4] = [
    Place { engine: Engine::Streaming, store: Store::Schema },
    Place { engine: Engine::Streaming, store: Store::Bucket },
    Place { engine: Engine::Streaming, store: Store::Directory },
    Place { engine: Engine::Pushdown, store: Store::Schema },
];

impl Place {
    /// As a line of the report says it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{:?}, state in a {:?}", self.engine, self.store).to_lowercase()
    }

    /// The same in names of tables and files.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{:?}-{:?}", self.engine, self.store).to_lowercase()
    }

    /// The engine, as a Source says it.
    #[must_use]
    pub const fn diff(&self) -> DiffEngine {
        match self.engine {
            Engine::Streaming => DiffEngine::Streaming,
            Engine::Pushdown => DiffEngine::Pushdown,
        }
    }

    /// Where a run can be made to die.
    #[must_use]
    pub const fn failpoints(&self) -> &'static [&'static str] {
        match self.engine {
            Engine::Streaming => &FAILPOINTS,
            Engine::Pushdown => &PUSHDOWN_FAILPOINTS,
        }
    }
}

/// The places outside of the warehouse, gone with this.
pub struct Stores {
    bucket: S3Server,
    folder: TempDir,
}

impl Stores {
    /// Starts the server and makes the folder.
    ///
    /// # Errors
    /// No port, no folder.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("backflow-bench-state-").tempdir()?;
        Ok(Self { bucket: S3Server::start().await?, folder })
    }

    /// Puts a Source's state into a place, with its Secret into the folder of Secrets.
    ///
    /// # Errors
    /// Of the disk.
    pub fn put(&self, place: Place, source: &mut SourcePlan, secrets: &Path) -> anyhow::Result<()> {
        source.diff = place.diff();
        match place.store {
            Store::Schema => {}
            Store::Bucket => {
                source.state = self.bucket.state("bench");
                let (name, values) = self.bucket.secret();
                let folder = secrets.join(name);
                std::fs::create_dir_all(&folder)?;
                for (key, value) in values {
                    std::fs::write(folder.join(key), value)?;
                }
            }
            Store::Directory => {
                let path = self.folder.path().to_string_lossy().into_owned();
                source.state = StateLocation::Store(StateStorePlan::Directory(DirectoryState { path, claim: None }));
            }
        }
        Ok(())
    }

    /// Keys (JSON) that a state outside of the warehouse lists as rejected with this code; `None`: SQL says it.
    ///
    /// # Errors
    /// Of the disk; a list that is none.
    pub fn rejects(&self, place: Place, state_key: &str, code: &str) -> anyhow::Result<Option<Vec<String>>> {
        let root = match place.store {
            Store::Schema => return Ok(None),
            Store::Bucket => self.bucket.objects().join("bench"),
            Store::Directory => self.folder.path().to_owned(),
        };
        let mut files = Vec::new();
        for file in std::fs::read_dir(root.join(state_key.replace('/', "_")).join("rejects"))? {
            files.push(file?.path());
        }
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        let mut named = BTreeMap::new();
        for file in files {
            for line in std::fs::read_to_string(&file)?.lines() {
                let line: Value = serde_json::from_str(line)?;
                let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
                match (text("key"), text("removed")) {
                    (Some(key), _) => drop(named.insert(key, text("code"))),
                    (None, Some(key)) => drop(named.remove(&key)),
                    (None, None) => bail!("{}: a line is neither a reject nor its end", file.display()),
                }
            }
        }
        Ok(Some(named.into_iter().filter(|(_, said)| said.as_deref() == Some(code)).map(|(key, _)| key).collect()))
    }
}
