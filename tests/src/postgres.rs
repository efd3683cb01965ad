//! A real Postgres for tests: its own cluster in a temporary folder, on its own port, gone when the value is dropped.
//!
//! The server's programs come from the system's packages (Debian: `postgresql`). Started as root, which Postgres refuses, the
//! cluster runs as the system user `postgres`.

mod files;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use backflow_core::code::Failure;
use backflow_core::plan::{Connection, DiffEngine, Postgres, SourcePlan, StateLocation, Tls, TlsMode};
use backflow_core::secret::{SecretRef, Secrets};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;

use crate::certificates::Authority;

use self::files::{Empty, give_away, run};

/// The superuser of every cluster, and its database.
const SUPERUSER: &str = "postgres";

/// A running cluster.
pub struct PostgresServer {
    bin: PathBuf,
    dir: TempDir,
    address: IpAddr,
    port: u16,
    authority: Authority,
    passwords: Mutex<BTreeMap<String, String>>,
    /// What the next server is copied from, while one runs.
    _empty: Arc<Empty>,
}

/// The certificate that the server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTls {
    /// No TLS at all.
    Off,
    /// For `localhost` and `127.0.0.1`, signed by [`PostgresServer::authority`].
    Good,
    /// For another host.
    WrongHost,
    /// Expired yesterday.
    Expired,
}

