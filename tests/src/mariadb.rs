//! A real MariaDB for tests: its own data in a temporary folder, on its own port, gone when the value is dropped.
//!
//! The server's programs come from the system's packages (Debian: `mariadb-server-core`, `mariadb-client-core`), which start nothing by
//! themselves. What a test does to the server goes by its own client.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use backflow_core::code::Failure;
use backflow_core::plan::{Connection, DiffEngine, Server, SourcePlan, StateLocation, Tls, TlsMode};
use backflow_core::secret::{SecretRef, Secrets};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::postgres::{ServerTls, secret};
use crate::{PATIENCE, until};

/// Where Debian has the server.
const SERVER: &str = "/usr/sbin/mariadbd";

/// Small, and quick: what is written outlives a crash of the server, and need not outlive one of the machine.
const UNSAFE: [&str; 6] = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--aria-sync-log-dir=NEVER",
    "--sync-frm=0",
];

/// A running server.
pub struct MariaDb {
    dir: TempDir,
    address: IpAddr,
    port: u16,
    authority: Authority,
    passwords: Mutex<BTreeMap<String, String>>,
    child: Mutex<Option<Child>>,
}

impl MariaDb {
    /// Starts a server without TLS, with an empty database `shop`.
    ///
    /// # Errors
    /// If the programs are missing, with the packages that have them, or the server does not start, with its log.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(ServerTls::Off).await
    }

    /// Starts a server.
    ///
    /// # Errors
    /// As [`MariaDb::start`].
    pub async fn start_with(tls: ServerTls) -> anyhow::Result<Self> {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), tls).await
    }

    /// Starts a server that listens on another address of this machine, where pods reach it.
    ///
    /// # Errors
    /// As [`MariaDb::start`].
    pub async fn start_at(address: IpAddr, tls: ServerTls) -> anyhow::Result<Self> {
        ensure!(
            Path::new(SERVER).is_file(),
            "no MariaDB is installed; apt-get install mariadb-server-core mariadb-client-core"
        );
        let dir = tempfile::Builder::new().prefix("backflow-mariadb-").tempdir()?;
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        let authority = Authority::new(&dir.path().join("authority"))?;
        let server = Self { dir, address, port, authority, passwords: Mutex::default(), child: Mutex::new(None) };
        let mut install = Command::new("mariadb-install-db");
        install.args([
            "--no-defaults",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]);
        install.args(UNSAFE).arg(format!("--datadir={}", server.path("data").display())).args(as_this_user()?);
        // A server removes what others left in the folder for temporary files, and one that is being installed is not done with them.
        let temporary = server.path("tmp");
        std::fs::create_dir(&temporary)?;
        let output = install
            .env("TMPDIR", temporary)
            .stdin(Stdio::null())
            .output()
            .context("mariadb-install-db cannot be run")?;
        if !output.status.success() {
            bail!("mariadb-install-db failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        server.restart_with(tls).await?;
        server.exec("CREATE DATABASE shop")?;
        Ok(server)
    }

    /// Stops the server, if it runs, and starts it with another certificate; the data stay.
    ///
    /// # Errors
    /// If it does not start, with its log.
    pub async fn restart_with(&self, tls: ServerTls) -> anyhow::Result<()> {
        self.stop()?;
        let mut command = Command::new(SERVER);
        command.args(["--no-defaults", "--skip-name-resolve", "--skip-log-bin"]);
        command.arg(format!("--bind-address={}", self.address));
        // And not as our sessions are.
        command.args(UNSAFE).args([
            "--default-time-zone=+05:00",
            "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
            "--character-set-server=latin1",
        ]);
        for (option, name) in [("datadir", "data"), ("socket", "socket"), ("pid-file", "pid"), ("log-error", "log")] {
            command.arg(format!("--{option}={}", self.path(name).display()));
        }
        command.arg(format!("--port={}", self.port)).args(as_this_user()?);
        if tls != ServerTls::Off {
            let (certificate, key) = self.authority.server(tls)?;
            for (option, text) in
                [("ssl-cert", &certificate), ("ssl-key", &key), ("ssl-ca", &self.authority.certificate().to_owned())]
            {
                let path = self.path(option);
                std::fs::write(&path, text)?;
                command.arg(format!("--{option}={}", path.display()));
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(command.spawn()?);
        let ready = until("MariaDB does not answer", async || self.exec("DO 0").is_ok());
        let ended = until("MariaDB runs", async || self.has_ended());
        tokio::select! {
            ready = ready => ready.with_context(|| self.log()),
            _ = ended => bail!("MariaDB did not start: {}", self.log()),
        }
    }

    fn has_ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)) | Err(_)))
    }

    /// Kills the server, as a crash would.
    ///
    /// # Errors
    /// If it cannot be.
    pub fn stop(&self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_else(|_| format!("no log within {} s", PATIENCE.as_secs()))
    }

    /// What TLS clients must trust, and what signs their certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Creates a user with a password made now.
    ///
    /// # Errors
    /// What the server says.
    pub fn user(&self, name: &str) -> anyhow::Result<()> {
        let password = secret();
        self.exec(&format!("CREATE USER {name}@'%' IDENTIFIED BY '{password}'"))?;
        self.lock().insert(name.to_owned(), password);
        Ok(())
    }

    /// Runs statements as root.
    ///
    /// # Errors
    /// What the server says.
    pub fn exec(&self, sql: &str) -> anyhow::Result<()> {
        self.query(sql).map(drop)
    }

    /// The rows of a query as root, as the client prints them.
    ///
    /// # Errors
    /// What the server says.
    pub fn query(&self, sql: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let mut client = Command::new("mariadb");
        client.args([
            "--no-defaults",
            "--user=root",
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
        ]);
        client.arg(format!("--socket={}", self.path("socket").display()));
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = client.spawn().context("the program mariadb cannot be run")?;
        // Our tests write SQL as the sessions of the product have it.
        let session = "SET SESSION sql_mode = '', time_zone = '+00:00';\n";
        let mut input = client.stdin.take().context("the client has no input")?;
        input.write_all([session, sql].concat().as_bytes())?;
        drop(input);
        let output = client.wait_with_output()?;
        ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    /// What the connections of a user are doing now: the statement of each that is not idle.
    ///
    /// # Errors
    /// What the server says.
    pub fn active(&self, user: &str) -> anyhow::Result<Vec<String>> {
        let sql = format!(
            "SELECT info FROM information_schema.processlist WHERE user = '{user}' AND command <> 'Sleep' AND info IS NOT NULL"
        );
        Ok(self.query(&sql)?.into_iter().flatten().collect())
    }

    /// How a plan reaches this server: without TLS, password from the secret of the user's name.
    #[must_use]
    pub fn plan(&self, user: &str, database: &str) -> Server {
        Server {
            host: self.address.to_string(),
            port: self.port,
            database: database.into(),
            user: user.into(),
            password: Some(SecretRef { name: user.into(), key: "password".into() }),
            tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
        }
    }

    /// A Source over [`MariaDb::plan`], with its state in `_backflow`.
    #[must_use]
    pub fn source(&self, user: &str, database: &str) -> SourcePlan {
        source(self.plan(user, database))
    }

    /// The password of a user.
    #[must_use]
    pub fn password(&self, user: &str) -> Option<String> {
        self.lock().get(user).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.passwords.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

impl Secrets for MariaDb {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        if reference.name == "authority" {
            return Ok(self.authority.certificate().into());
        }
        match self.lock().get(&reference.name) {
            Some(password) if reference.key == "password" => Ok(password.clone().into()),
            Some(_) => Err(reference.key_not_found()),
            None => Err(reference.not_found()),
        }
    }
}

/// A Source over a MySQL or MariaDB, with its state in `_backflow`.
#[must_use]
pub fn source(server: Server) -> SourcePlan {
    SourcePlan {
        name: "warehouse".into(),
        connection: Connection::MySql(Box::new(server)),
        state: StateLocation::Schema("_backflow".into()),
        diff: DiffEngine::Streaming,
    }
}

/// MariaDB refuses to run as root, unless it is told to.
fn as_this_user() -> anyhow::Result<Option<&'static str>> {
    let output = Command::new("id").arg("-u").output().context("the program id cannot be run")?;
    Ok((output.stdout.trim_ascii() == b"0").then_some("--user=root"))
}
