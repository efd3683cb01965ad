//! What a server's error means for the rows of a statement, by its SQLSTATE alone: texts and details of errors quote rows.

use std::time::Duration;

use backflow_core::code::{Code, Failure};
use backflow_core::record::Rejection;
use backflow_postgres::{Connector, Target, broken, database, quote, transient, unavailable};
use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use super::table::Table;
use crate::delivery::Trouble;

/// What an error means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// The content of a row is refused.
    Refused,
    /// It may go better the next time.
    Again(Failure),
    /// It will not, whatever the rows are.
    Stop(Failure),
}

/// What a failed statement means.
pub(super) fn means(error: &Error, table: &Table, target: &Target) -> Means {
    let Some(error) = database(error) else { return Means::Again(renamed(broken(error, target))) };
    let state = error.code();
    let named = table.quoted();
    let stop = |message: String| Means::Stop(Failure::new(Code::DestinationMisconfigured, message));
    match state {
        // A policy of the table's, not a grant; told apart by words that the server does not take from any data.
        "42501" if is_policy(error) => Means::Refused,
        "42501" => stop(format!(
            "role {} may not write to {named}, or not all columns that are mapped; grant what is missing",
            quote(&target.user)
        )),
        "25006" => Means::Again(Failure::new(
            Code::DestinationUnreachable,
            format!("{} only reads: it became a standby; name the primary in settings.host", target.address()),
        )),
        "42P01" | "42703" | "42P10" | "42704" | "42804" | "428C9" => stop(format!(
            "table {named} was changed while rows were written (SQLSTATE {state}); the next run looks at it again"
        )),
        // Two rows of a batch are one to the server; a limit of the server's; a trigger or a function of the user's.
        "21000" | "44000" => Means::Refused,
        _ if matches!(state.get(..2), Some("22" | "23" | "54" | "P0")) => Means::Refused,
        _ if state.starts_with("28") => {
            let message = format!("{} no longer lets user \"{}\" in (SQLSTATE {state})", target.address(), target.user);
            Means::Stop(Failure::new(Code::DestinationUnauthorized, message))
        }
        _ if transient(state) => Means::Again(renamed(unavailable(state, target))),
        _ if state.starts_with("XX") => Means::Again(Failure::new(
            Code::DestinationUnreachable,
            format!("{} had an error of its own (SQLSTATE {state}); see the server's log", target.address()),
        )),
        _ => stop(format!("{} cannot write to {named} (SQLSTATE {state}); see the server's log", target.address())),
    }
}

/// Why a row of its own is refused. `column`: the one at fault, if that was found out.
pub(super) fn rejection(error: &Error, table: &Table, column: Option<&str>) -> Rejection {
    let Some(error) = database(error) else {
        return Rejection::new("REJECTED", column, "the server refuses this row; correct the row or the Mapping");
    };
    let state = error.code();
    // Names that the catalogue knows; a trigger may put anything there.
    let constraint = error.constraint().filter(|name| table.constraints.contains_key(*name));
    let named = error.column().filter(|name| table.position(name).is_some());
    let alone = constraint.and_then(|name| match table.constraints.get(name).map(Vec::as_slice) {
        Some([column]) => Some(column.as_str()),
        _ => None,
    });
    let field = column.or(named).or(alone);
    let by = constraint.map_or_else(String::new, |name| format!(" \"{name}\""));
    let (code, what) = match state {
        "22001" => ("TOO_LONG", "a text is longer than its column takes".to_owned()),
        "22003" => ("NUMBER_OUT_OF_RANGE", "a number is larger than its column takes".to_owned()),
        "22007" | "22008" => ("INVALID_TIME", "a text is not a date or time as Postgres reads it".to_owned()),
        "22P02" | "22018" => ("INVALID_FIELD", "a value is not what the type of its column reads".to_owned()),
        "22021" | "22P05" => ("INVALID_CHARACTER", "a text holds a character that the server cannot store".to_owned()),
        "23502" => ("NULL_NOT_ALLOWED", "a column that takes no NULL has no value".to_owned()),
        "23503" => {
            ("FOREIGN_KEY", format!("foreign key{by} refuses it: the other row is not there, or still needs this one"))
        }
        "23505" => ("NOT_UNIQUE", format!("unique index{by} refuses it: another row has these values")),
        "23514" => ("CHECK_FAILED", format!("check{by} refuses it")),
        "23P01" => ("EXCLUDED", format!("exclusion{by} refuses it: it conflicts with another row")),
        "42501" => ("ROW_SECURITY", "a row-level security policy of the table refuses it".to_owned()),
        "44000" => ("CHECK_FAILED", "the check option of a view refuses it".to_owned()),
        _ => match state.get(..2) {
            Some("22") => ("INVALID_FIELD", "a value cannot be stored".to_owned()),
            Some("54") => ("TOO_LARGE", "a value is larger than the server takes, such as an index entry".to_owned()),
            Some("P0") => ("TRIGGER", "a trigger or function of the table refuses it".to_owned()),
            _ => ("REJECTED", "the server refuses it".to_owned()),
        },
    };
    let at = field.map_or_else(String::new, |field| format!("field {field}: "));
    Rejection::new(code, field, format!("{at}{what} (SQLSTATE {state}); correct the row or the Mapping"))
}

/// Whether a value is at fault, and so its column can be told by casting each alone.
pub(super) fn is_value(error: &Error) -> bool {
    database(error).is_some_and(|error| error.code().starts_with("22"))
}

/// Why something that is asked apart from rows failed.
pub(super) fn trouble(error: &Error, connector: &Connector) -> Trouble {
    let target = &connector.target;
    match database(error) {
        Some(error) if !transient(error.code()) => Trouble::fatal(Failure::new(
            Code::DestinationMisconfigured,
            format!("{} cannot be asked (SQLSTATE {}); see the server's log", target.address(), error.code()),
        )),
        Some(error) => Trouble::unsent(renamed(unavailable(error.code(), target))),
        None => Trouble::unsent(renamed(broken(error, target))),
    }
}

/// Nothing was said in time.
pub(super) fn silent(connector: &Connector, after: Duration) -> Failure {
    let message = format!("{} did not answer within {} s", connector.target.address(), after.as_secs());
    Failure::new(Code::DestinationUnreachable, message)
}

/// A failure of a connection that never came about.
pub(super) fn unconnected(failure: Failure) -> Trouble {
    let failure = renamed(failure);
    // A name may be missing for a moment: a server that is started again, a name service that is.
    let passing = failure.code == Code::DestinationUnreachable;
    if passing { Trouble::unsent(failure) } else { Trouble::fatal(failure) }
}

/// The same failure under the code that it has of a destination.
pub(super) fn renamed(failure: Failure) -> Failure {
    let code = match failure.code {
        Code::HostNotFound | Code::ConnectionFailed | Code::WarehouseUnavailable => Code::DestinationUnreachable,
        Code::AuthenticationFailed => Code::DestinationUnauthorized,
        Code::DatabaseNotFound | Code::PermissionDenied => Code::DestinationMisconfigured,
        other => other,
    };
    Failure { code, ..failure }
}

fn is_policy(error: &PgDatabaseError) -> bool {
    error.message().starts_with("new row violates row-level security policy")
}