impl PostgresServer {
    /// Starts a cluster without TLS.
    ///
    /// # Errors
    /// If the programs are missing, with the package that has them, or the server does not start, with its log.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(ServerTls::Off).await
    }

    /// Starts a cluster.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub async fn start_with(tls: ServerTls) -> anyhow::Result<Self> {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), tls).await
    }

    /// Starts a cluster that listens on another address of this machine, where pods reach it.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub async fn start_at(address: IpAddr, tls: ServerTls) -> anyhow::Result<Self> {
        let bin = programs()?;
        let dir = tempfile::Builder::new().prefix("backflow-postgres-").tempdir()?;
        let port = TcpListener::bind((address, 0))?.local_addr()?.port();
        let authority = Authority::new(&dir.path().join("authority"))?;
        let empty = Empty::cluster(&bin)?;
        empty.copy_to(&dir.path().join("data"))?;
        let passwords = Mutex::new(BTreeMap::from([(SUPERUSER.to_owned(), empty.password.clone())]));
        let server = Self { bin, dir, address, port, authority, passwords, _empty: empty };
        server.launch(tls)?;
        Ok(server)
    }

    /// Stops the server, if it runs, and starts it with another certificate; the data stay.
    ///
    /// # Errors
    /// If it does not start.
    pub fn restart_with(&self, tls: ServerTls) -> anyhow::Result<()> {
        if self.path("data/postmaster.pid").exists() {
            self.stop()?;
        }
        self.launch(tls)
    }

    /// Stops the server at once, as a crash would.
    ///
    /// # Errors
    /// If it does not stop.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.run("pg_ctl", &["stop", "-w", "-m", "immediate", "-s"], &[("-D", self.path("data"))])
    }

    fn launch(&self, tls: ServerTls) -> anyhow::Result<()> {
        let data = self.path("data");
        let mut settings = format!(
            "port = {}\nlisten_addresses = '{}'\nunix_socket_directories = '{}'\nfsync = off\n\
             full_page_writes = off\nmax_connections = 120\nmax_prepared_transactions = 0\nlog_min_messages = fatal\n",
            self.port,
            self.address,
            self.dir.path().display()
        );
        if tls != ServerTls::Off {
            let (certificate, key) = self.authority.server(tls)?;
            write_private(&data.join("server.crt"), certificate.as_bytes())?;
            write_private(&data.join("server.key"), key.as_bytes())?;
            write_private(&data.join("root.crt"), self.authority.certificate().as_bytes())?;
            settings.push_str("ssl = on\nssl_ca_file = 'root.crt'\n");
        }
        write_private(&data.join("postgresql.auto.conf"), settings.as_bytes())?;
        // The role `certified` comes in by its certificate alone, `encrypted` never without TLS.
        let rules = "hostssl all certified all cert\nhostnossl all certified,encrypted all reject\n\
                     host all all all scram-sha-256\nlocal all all scram-sha-256\n";
        write_private(&data.join("pg_hba.conf"), rules.as_bytes())?;
        give_away(self.dir.path())?;
        self.run("pg_ctl", &["start", "-w", "-t", "60", "-s"], &[("-D", data), ("-l", self.path("log"))])
            .with_context(|| std::fs::read_to_string(self.path("log")).unwrap_or_else(|_| "no log".into()))
    }

    /// What the server logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// What TLS clients must trust, and what signs their certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of the server's first process, which starts all others.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let text = std::fs::read_to_string(self.path("data/postmaster.pid"))?;
        Ok(text.lines().next().context("postmaster.pid is empty")?.trim().parse()?)
    }

    /// Creates a role that may log in, with a password made now. Twice is an error of the server's.
    ///
    /// # Errors
    /// What the server says.
    pub async fn role(&self, name: &str) -> anyhow::Result<()> {
        let password = secret();
        self.exec(SUPERUSER, &format!("CREATE ROLE \"{name}\" LOGIN PASSWORD '{password}'")).await?;
        self.lock().insert(name.to_owned(), password);
        Ok(())
    }

    /// The password of a role; none if [`PostgresServer::role`] did not create it.
    #[must_use]
    pub fn password(&self, role: &str) -> Option<String> {
        self.lock().get(role).cloned()
    }

    /// Runs SQL as the superuser.
    ///
    /// # Errors
    /// What the server says.
    pub async fn exec(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        let mut connection = self.connect(database).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.with_context(|| sql.to_owned())?;
        Ok(connection.close().await?)
    }

    /// The rows of a query as the superuser, each column as text.
    ///
    /// # Errors
    /// What the server says, or a column that is not text.
    pub async fn query(&self, database: &str, sql: &str) -> anyhow::Result<Vec<Vec<Option<String>>>> {
        let mut connection = self.connect(database).await?;
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.with_context(|| sql.to_owned())?;
        connection.close().await?;
        rows.iter().map(|row| (0..row.len()).map(|at| Ok(row.try_get(at)?)).collect()).collect()
    }

    /// What the connections of an application are doing now: the query of each that is not idle.
    ///
    /// # Errors
    /// What the server says.
    pub async fn active(&self, application_name: &str) -> anyhow::Result<Vec<String>> {
        let sql = format!(
            "SELECT query FROM pg_stat_activity WHERE state <> 'idle' AND application_name = '{}'",
            application_name.replace('\'', "''")
        );
        Ok(self.query(SUPERUSER, &sql).await?.into_iter().flatten().flatten().collect())
    }

    /// Connects as the superuser by the socket.
    ///
    /// # Errors
    /// What the server says.
    pub async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let password = self.lock().get(SUPERUSER).cloned().unwrap_or_default();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.dir.path())
            .port(self.port)
            .username(SUPERUSER)
            .password(&password)
            .database(database)
            .disable_statement_logging();
        Ok(PgConnection::connect_with(&options).await?)
    }

    /// How a plan reaches this server: without TLS, password from the secret of the role's name.
    #[must_use]
    pub fn plan(&self, user: &str, database: &str) -> Postgres {
        Postgres {
            host: self.address.to_string(),
            port: self.port,
            database: database.into(),
            user: user.into(),
            password: Some(SecretRef { name: user.into(), key: "password".into() }),
            tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
        }
    }

    /// A Source over [`PostgresServer::plan`], with its state in `_backflow`.
    #[must_use]
    pub fn source(&self, user: &str, database: &str) -> SourcePlan {
        source(self.plan(user, database))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.passwords.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Files belong to the user that the server runs as.
    fn run(&self, program: &str, arguments: &[&str], paths: &[(&str, PathBuf)]) -> anyhow::Result<()> {
        run(&self.bin.join(program), self.dir.path(), arguments, paths)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // Fails if a test stopped it already.
        let _ = self.stop();
    }
}

impl Secrets for PostgresServer {
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

/// A Source over a Postgres, with its state in `_backflow`.
#[must_use]
pub fn source(postgres: Postgres) -> SourcePlan {
    SourcePlan {
        name: "warehouse".into(),
        connection: Connection::Postgres(Box::new(postgres)),
        state: StateLocation::Schema("_backflow".into()),
        diff: DiffEngine::Streaming,
    }
}

/// A password that is made now.
#[must_use]
pub fn secret() -> String {
    let mut bytes = [0; 16];
    // Cannot fail on any system that starts a Postgres.
    let _ = rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of the newest installed server's programs.
fn programs() -> anyhow::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").is_file())
        .collect();
    found.sort();
    let on_path = || std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| folder.join("initdb").is_file());
    found
        .pop()
        .map(|(_, bin)| bin)
        .or_else(on_path)
        .context("no Postgres server is installed; apt-get install postgresql")
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    Ok(())
}
