//! From the driver's errors to codes and sentences of our own. The server's text is never passed on: it may quote a row.

use backflow_core::code::{Code, Failure};
use backflow_postgres::{Target, broken, database, quote, transient, unavailable};
use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::compose::Composed;

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
