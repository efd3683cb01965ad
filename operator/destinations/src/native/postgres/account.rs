//! The server and the database that a Destination names, and whether they take rows.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{Postgres, Tls, TlsMode};
use backflow_definitions::complete;
use backflow_expressions::Json;
use backflow_postgres::{Connector, Reach, Words, quote};
use sqlx::{PgConnection, Row as _};

use super::{Given, QUESTION, errors};
use crate::address::forbidden;
use crate::delivery::Trouble;

/// What sessions are called at the server.
const APPLICATION: &str = "backflow";

const WORDS: Words = Words {
    product: "Postgres",
    kind: "Destination",
    password: "secrets.password",
    tls_mode: "settings.tlsMode",
    ca: "secrets.ca",
    certificate: "secrets.clientCertificate",
    key: "secrets.clientKey",
};

/// What the server says of itself.
pub(super) struct Account {
    version: String,
    database: String,
    /// What tells this database from every other, whatever its host is called.
    pub(super) identity: String,
    /// Nothing can be written: a standby, or a database that is set so.
    read_only: bool,
}

/// Connections to the Destination's database, of which so many are kept.
pub(super) fn connector(given: Given<'_>, idle: usize) -> Result<Connector, Failure> {
    let Given { definition, destination, secrets } = given;
    let settings = complete(&definition.settings, &destination.settings);
    let text = |name: &str| match settings.get(name) {
        Some(Json::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let secret = |name: &str| destination.secrets.get(name).cloned();
    if destination.auth == "clientCertificate" && secret("clientCertificate").is_none() {
        let message = "auth \"clientCertificate\" needs secrets.clientCertificate and secrets.clientKey; give both";
        return Err(Failure::new(Code::DestinationUnauthorized, message));
    }
    let plan = Postgres {
        host: text("host"),
        port: match settings.get("port") {
            Some(Json::Int(port)) => u16::try_from(*port).unwrap_or(5432),
            _ => 5432,
        },
        database: text("database"),
        user: text("user"),
        password: secret("password"),
        tls: Tls {
            mode: match text("tlsMode").as_str() {
                "Disable" => TlsMode::Disable,
                "Require" => TlsMode::Require,
                "VerifyCa" => TlsMode::VerifyCa,
                _ => TlsMode::VerifyFull,
            },
            ca: secret("ca"),
            client_certificate: secret("clientCertificate"),
            client_key: secret("clientKey"),
        },
    };
    // Loopback is the pod itself, unless the run is on a desk.
    let forbidden = if destination.allow_loopback { |_| false } else { forbidden };
    Connector::new(&plan, secrets, APPLICATION, Reach { words: WORDS, forbidden, idle }).map_err(errors::renamed)
}

impl Account {
    /// Asks the server.
    pub(super) async fn ask(connection: &mut PgConnection, connector: &Connector) -> Result<Self, Trouble> {
        let failed = |error: sqlx::Error| errors::trouble(&error, connector);
        let facts = "SELECT current_setting('server_version'), datname::text, oid::int8::text, \
                     pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool \
                     FROM pg_catalog.pg_database WHERE datname = current_database()";
        let row = sqlx::query(facts).persistent(false).fetch_one(&mut *connection).await.map_err(failed)?;
        let text = |at: usize| row.try_get::<String, _>(at).map_err(failed);
        let (version, database, oid) = (text(0)?, text(1)?, text(2)?);
        let read_only = row.try_get(3).map_err(failed)?;
        let asked = sqlx::query_scalar::<_, String>("SELECT system_identifier::text FROM pg_control_system()");
        let server = match asked.persistent(false).fetch_one(&mut *connection).await {
            Ok(identifier) => identifier,
            // A service may keep it to itself: then the address stands for the server.
            Err(error) if backflow_postgres::database(&error).is_some() => {
                format!("{}:{}", connector.target.host, connector.target.port)
            }
            Err(error) => return Err(failed(error)),
        };
        Ok(Self {
            // Packagers append their own name: `15.18 (Debian 15.18-0+deb12u1)`.
            version: version.split(' ').next().unwrap_or_default().to_owned(),
            // By its number: one that was made again under the same name is another.
            identity: format!("{server}/{oid}"),
            database,
            read_only,
        })
    }

    /// That rows can be written.
    pub(super) fn writable(&self, connector: &Connector) -> Result<(), Failure> {
        if !self.read_only {
            return Ok(());
        }
        let message = format!(
            "database \"{}\" of {} only reads: it is a standby, or default_transaction_read_only is on; name the primary in settings.host",
            self.database,
            connector.target.address()
        );
        Err(Failure::new(Code::DestinationMisconfigured, message))
    }

    /// For people.
    fn shown(&self) -> String {
        format!("database {} (PostgreSQL {})", self.database, self.version)
    }
}

/// Connects, proves that the database takes writes and that the role may use the schema; what the account is called.
pub(crate) async fn check(given: Given<'_>) -> Result<String, Failure> {
    let connector = connector(given, 1)?;
    let mut connection = connector.connect().await.map_err(errors::renamed)?;
    let settings = complete(&given.definition.settings, &given.destination.settings);
    let asked = async {
        let account = Account::ask(&mut connection, &connector).await.map_err(|trouble| trouble.failure)?;
        account.writable(&connector)?;
        if let Some(Json::Text(schema)) = settings.get("schema") {
            usable(&mut connection, &connector, schema).await?;
        }
        Ok(account.shown())
    };
    tokio::time::timeout(QUESTION, asked).await.unwrap_or_else(|_| Err(errors::silent(&connector, QUESTION)))
}

/// That there is a schema, and that the role may use what is in it.
async fn usable(connection: &mut PgConnection, connector: &Connector, schema: &str) -> Result<(), Failure> {
    let asked = "SELECT has_schema_privilege(oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = $1";
    let asked = sqlx::query_scalar::<_, bool>(asked).bind(schema).persistent(false);
    let found = asked.fetch_optional(connection).await.map_err(|error| errors::trouble(&error, connector).failure)?;
    let named = quote(schema);
    let message = match found {
        Some(true) => return Ok(()),
        Some(false) => {
            let user = quote(&connector.target.user);
            format!("role {user} may not use schema {named}; run: GRANT USAGE ON SCHEMA {named} TO {user}")
        }
        None => format!(
            "there is no schema {named} in database \"{}\"; create it, or correct settings.schema",
            connector.target.database
        ),
    };
    Err(Failure::new(Code::DestinationMisconfigured, message))
}
