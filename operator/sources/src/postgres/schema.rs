//! The state schema: made where the role may, and checked for what a run will need of it.

use backflow_core::code::{Code, Failure};
use backflow_postgres::{Purpose, begin, end, run};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::errors;
use super::state::PostgresState;
use crate::sql::quote;
use crate::state_rows::{SCHEMA_VERSION, too_new};

/// The tables, `{}` for the schema. Names and columns are public: people read them with SQL.
const TABLES: &str = "
CREATE TABLE {}.mappings (state_key text PRIMARY KEY, format bigint NOT NULL, owner text NOT NULL, epoch bigint NOT NULL,
    generation bigint NOT NULL, segment bigint NOT NULL, document text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE {}.partitions (state_key text NOT NULL, generation bigint NOT NULL, index bigint NOT NULL, bytes bytea NOT NULL,
    PRIMARY KEY (state_key, generation, index));
CREATE TABLE {}.journal (state_key text NOT NULL, segment bigint NOT NULL, epoch bigint NOT NULL, bytes bytea NOT NULL,
    PRIMARY KEY (state_key, segment));
CREATE TABLE {}.runs (state_key text NOT NULL, name text NOT NULL, number bigint NOT NULL,
    first_epoch bigint NOT NULL, epoch bigint NOT NULL, phase text NOT NULL, counters jsonb NOT NULL,
    started_at text NOT NULL, updated_at text NOT NULL, PRIMARY KEY (state_key, name));
CREATE TABLE {}.rejects (state_key text NOT NULL, key_sha256 bytea NOT NULL, key text NOT NULL, operation text NOT NULL,
    code text NOT NULL, field text, message text NOT NULL, first_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (state_key, key_sha256));
ALTER TABLE {}.partitions ALTER COLUMN bytes SET STORAGE EXTERNAL;
ALTER TABLE {}.journal ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE {}.meta (key text PRIMARY KEY, value text NOT NULL);
INSERT INTO {}.meta (key, value) VALUES ('schema_version', '{version}');
";

const TABLE_NAMES: &[&str] = &["mappings", "partitions", "journal", "runs", "rejects", "meta"];

/// What is there, as the catalog says: it answers every role.
struct Found {
    schema: bool,
    /// CREATE on the schema.
    may_create: bool,
    tables: i64,
    /// All grants on the tables that are there, and USAGE.
    may_use: bool,
}

/// Makes what is missing.
pub(super) async fn prepare(state: &PostgresState) -> Result<(), Failure> {
    visit(state, "COMMIT").await
}

/// Makes what is missing and takes it back: proves that a run may.
pub(super) async fn probe(state: &PostgresState) -> Result<(), Failure> {
    visit(state, "ROLLBACK").await
}

async fn visit(state: &PostgresState, how: &'static str) -> Result<(), Failure> {
    let failure = |error: sqlx::Error| errors::state(&error, &state.schema, &state.connector.target);
    let mut connection = state.connector.take().await?;
    begin(&mut connection, Purpose::Write)
        .await
        .map_err(|error| read_only(&error, state).unwrap_or_else(|| failure(error)))?;
    let result = ensure(state, &mut connection).await;
    if result.is_ok() {
        end(&mut connection, how).await.map_err(failure)?;
        state.connector.give_back(connection).await;
    }
    result
}

async fn ensure(state: &PostgresState, connection: &mut PgConnection) -> Result<(), Failure> {
    let failure = |error: sqlx::Error| errors::state(&error, &state.schema, &state.connector.target);
    let mut found = look(state, connection).await.map_err(failure)?;
    if found.tables < TABLE_NAMES.len() as i64 {
        // Two pods of a new Source come here at once: the second waits, then finds everything made.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('backflow state schema ' || $1, 0))")
            .bind(&state.schema)
            .persistent(false)
            .execute(&mut *connection)
            .await
            .map_err(failure)?;
        found = look(state, connection).await.map_err(failure)?;
    }
    let schema = quote(&state.schema);
    if !found.schema {
        run(connection, format!("CREATE SCHEMA {schema}"))
            .await
            .map_err(|error| schema_missing(&error, state).unwrap_or_else(|| failure(error)))?;
        found.may_create = true;
        found.may_use = true;
    }
    if found.tables == 0 {
        if !found.may_create {
            return Err(errors::state_denied(&schema, &state.connector.target.user));
        }
        let tables = TABLES.replace("{version}", &SCHEMA_VERSION.to_string()).replace("{}", &schema);
        return run(connection, tables)
            .await
            .map_err(|error| read_only(&error, state).unwrap_or_else(|| failure(error)));
    }
    if found.tables < TABLE_NAMES.len() as i64 {
        return Err(Failure::new(
            Code::StateDamaged,
            format!(
                "schema {schema} has some of the tables {}, not all; give state.schema another name, or restore them",
                TABLE_NAMES.join(", ")
            ),
        ));
    }
    if !found.may_use {
        return Err(errors::state_denied(&schema, &state.connector.target.user));
    }
    check_version(state, connection).await
}

async fn look(state: &PostgresState, connection: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let row = sqlx::query(
        "SELECT n.oid IS NOT NULL AS schema, coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS may_create, \
         count(c.oid) AS tables, coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AND coalesce(bool_and( \
         has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') AND \
         has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')), true) AS may_use \
         FROM (SELECT 1) AS one LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = $1 \
         LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = ANY($2) AND c.relkind IN ('r', 'p') \
         GROUP BY n.oid",
    )
    .bind(&state.schema)
    .bind(TABLE_NAMES)
    .persistent(false)
    .fetch_one(connection)
    .await?;
    Ok(Found {
        schema: row.try_get("schema")?,
        may_create: row.try_get("may_create")?,
        tables: row.try_get("tables")?,
        may_use: row.try_get("may_use")?,
    })
}

async fn check_version(state: &PostgresState, connection: &mut PgConnection) -> Result<(), Failure> {
    let schema = quote(&state.schema);
    let version: Option<String> =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT value FROM {schema}.meta WHERE key = 'schema_version'")))
            .persistent(false)
            .fetch_optional(connection)
            .await
            .map_err(|error| errors::state(&error, &state.schema, &state.connector.target))?;
    match version.as_deref().map(str::parse::<u32>) {
        Some(Ok(version)) if version <= SCHEMA_VERSION => Ok(()),
        Some(Ok(version)) => Err(too_new(&format!("schema {schema}"), &version.to_string())),
        _ => Err(Failure::new(
            Code::StateDamaged,
            format!("table {schema}.meta does not say a schema_version; give state.schema another name, or restore it"),
        )),
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

fn schema_missing(error: &sqlx::Error, state: &PostgresState) -> Option<Failure> {
    let user = quote(&state.connector.target.user);
    let schema = quote(&state.schema);
    (sqlstate(error)? == "42501").then(|| {
        Failure::new(
            Code::StateSchemaMissing,
            format!(
                "the state schema {schema} does not exist, and role {user} may not create it; run: CREATE SCHEMA {schema} AUTHORIZATION {user}"
            ),
        )
    })
}

fn read_only(error: &sqlx::Error, state: &PostgresState) -> Option<Failure> {
    matches!(sqlstate(error)?.as_str(), "25006" | "0A000").then(|| {
        Failure::new(
            Code::PermissionDenied,
            format!(
                "{} only reads (a replica, or default_transaction_read_only), so it cannot keep the state; connect to the primary",
                state.connector.target.address()
            ),
        )
    })
}
