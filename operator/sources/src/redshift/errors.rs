//! From the driver's errors to codes and sentences of our own. The server's text is never passed on: it may quote a row.

use backflow_core::code::{Code, Failure};
use backflow_postgres::{broken, database, transient, unavailable};
use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::connect::Sessions;
use super::types::ResultColumn;
use crate::rest::compose::Composed;
use crate::rest::row::Described as _;
use crate::sql::quote;

/// The longest name of the user's that is repeated.
const NAME: usize = 200;

/// Two transactions were in each other's way: one is broken off. Redshift says the first with a number of its own.
pub(super) fn is_conflict(error: &Error) -> bool {
    database(error).is_some_and(conflict)
}

fn conflict(error: &PgDatabaseError) -> bool {
    matches!(error.code(), "40001" | "40P01") || error.message().contains("Serializable isolation violation")
}

/// A schema or table is not there.
pub(super) fn is_missing(error: &Error) -> bool {
    database(error).is_some_and(|error| matches!(error.code(), "42P01" | "3F000"))
}

/// A grant is missing.
pub(super) fn is_denied(error: &Error) -> bool {
    database(error).is_some_and(|error| error.code() == "42501")
}

/// Another server answers there.
pub(super) fn no_redshift(sessions: &Sessions) -> Failure {
    let message =
        format!("{} is no Redshift; check host and port, and use postgres for a Postgres", sessions.address());
    Failure::new(Code::ConnectionFailed, message)
}

/// Why a statement of our own failed that is not about the state.
pub(super) fn own(error: &Error, sessions: &Sessions) -> Failure {
    match database(error) {
        None => broken(error, &sessions.connector().target),
        // A setting that only Redshift has.
        Some(error) if error.code() == "42704" => no_redshift(sessions),
        Some(error) if transient(error.code()) => unavailable(error.code(), &sessions.connector().target),
        Some(error) => Failure::new(
            Code::Internal,
            format!(
                "{} refuses a statement of this program (SQLSTATE {}); please report it",
                sessions.address(),
                error.code()
            ),
        ),
    }
}

/// What stands between `before` and `after`, if it is a name.
fn named<'a>(message: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let start = message.find(before)? + before.len();
    let name = message[start..].split(after).next()?.trim_matches('"');
    (!name.is_empty() && name.len() <= NAME && !name.contains(|c: char| c.is_control() || c.is_whitespace()))
        .then_some(name)
}

/// Where in the user's text an error is.
fn place(error: &PgDatabaseError, composed: &Composed, sql: &str) -> Option<String> {
    let Some(PgErrorPosition::Original(position)) = error.position() else { return None };
    let line = sql.chars().take(position.saturating_sub(1)).filter(|c| *c == '\n').count() + 1;
    composed.place(line)
}

/// Why a statement with the user's SQL failed; `sql` is what was sent.
pub(super) fn query(error: &Error, model: &str, composed: &Composed, sql: &str, sessions: &Sessions) -> Failure {
    let Some(error) = database(error) else { return broken(error, &sessions.connector().target) };
    let at = place(error, composed, sql).map_or_else(String::new, |place| format!(" ({place})"));
    let quoted = |name: Option<&str>| name.map_or_else(String::new, |name| format!(" {}", quote(name)));
    let (message, user) = (error.message(), quote(sessions.user()));
    let (code, sentence) = match error.code() {
        "42P01" | "3F000" => {
            let name = named(message, "relation ", " does").or_else(|| named(message, "schema ", " does"));
            let sentence = format!(
                "table or schema{} does not exist{at}; check its name, and write the schema in front: searches by search_path depend on the user",
                quoted(name)
            );
            (Code::TableNotFound, sentence)
        }
        "42703" => {
            let name = named(message, "column ", " does");
            (
                Code::ColumnNotFound,
                format!("column{} does not exist{at}; Redshift folds names to lower case", quoted(name)),
            )
        }
        "42501" => {
            let cure = match (
                named(message, "for relation ", "\n").or_else(|| named(message, "for table ", "\n")),
                named(message, "for schema ", "\n"),
            ) {
                (Some(table), _) => format!("GRANT SELECT ON {} TO {user}, with its schema in front", quote(table)),
                (None, Some(schema)) => format!("GRANT USAGE ON SCHEMA {} TO {user}", quote(schema)),
                (None, None) => format!("GRANT SELECT ON each table TO {user}"),
            };
            (Code::PermissionDenied, format!("user {user} may not read what it names{at}; run: {cure}"))
        }
        "25006" => (Code::SqlError, "the SQL would write; a model only reads".to_owned()),
        "42601" => (Code::SqlError, format!("syntax error{at}")),
        "42883" => (Code::SqlError, format!("a function or operator does not exist for these types{at}")),
        "0A000" => (Code::SqlError, format!("the SQL uses something that Redshift does not support{at}")),
        // Its own errors have the state XX000; this one passes.
        _ if conflict(error) => return unavailable("40001", &sessions.connector().target),
        state if transient(state) => return unavailable(state, &sessions.connector().target),
        state => (Code::SqlError, format!("the SQL failed{at} (SQLSTATE {state}); try it in the query editor")),
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// A column of a type that has no known form.
pub(super) fn unread(model: &str, column: &ResultColumn) -> Failure {
    let (name, kind) = (&column.name, column.kind());
    let message = format!(
        "model \"{model}\": column \"{name}\" has the type {kind}, which is not read; cast it to varchar in the SQL"
    );
    Failure::new(Code::SqlError, message)
}

/// Why a statement of the state failed. `schema` is quoted.
pub(super) fn state(error: &Error, schema: &str, sessions: &Sessions) -> Failure {
    if is_denied(error) {
        return state_denied(schema, sessions);
    }
    if is_missing(error) {
        let message =
            format!("the tables in the state schema {schema} are gone while a run uses them; it is tried again");
        return Failure::new(Code::WarehouseUnavailable, message);
    }
    if is_conflict(error) {
        let message = format!("too many writers change the state in schema {schema} at once; it is tried again");
        return Failure::new(Code::WarehouseUnavailable, message);
    }
    match database(error) {
        None => broken(error, &sessions.connector().target),
        Some(error) if error.code() == "42703" => Failure::new(
            Code::StateDamaged,
            format!(
                "the tables in the state schema {schema} have other columns than this program made; give state.schema another name, or restore them"
            ),
        ),
        Some(error) if transient(error.code()) => unavailable(error.code(), &sessions.connector().target),
        Some(error) => Failure::new(
            Code::WarehouseUnavailable,
            format!(
                "the state in schema {schema} could not be read or written (SQLSTATE {}); it is tried again",
                error.code()
            ),
        ),
    }
}

/// The user may not make or use the tables of the state.
pub(super) fn state_denied(schema: &str, sessions: &Sessions) -> Failure {
    let user = quote(sessions.user());
    let message = format!(
        "user {user} may not use the state in schema {schema}; run: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}; GRANT SELECT, INSERT, UPDATE, \
         DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}"
    );
    Failure::new(Code::PermissionDenied, message)
}

/// There is no state schema, and the user may not make it.
pub(super) fn schema_missing(schema: &str, sessions: &Sessions) -> Failure {
    let user = quote(sessions.user());
    let message = format!(
        "the state schema {schema} does not exist, and user {user} may not create it; run: CREATE SCHEMA {schema} AUTHORIZATION {user}"
    );
    Failure::new(Code::StateSchemaMissing, message)
}
