//! From the driver's errors to codes and sentences of our own. The server's text is never passed on: it may quote a row.

use std::io::ErrorKind;

use backflow_core::code::{Code, Failure};
use backflow_core::plan::TlsMode;
use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::compose::Composed;
use super::connect::Target;
use crate::sql::quote;

/// Why no connection came about.
pub(crate) fn connect(error: &Error, target: &Target) -> Failure {
    let (code, sentence) = match error {
        Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => refused(error, target),
            None => (Code::ConnectionFailed, unexpected(target)),
        },
        Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => (Code::TlsFailed, target.peer().sentence(error)),
            None => (Code::ConnectionFailed, no_connection(error.kind(), target)),
        },
        Error::Tls(error) => match error.downcast_ref::<rustls::Error>() {
            Some(error) => (Code::TlsFailed, target.peer().sentence(error)),
            None => (Code::TlsFailed, target.peer().not_offered()),
        },
        Error::Configuration(_) => (
            Code::TlsFailed,
            "the client certificate or its key cannot be used; check that they belong together".to_owned(),
        ),
        // SCRAM fails on our side when the server's proof is wrong, and when a password cannot be normalised.
        Error::Protocol(_) => (Code::ConnectionFailed, unexpected(target)),
        _ => (Code::ConnectionFailed, unexpected(target)),
    };
    Failure::new(code, sentence)
}

fn unexpected(target: &Target) -> String {
    format!("{} did not answer as a Postgres server does; check host and port", target.address())
}

fn no_connection(kind: ErrorKind, target: &Target) -> String {
    let address = target.address();
    match kind {
        ErrorKind::ConnectionRefused => {
            format!("{address} refuses connections; check host and port, and that the server runs")
        }
        ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("{address} cannot be reached; check host, port, firewall and network policy")
        }
        _ => format!(
            "{address} closed the connection while it was being made; check host and port, and the server's log"
        ),
    }
}

fn refused(error: &PgDatabaseError, target: &Target) -> (Code, String) {
    let Target { host, database, user, .. } = target;
    let address = target.address();
    match error.code() {
        "28P01" if target.has_password => (
            Code::AuthenticationFailed,
            format!("{address} refuses the password of user \"{user}\"; check user and password"),
        ),
        "28P01" => (
            Code::AuthenticationFailed,
            format!("{address} asks for a password of user \"{user}\", and the Source has none; set password"),
        ),
        // Told apart by a word that the server does not take from any data.
        "28000" if error.message().contains("certificate") && !target.has_certificate => (
            Code::TlsFailed,
            format!(
                "{address} wants a client certificate for user \"{user}\"; give tls.clientCertificate and tls.clientKey with that name"
            ),
        ),
        "28000" if error.message().contains("certificate") => (
            Code::AuthenticationFailed,
            format!(
                "{address} does not take the client certificate for user \"{user}\"; its common name must be the user's, or be mapped to it"
            ),
        ),
        "28000" if target.tls == TlsMode::Disable => (
            Code::AuthenticationFailed,
            format!(
                "{address} does not let user \"{user}\" in unencrypted from this address; set tls.mode, or add the user to pg_hba.conf"
            ),
        ),
        "28000" => (
            Code::AuthenticationFailed,
            format!(
                "{address} does not let user \"{user}\" in: no such role, no LOGIN, or no entry in pg_hba.conf; check user \"{user}\""
            ),
        ),
        "3D000" => (
            Code::DatabaseNotFound,
            format!("{address} has no database \"{database}\"; check database, its letters' case too"),
        ),
        "42501" => (
            Code::PermissionDenied,
            format!(
                "user \"{user}\" may not connect to database \"{database}\"; run: GRANT CONNECT ON DATABASE {} TO {}",
                quote(database),
                quote(user)
            ),
        ),
        "53300" => (
            Code::WarehouseUnavailable,
            format!(
                "{address} has no free connection; raise max_connections or the role's limit, or lower maxConcurrentSyncs"
            ),
        ),
        code if code.starts_with("57P") => {
            (Code::WarehouseUnavailable, format!("{address} is starting, stopping or in recovery; it is tried again"))
        }
        code if code.starts_with("53") => {
            (Code::WarehouseUnavailable, format!("{address} is out of resources (SQLSTATE {code}); it is tried again"))
        }
        code => {
            (Code::ConnectionFailed, format!("{host} refuses the connection (SQLSTATE {code}); see the server's log"))
        }
    }
}

