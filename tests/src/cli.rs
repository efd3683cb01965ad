//! The command `backflow` on a folder of its own: a SQLite shop, a receiver, and manifests.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use anyhow::Context as _;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::program::program;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A folder with manifests.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    /// An empty folder.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn empty() -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("backflow-cli-").tempdir()? })
    }

    /// A shop of `rows` customers in `shop.db`, a Source, a Model, a Destination at `url` and a Mapping `crm` that mirrors all columns.
    ///
    /// # Errors
    /// Files or database cannot be written.
    pub async fn shop(rows: u32, url: &str) -> anyhow::Result<Self> {
        let desk = Self::empty()?;
        desk.sql(&format!(
            "create table customers (id integer primary key, name text, plan text);
             with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
             insert into customers select i, 'customer ' || i, 'free' from n;"
        ))
        .await?;
        desk.write("source.yaml", &manifest("Source", "shop", "{sqlite: {path: shop.db}}"))?;
        let model = "{sourceRef: {name: shop}, sql: 'select id, name, plan from customers', primaryKey: [id]}";
        desk.write("model.yaml", &manifest("Model", "customers", model))?;
        let destination = format!("{{type: webhook, settings: {{url: '{url}'}}}}");
        desk.write("destination.yaml", &manifest("Destination", "receiver", &destination))?;
        desk.write("mapping.yaml", &manifest("Mapping", "crm", &mapping("")))?;
        Ok(desk)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.path().join(name), text)?)
    }

    /// Runs SQL on `shop.db`.
    ///
    /// # Errors
    /// The database refuses it.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<()> {
        let options = SqliteConnectOptions::new().filename(self.path().join("shop.db")).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Runs `backflow` in the folder until it ends.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn backflow(&self, arguments: &[&str]) -> anyhow::Result<Said> {
        let output = self.command(arguments)?.output().await?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// Starts `backflow` in the folder. It is killed when the child is dropped.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, arguments: &[&str]) -> anyhow::Result<Child> {
        Ok(self.command(arguments)?.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// The command, with a temporary folder of its own, so that what it leaves there can be seen.
    ///
    /// # Errors
    /// The program does not compile.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| program("backflow-cli", "backflow").map_err(|error| format!("{error:#}")));
        let program = program.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        std::fs::create_dir_all(self.temporary()).context("the temporary folder")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path()).env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command.kill_on_drop(true);
        Ok(command)
    }

    /// What the command takes for the system's temporary folder.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.path().join("temporary")
    }
}

/// A manifest of one resource.
#[must_use]
pub fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: backflow.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// The spec of a Mapping that mirrors all columns of `customers` to `receiver`; `more` are further members, each with a comma before it.
#[must_use]
pub fn mapping(more: &str) -> String {
    format!(
        "{{modelRef: {{name: customers}}, destinationRef: {{name: receiver}}, action: send, syncMode: Mirror, \
         include: {{columns: ['*']}}, schedule: {{manual: {{}}}}{more}}}"
    )
}
