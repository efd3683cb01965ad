//! Others that do the same work, or a part of it, in the versions that `bench/peers` pins.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use backflow_tests::postgres::PostgresServer;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::data::ROLE;
use crate::measure::{Cost, Meter};
use crate::report::rounded;
use crate::taken::{Taken, compare};

/// Everything that a competitor is, packed into this program.
const FILES: [(&str, &str); 8] = [
    ("plain.py", include_str!("../peers/plain.py")),
    ("dlt_pipeline.py", include_str!("../peers/dlt_pipeline.py")),
    ("python.txt", include_str!("../peers/python.txt")),
    ("dbt.txt", include_str!("../peers/dbt.txt")),
    ("snapshot.sql", include_str!("../peers/snapshot.sql")),
    ("mapping.js", include_str!("../peers/mapping.js")),
    ("package.json", include_str!("../peers/package.json")),
    ("package-lock.json", include_str!("../peers/package-lock.json")),
];

/// Installed competitors.
pub struct Peers {
    folder: PathBuf,
}

/// What a script says at its end.
#[derive(Deserialize)]
struct Said {
    rss_mib: f64,
}

impl Peers {
    /// Installs them into a folder, once for each state of their files.
    ///
    /// # Errors
    /// A registry does not have them, or Python, its `venv` module or npm is missing.
    pub fn install(cache: &Path) -> anyhow::Result<Self> {
        let all: String = FILES.iter().map(|(_, text)| *text).collect();
        let folder = cache.join(format!("peers-{:016x}", xxhash_rust::xxh3::xxh3_64(all.as_bytes())));
        let peers = Self { folder };
        if peers.folder.join("installed").exists() {
            return Ok(peers);
        }
        std::fs::create_dir_all(&peers.folder)?;
        for (name, text) in FILES {
            std::fs::write(peers.folder.join(name), text)?;
        }
        for (name, list) in [("python", "python.txt"), ("dbt", "dbt.txt")] {
            peers.run(Command::new("python3").args(["-m", "venv", "--clear", name]))?;
            let pip = peers.folder.join(name).join("bin/pip");
            peers.run(Command::new(pip).args(["install", "--quiet", "--no-deps", "--requirement", list]))?;
        }
        peers.run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]))?;
        std::fs::write(peers.folder.join("installed"), "")?;
        Ok(peers)
    }

    fn run(&self, command: &mut Command) -> anyhow::Result<String> {
        let output = command.current_dir(&self.folder).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{} is not installed", command.get_program().display()))?;
        ensure!(
            output.status.success(),
            "{} failed: {}",
            command.get_program().display(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Measures a Python script that sends to the receiver, with the same exact check.
    ///
    /// # Errors
    /// It does not start, or fails.
    pub async fn python(
        &self,
        meter: &Meter<'_>,
        database: &str,
        arguments: &[&str],
        expected: &[Taken],
    ) -> anyhow::Result<Measured> {
        let output = self.folder.join("said");
        let log = self.folder.join("log");
        let start = || {
            let mut command = Command::new(self.folder.join("python/bin/python"));
            command.args(arguments).current_dir(&self.folder).env("PEER_POSTGRES", url(meter.server, database)?);
            command.stdin(Stdio::null()).stdout(std::fs::File::create(&output)?).stderr(std::fs::File::create(&log)?);
            command.spawn().context("it does not start")
        };
        let (ended, cost) = meter.run(start).await?;
        ensure!(ended.status.success(), "{arguments:?} failed: {}", std::fs::read_to_string(&log)?);
        let said = std::fs::read_to_string(&output)?;
        let Said { rss_mib } = serde_json::from_str(said.lines().last().unwrap_or_default())?;
        let difference = compare(expected, &meter.receiver.taken().await?);
        Ok(Measured { cost: Cost { rss_mib, ..cost }, wrong: (!difference.exact()).then(|| difference.to_string()) })
    }

    /// Segment's mapping: seconds of each repetition, and the first records as JSON.
    ///
    /// # Errors
    /// Node is missing or the script fails.
    pub fn segment(&self, rows: &str, count: u64, repetitions: usize) -> anyhow::Result<(Vec<f64>, Vec<String>)> {
        #[derive(Deserialize)]
        struct Mapped {
            seconds: Vec<f64>,
            first: Vec<String>,
        }
        let file = self.folder.join("rows.jsonl");
        std::fs::write(&file, rows)?;
        let mut node = Command::new("node");
        node.arg("mapping.js").arg(&file).args([count.to_string(), repetitions.to_string()]);
        let Mapped { seconds, first } = serde_json::from_str(&self.run(&mut node)?)?;
        Ok((seconds, first))
    }

    /// A dbt project whose snapshot follows the bench's table.
    ///
    /// # Errors
    /// Of the disk.
    pub fn dbt(&self, server: &PostgresServer, database: &str) -> anyhow::Result<Dbt<'_>> {
        let project = self.folder.join("dbt-project");
        std::fs::create_dir_all(project.join("snapshots"))?;
        std::fs::copy(self.folder.join("snapshot.sql"), project.join("snapshots/customers.sql"))?;
        let config = json!({"name": "bench", "version": "1.0", "profile": "bench", "snapshot-paths": ["snapshots"]});
        std::fs::write(project.join("dbt_project.yml"), config.to_string())?;
        let output = json!({
            "type": "postgres", "host": "127.0.0.1", "port": server.port(), "dbname": database, "user": ROLE,
            "password": "{{ env_var('PEER_PASSWORD') }}", "schema": "public", "threads": 4,
        });
        let profiles = json!({"bench": {"target": "bench", "outputs": {"bench": output}}});
        std::fs::write(project.join("profiles.yml"), profiles.to_string())?;
        let password = server.password(ROLE).context("the role has no password")?;
        Ok(Dbt { peers: self, project, password })
    }
}

/// A peer's run.
pub struct Measured {
    /// What it cost.
    pub cost: Cost,
    /// What did not arrive as it should.
    pub wrong: Option<String>,
}

impl Measured {
    /// As a part of a line.
    #[must_use]
    pub fn json(&self) -> Value {
        let Cost { wall_s, cpu_s, rss_mib, requests, .. } = &self.cost;
        json!({
            "s": rounded(*wall_s), "cpu_s": rounded(*cpu_s), "rss_mib": rounded(*rss_mib), "requests": requests,
            "wrong": self.wrong,
        })
    }
}

/// A dbt project.
pub struct Dbt<'a> {
    peers: &'a Peers,
    project: PathBuf,
    password: String,
}

impl Dbt<'_> {
    /// Takes a snapshot; returns its seconds, the start of Python included.
    ///
    /// # Errors
    /// dbt fails.
    pub fn snapshot(&self) -> anyhow::Result<f64> {
        let mut dbt = Command::new(self.peers.folder.join("dbt/bin/dbt"));
        dbt.args(["--no-send-anonymous-usage-stats", "--quiet", "snapshot", "--project-dir"]).arg(&self.project);
        dbt.arg("--profiles-dir").arg(&self.project).env("PEER_PASSWORD", &self.password);
        let since = Instant::now();
        self.peers.run(&mut dbt)?;
        Ok(since.elapsed().as_secs_f64())
    }
}

fn url(server: &PostgresServer, database: &str) -> anyhow::Result<String> {
    let password = server.password(ROLE).context("the role has no password")?;
    Ok(format!("postgresql://{ROLE}:{password}@127.0.0.1:{}/{database}", server.port()))
}