/// Why a statement with the user's SQL failed.
pub(crate) fn query(error: &Error, model: &str, composed: &Composed, target: &Target) -> Failure {
    let Some(error) = database(error) else { return broken(error, target) };
    let place = match error.position() {
        Some(PgErrorPosition::Original(position)) => composed.locate(position),
        _ => None,
    };
    let at = place.as_ref().map_or(String::new(), |place| format!(" ({})", place.at));
    let word = place.as_ref().and_then(|place| place.word).map_or(String::new(), |word| format!(" {}", named(word)));
    let state = error.code();
    let (code, sentence) = match state {
        "42P01" => (
            Code::TableNotFound,
            format!("table{word} does not exist{at}; check its name and schema, its letters' case too"),
        ),
        "3F000" => (Code::TableNotFound, format!("schema{word} does not exist{at}; check its name")),
        "42703" => (
            Code::ColumnNotFound,
            format!("column{word} does not exist{at}; names with capitals must stand in double quotes"),
        ),
        "42501" => (Code::PermissionDenied, denied(error, composed, target)),
        "25006" => (Code::SqlError, "the SQL would write; a model only reads".to_owned()),
        _ if transient(state) => return unavailable(state, target),
        _ => (Code::SqlError, format!("{}{at} (SQLSTATE {state})", reason(state, &word))),
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// Why a statement of our own over the state failed.
pub(crate) fn state(error: &Error, schema: &str, target: &Target) -> Failure {
    let Some(error) = database(error) else { return broken(error, target) };
    let schema = quote(schema);
    match error.code() {
        "42501" => state_denied(&schema, &target.user),
        "42P01" | "3F000" => Failure::new(
            Code::StateSchemaMissing,
            format!("the state tables in schema {schema} are gone; they are made again by the next run"),
        ),
        "42703" => Failure::new(
            Code::StateDamaged,
            format!("the tables in schema {schema} are not those of Backflow; give state.schema another name"),
        ),
        state if transient(state) => unavailable(state, target),
        state => Failure::new(
            Code::WarehouseUnavailable,
            format!(
                "the state in schema {schema} could not be read or written (SQLSTATE {state}); see the server's log"
            ),
        ),
    }
}

/// The grants that the state needs.
pub(crate) fn state_denied(schema: &str, user: &str) -> Failure {
    let user = quote(user);
    Failure::new(
        Code::PermissionDenied,
        format!(
            "role {user} may not use the state in schema {schema}; run: GRANT USAGE, CREATE ON SCHEMA {schema} TO {user}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}"
        ),
    )
}

/// Whether an error is of the server's state and not of the statement.
fn transient(state: &str) -> bool {
    matches!(state.get(..2), Some("53" | "57" | "58" | "40" | "55" | "08"))
}

fn unavailable(state: &str, target: &Target) -> Failure {
    let what = match state {
        "57014" => "cancelled the statement: a person did, or statement_timeout is too short for it",
        "40001" | "40P01" => "broke the statement off for another transaction",
        "55P03" => "did not give a lock in time",
        "53100" => "has no disk space left",
        "53200" => "has no memory left",
        "53300" => "has no free connection",
        _ if state.starts_with("57P") => "ended the connection: it restarts, or an administrator did it",
        _ => "is not able to answer now",
    };
    Failure::new(
        Code::WarehouseUnavailable,
        format!("{} {what} (SQLSTATE {state}); it is tried again", target.address()),
    )
}

fn broken(error: &Error, target: &Target) -> Failure {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => Failure::new(
            Code::ConnectionFailed,
            format!("the connection to {} broke; it is tried again", target.address()),
        ),
        _ => Failure::new(
            Code::Internal,
            format!("{} answered in a form that this version does not read; please report it", target.address()),
        ),
    }
}

fn database(error: &Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}

/// What must be granted: the object's name only if the user wrote it, so that nothing but the user's own text is repeated.
fn denied(error: &PgDatabaseError, composed: &Composed, target: &Target) -> String {
    let user = quote(&target.user);
    let words: Vec<&str> = error.message().split(' ').collect();
    match words.as_slice() {
        ["permission", "denied", "for", kind @ ("table" | "view" | "relation"), name] if composed.mentions(name) => {
            format!(
                "role {user} may not read {kind} \"{name}\"; run: GRANT SELECT ON {name} TO {user}, with the schema's name in front"
            )
        }
        ["permission", "denied", "for", "schema", name] if composed.mentions(name) => {
            format!("role {user} may not use schema \"{name}\"; run: GRANT USAGE ON SCHEMA {} TO {user}", quote(name))
        }
        ["permission", "denied", "for", "function", name] if composed.mentions(name) => {
            format!(
                "role {user} may not call function \"{name}\"; run: GRANT EXECUTE ON FUNCTION {name} TO {user}, with its arguments"
            )
        }
        _ => {
            format!("role {user} may not read everything that the SQL names; run: GRANT SELECT ON each table TO {user}")
        }
    }
}

fn named(word: &str) -> String {
    if word.starts_with('"') { word.to_owned() } else { format!("\"{word}\"") }
}

/// What an SQLSTATE means, as a sentence about the user's SQL.
fn reason(state: &str, word: &str) -> String {
    let known = match state {
        "42601" => {
            return if word.is_empty() { "syntax error".into() } else { format!("syntax error at or near{word}") };
        }
        "42883" => {
            return format!(
                "function or operator{word} does not exist for these types; check name, arguments and casts"
            );
        }
        "42702" => return format!("column{word} is ambiguous; write the table's name in front"),
        "42803" => return format!("column{word} must be in GROUP BY or in an aggregate"),
        "42704" => return format!("type or object{word} does not exist"),
        "42P02" => "the SQL has a parameter such as $1; a model has none",
        "42804" | "42846" => "types do not fit; add a cast",
        "42P10" => "a column number in ORDER BY or GROUP BY does not exist",
        "42P18" => "the type of a column cannot be told; add a cast",
        "22012" => "division by zero in some row; guard it with NULLIF",
        "22003" => "a number is out of range in some row; cast to a larger type",
        "22P02" | "22018" => "a text in some row cannot be cast to the wanted type; clean it or drop the cast",
        "22007" | "22008" => "a text in some row is not a date or time; clean it or drop the cast",
        "22021" | "22P05" => "a text in some row cannot be said in UTF-8; convert it",
        "21000" => "a subquery returned more than one row",
        "0A000" => "the SQL uses something that Postgres does not support here, such as INSERT in a WITH",
        "54001" | "54011" | "54023" | "54000" => "the SQL is beyond a limit of the server",
        "P0001" => "a function raised an error",
        _ => match state.get(..2) {
            Some("22") => "a value in some row cannot be computed",
            Some("23") => "a constraint is violated in some row",
            _ => "the SQL failed",
        },
    };
    known.to_owned()
}
