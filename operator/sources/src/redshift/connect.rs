//! Connections: who logs in, with what, and how a session begins.

use std::sync::Arc;

use backflow_core::code::Failure;
use backflow_core::plan::{Postgres, Redshift, RedshiftCredential};
use backflow_core::secret::Secrets;
use backflow_postgres::{Connector, Reach, Words};
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, ValueRef as _};
use tokio::sync::Mutex;

use super::api::Aws;
use super::errors;

/// Formats that do not depend on user or database, so that hashes are stable.
const SETTINGS: [&str; 3] = ["SET timezone TO 'UTC'", "SET datestyle TO 'ISO, YMD'", "SET extra_float_digits TO 2"];
/// The longest that a statement of our own may take, the wait for other writers included, one that moves entries, and a read of a model, in
/// milliseconds.
const OWN: u32 = 5 * 60 * 1000;
const ENTRIES: u32 = 3600 * 1000;
const MODEL: u32 = 6 * 3600 * 1000;
/// A password of AWS's is asked for again when it holds for less, in seconds.
const MARGIN: i64 = 120;

/// A warehouse may be anywhere, and is read by one connection after the other.
const REACH: Reach = Reach {
    words: Words {
        product: "Redshift",
        kind: "Source",
        password: "password",
        tls_mode: "tls.mode",
        ca: "tls.ca",
        certificate: "tls.clientCertificate",
        key: "tls.clientKey",
    },
    forbidden: |_| false,
    idle: 1,
};

/// A connector, and until when its credentials hold.
type Current = Option<(Arc<Connector>, i64)>;

/// Opens sessions.
pub(super) struct Sessions {
    plan: Postgres,
    /// Who asks AWS for a password; without, the plan has one.
    aws: Option<Aws>,
    application: String,
    current: Mutex<Current>,
    connector: Arc<Connector>,
}

impl Sessions {
    pub(super) fn new(plan: &Redshift, secrets: &dyn Secrets, application: &str) -> Result<Self, Failure> {
        let (password, aws) = match &plan.credential {
            RedshiftCredential::Password(password) => (Some(password.clone()), None),
            RedshiftCredential::Iam(iam) => (None, Some(Aws::new(plan, iam)?)),
        };
        let plan = Postgres {
            host: plan.host.clone(),
            port: plan.port,
            database: plan.database.clone(),
            user: plan.user.clone(),
            password,
            tls: plan.tls.clone(),
        };
        let connector = Arc::new(Connector::new(&plan, secrets, application, REACH)?);
        Ok(Self { plan, aws, application: application.to_owned(), current: Mutex::default(), connector })
    }

    /// Where it is, for messages.
    pub(super) fn address(&self) -> String {
        self.connector.target.address()
    }

    /// Who logs in, for messages.
    pub(super) fn user(&self) -> &str {
        &self.plan.user
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    async fn usable(&self) -> Result<Arc<Connector>, Failure> {
        let Some(aws) = &self.aws else { return Ok(Arc::clone(&self.connector)) };
        let now = jiff::Timestamp::now().as_second();
        let mut current = self.current.lock().await;
        if let Some((connector, until)) = &*current
            && now + MARGIN < *until
        {
            return Ok(Arc::clone(connector));
        }
        let login = aws.login(&self.plan.user, &self.plan.database).await?;
        let connector = Arc::new(self.connector.logged_in(&login.user, &login.password));
        *current = Some((Arc::clone(&connector), login.until));
        Ok(connector)
    }

    /// A session outside of any transaction, for statements of our own, and who takes it back.
    pub(super) async fn take(&self) -> Result<(Arc<Connector>, PgConnection), Failure> {
        self.session(OWN).await
    }

    /// The same for as many entries as there are.
    pub(super) async fn take_for_entries(&self) -> Result<(Arc<Connector>, PgConnection), Failure> {
        self.session(ENTRIES).await
    }

    /// The same for the user's SQL.
    pub(super) async fn take_for_model(&self) -> Result<(Arc<Connector>, PgConnection), Failure> {
        self.session(MODEL).await
    }

    async fn session(&self, longest: u32) -> Result<(Arc<Connector>, PgConnection), Failure> {
        let connector = self.usable().await?;
        let mut connection = connector.take().await?;
        let mark: String = self.application.chars().filter(|c| !matches!(c, '\'' | '\\' | '\0')).collect();
        let more = [format!("SET query_group TO '{mark}'"), format!("SET statement_timeout TO {longest}")];
        for sql in SETTINGS.iter().map(|sql| (*sql).to_owned()).chain(more) {
            run(&mut connection, sql).await.map_err(|error| errors::own(&error, self))?;
        }
        Ok((connector, connection))
    }
}

/// Runs text by the simple protocol.
pub(super) async fn run(connection: &mut PgConnection, sql: impl Into<String>) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.map(drop)
}

/// All rows of a statement of our own, as texts.
pub(super) async fn texts(
    connection: &mut PgConnection,
    sql: impl Into<String>,
) -> Result<Vec<Vec<Option<String>>>, sqlx::Error> {
    let mut stream = sqlx::raw_sql(AssertSqlSafe(sql.into())).fetch(connection);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        let values = (0..row.len()).map(|at| {
            let value = row.try_get_raw(at)?;
            let text =
                if value.is_null() { None } else { Some(value.as_str().map_err(sqlx::Error::Decode)?.to_owned()) };
            Ok(text)
        });
        rows.push(values.collect::<Result<_, sqlx::Error>>()?);
    }
    Ok(rows)
}

/// Begins a transaction in which nothing can be written, and says which process of the server's it is.
pub(super) async fn begin_read(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    run(&mut *connection, "BEGIN READ ONLY").await?;
    backend(connection).await
}

/// Which process of the server's has this session: what a cancel names.
pub(super) async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let rows = texts(connection, "SELECT pg_backend_pid()").await?;
    let pid = rows.into_iter().flatten().flatten().next().and_then(|pid| pid.parse().ok());
    pid.ok_or_else(|| sqlx::Error::Protocol("a process without a number".into()))
}
