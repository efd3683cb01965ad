//! The shop: a Postgres of its own with 10,000 customers, and the program that plays the business tool.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::packages::postgres_bin;
use crate::process::{Daemon, require, run, run_fed, wait_until};
use crate::steps::say;

/// How long a server may take to come up.
const START: Duration = Duration::from_secs(60);
/// How long it may take to go down.
const STOP: Duration = Duration::from_secs(20);

/// A Postgres server that belongs to the demo.
pub(super) struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    host: String,
    port: u16,
}

impl Postgres {
    pub(super) fn new(host: &str, port: u16) -> Result<Self> {
        let bin = postgres_bin().context("Postgres is not installed")?;
        // Not in the cache: the user postgres may not enter root's home.
        let folder = std::env::temp_dir().join("backflow-demo");
        Ok(Self { bin, folder, host: host.to_owned(), port })
    }

    /// Stops a server that an earlier demo left, and starts a new one without any data.
    pub(super) fn start(&self) -> Result<()> {
        self.stop()?;
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        fs::create_dir_all(&self.folder)?;
        // Postgres refuses to run as root; Debian's package brings a user for it.
        run(Command::new("chown").args(["postgres:postgres"]).arg(&self.folder))?;
        let data = self.data();
        run(self
            .program("initdb")
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", "-U", "postgres", "-D"])
            .arg(&data))?;
        let key = data.join("server.key");
        run(self
            .as_postgres("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=postgres", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(data.join("server.crt")))?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        let settings = format!(
            "listen_addresses = '{}'\nport = {}\nunix_socket_directories = '{}'\nssl = on\nfsync = off\n",
            self.host,
            self.port,
            self.folder.display()
        );
        File::options().append(true).open(data.join("postgresql.conf"))?.write_all(settings.as_bytes())?;
        File::options().append(true).open(data.join("pg_hba.conf"))?.write_all(b"host all all all scram-sha-256\n")?;
        let log = self.folder.join("log");
        run(self.program("pg_ctl").args(["-w", "-s", "start", "-D"]).arg(&data).arg("-l").arg(log))?;
        Ok(())
    }

    pub(super) fn stop(&self) -> Result<()> {
        if self.data().join("postmaster.pid").exists() {
            run(self.program("pg_ctl").args(["-w", "-s", "-m", "immediate", "stop", "-D"]).arg(self.data())).ok();
        }
        Ok(())
    }

    /// Runs SQL in the database "shop".
    pub(super) fn sql(&self, sql: &str) -> Result<()> {
        let mut psql = self.program("psql");
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "shop", "-h"]).arg(&self.folder);
        run_fed(psql.args(["-p", &self.port.to_string(), "-f", "-"]), sql)?;
        Ok(())
    }

    pub(super) fn create_database(&self) -> Result<()> {
        let mut createdb = self.program("createdb");
        run(createdb.args(["-U", "postgres", "-h"]).arg(&self.folder).args(["-p", &self.port.to_string(), "shop"]))?;
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn program(&self, name: &str) -> Command {
        self.as_postgres(self.bin.join(name))
    }

    fn as_postgres(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
        command
    }
}

/// The program that plays the business tool.
pub(super) struct Receiver {
    folder: PathBuf,
    address: String,
}

impl Receiver {
    pub(super) fn new(folder: &Path, address: &str) -> Self {
        Self { folder: folder.to_owned(), address: address.to_owned() }
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("receiver.pid")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("receiver.log")
    }

    /// Starts it anew, with an empty ledger.
    pub(super) fn start(&self, program: &Path, arguments: &[String]) -> Result<()> {
        self.stop();
        fs::create_dir_all(&self.folder)?;
        fs::write(self.log(), "")?;
        let mut all = vec!["--listen".to_owned(), self.address.clone()];
        all.extend_from_slice(arguments);
        if TcpStream::connect(&self.address).is_ok() {
            bail!("another program listens on {}: stop it, the sample manifests send there", self.address);
        }
        Daemon::start(program, &all, &self.folder, &self.log(), &self.pid_file())?;
        if !wait_until(START, || TcpStream::connect(&self.address).is_ok()) {
            bail!("the receiver does not answer at {}; see {}", self.address, self.log().display());
        }
        Ok(())
    }

    pub(super) fn stop(&self) {
        if let Some(daemon) = Daemon::running(&self.pid_file()) {
            daemon.stop(STOP);
        }
    }

    /// Tells what it took since the last time. Batches travel side by side, so what is said is their sum.
    pub(super) fn tell(&self, since: &mut usize) -> Result<()> {
        let mut sums: Vec<(String, u64, u32)> = Vec::new();
        for line in self.said(since)? {
            // batch 3: 1000 upsert, taken, answered 200
            let Some((_, batch)) = line.split_once(": ") else { continue };
            let Some((count, what)) = batch.split_once(' ') else { continue };
            let count: u64 = count.parse().with_context(|| format!("the receiver said: {line}"))?;
            match sums.iter_mut().find(|(known, ..)| known == what) {
                Some((_, records, batches)) => {
                    *records += count;
                    *batches += 1;
                }
                None => sums.push((what.to_owned(), count, 1)),
            }
        }
        say("\nThe receiver says:");
        for (what, records, batches) in sums {
            say(&format!("  {records} {what}, in {batches} {}", if batches == 1 { "batch" } else { "batches" }));
        }
        Ok(())
    }

    /// What it said since the last time: one line for each batch.
    pub(super) fn said(&self, since: &mut usize) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.log())?;
        let lines = text.lines().skip(*since).map(str::to_owned).collect::<Vec<_>>();
        *since += lines.len();
        Ok(lines)
    }
}

/// Makes a SQLite file from a file of SQL, or changes it.
pub(super) fn sqlite(database: &Path, sql: &Path) -> Result<()> {
    let text = fs::read_to_string(sql).with_context(|| sql.display().to_string())?;
    run_fed(Command::new(require("sqlite3")?).arg("-bail").arg(database), &text)?;
    Ok(())
}
