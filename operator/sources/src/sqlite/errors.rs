//! From SQLite's errors to codes and sentences of our own.

use backflow_core::code::{Code, Failure};
use sqlx::Error;

/// Why the file cannot be used.
pub(crate) fn file(error: &Error, path: &str) -> Failure {
    primary(error).and_then(|code| of_file(code, path)).unwrap_or_else(|| {
        Failure::new(
            Code::ConnectionFailed,
            format!("the SQLite file {path} could not be used; check the file and its folder"),
        )
    })
}

/// Why a statement of our own over the state failed.
pub(crate) fn state(error: &Error, path: &str) -> Failure {
    if error.as_database_error().is_some_and(|error| error.message().starts_with("no such table: ")) {
        return Failure::new(
            Code::StateSchemaMissing,
            format!("the SQLite file {path} has no tables of the state; the next run makes them"),
        );
    }
    file(error, path)
}

/// Why a statement with the user's SQL failed.
pub(crate) fn query(error: &Error, model: &str, path: &str) -> Failure {
    if let Some(failure) = primary(error).and_then(|code| of_file(code, path)) {
        return failure;
    }
    let Some(database) = error.as_database_error() else {
        return Failure::new(
            Code::Internal,
            format!("model \"{model}\": the SQLite driver failed on file {path}; please report it"),
        );
    };
    // These messages are made of the SQL's own words; all others may hold values.
    let message = database.message();
    let (code, sentence) = if let Some(name) = message.strip_prefix("no such table: ") {
        (Code::TableNotFound, format!("table \"{name}\" does not exist; check its name"))
    } else if let Some(name) = message.strip_prefix("no such column: ") {
        let name = name.split(" - ").next().unwrap_or(name);
        (Code::ColumnNotFound, format!("column \"{name}\" does not exist; check its name"))
    } else if let Some(name) = message.strip_prefix("ambiguous column name: ") {
        (Code::SqlError, format!("column \"{name}\" is ambiguous; write the table's name in front"))
    } else if let Some(name) = message.strip_prefix("no such function: ") {
        (Code::SqlError, format!("function \"{name}\" does not exist"))
    } else if let Some(near) = message.strip_prefix("near ").and_then(|rest| rest.strip_suffix(": syntax error")) {
        let near = if near.contains('\'') || near.len() > 64 { String::new() } else { format!(" near {near}") };
        (Code::SqlError, format!("syntax error{near}"))
    } else {
        (Code::SqlError, "the SQL failed; try it with the sqlite3 command".to_owned())
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

fn of_file(primary: i32, path: &str) -> Option<Failure> {
    let (code, sentence) = match primary {
        3 | 23 => (Code::PermissionDenied, "may not be read; check its permissions"),
        8 => (
            Code::PermissionDenied,
            "may not be written, and the state is kept in it; check the permissions of file and folder",
        ),
        14 => (Code::PermissionDenied, "cannot be opened; check the permissions of file and folder"),
        5 | 6 => (Code::WarehouseUnavailable, "is locked by another program; close it, or try again"),
        9 => (Code::WarehouseUnavailable, "is no longer read: the statement was interrupted"),
        10 => (Code::WarehouseUnavailable, "cannot be read or written by the system; check the disk"),
        13 => (Code::WarehouseUnavailable, "cannot grow: the disk is full"),
        7 => (Code::WarehouseUnavailable, "needs more memory than there is"),
        11 => (Code::ConnectionFailed, "is damaged; restore it"),
        26 => (Code::DatabaseNotFound, "is not a SQLite database; check sqlite.path"),
        _ => return None,
    };
    Some(Failure::new(code, format!("the SQLite file {path} {sentence}")))
}

/// The primary result code: extended ones hold it in their low byte.
fn primary(error: &Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
