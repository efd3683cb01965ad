//! From ClickHouse's exceptions to codes and sentences of our own. The server's words are searched for names that the user wrote himself;
//! everything else in them may be data.

use backflow_core::code::{Code, Failure};

use super::api::Api;
use super::types::quote;
use crate::rest::compose::Composed;
use crate::rest::running;

/// The longest name of the user's that is repeated.
const NAME: usize = 200;

/// An exception of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlError {
    pub(super) code: u32,
    /// Never passed on.
    pub(super) message: String,
}

/// Why a statement has no result.
pub(super) type Failed = running::Failed<SqlError>;

impl SqlError {
    /// A database or table is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.code, 60 | 81)
    }

    /// The user lacks a grant.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self.code, 291 | 497)
    }

    /// The server does not know such a statement: it is older than it.
    pub(super) fn is_syntax(&self) -> bool {
        self.code == 62
    }

    /// Of the server's state and not of the statement.
    fn is_passing(&self) -> bool {
        // Too many queries, timeouts, network, memory, Keeper, read-only replicas, disks, restarts.
        matches!(
            self.code,
            3 | 32
                | 159
                | 160
                | 202
                | 203
                | 209
                | 210
                | 225
                | 236
                | 241
                | 242
                | 243
                | 252
                | 279
                | 285
                | 319
                | 394
                | 439
                | 599
                | 723
                | 745
                | 999
        )
    }

    /// The line that the message names: `(line 3, col 8)`.
    fn line(&self) -> Option<usize> {
        let rest = &self.message[self.message.find("(line ")? + "(line ".len()..];
        rest.split(',').next()?.parse().ok()
    }

    /// The first name in the message that stands in quotes or before a blank behind one of `marks`, if the user wrote it.
    fn named<'a>(&'a self, marks: &[&str], composed: &Composed) -> Option<&'a str> {
        marks.iter().find_map(|mark| {
            let rest = &self.message[self.message.find(mark)? + mark.len()..];
            let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '`' | '"'));
            let name = match quote {
                Some(quote) => rest[1..].split(quote).next()?,
                None => rest.split([' ', '.', ',', '\n']).next()?,
            };
            let own = !name.is_empty() && name.len() <= NAME && composed.sql.contains(name);
            own.then_some(name)
        })
    }
}

/// Why no connection came about, or a read could not be prepared.
pub(super) fn connect(error: &SqlError, api: &Api) -> Failure {
    let (name, user) = (&api.service.name, &api.plan.user);
    let (code, sentence) = match error.code {
        81 => (
            Code::DatabaseNotFound,
            format!("{name} has no database \"{}\"; check database, its letters' case too", api.plan.database),
        ),
        _ if error.is_denied() => (
            Code::PermissionDenied,
            format!(
                "user \"{user}\" of {name} may not use database \"{}\"; run: GRANT SELECT ON {}.* TO {}",
                api.plan.database,
                quote(&api.plan.database),
                quote(user)
            ),
        ),
        _ => match of_server(error, api) {
            Some(failure) => return failure,
            None => (
                Code::ConnectionFailed,
                format!("{name} does not answer a first question (exception {}); see the server's log", error.code),
            ),
        },
    };
    Failure::new(code, sentence)
}

/// What holds for every statement: the user, the profile, the server.
fn of_server(error: &SqlError, api: &Api) -> Option<Failure> {
    let (name, user) = (&api.service.name, &api.plan.user);
    let (code, sentence) = match error.code {
        192..=194 | 516 if api.plan.password.is_some() => (
            Code::AuthenticationFailed,
            format!("{name} refuses the password of user \"{user}\"; check user and password"),
        ),
        192..=194 | 516 => (
            Code::AuthenticationFailed,
            format!("{name} asks for a password of user \"{user}\", and the Source has none; set password"),
        ),
        195 => (
            Code::AuthenticationFailed,
            format!("{name} does not let user \"{user}\" in from this address; check the user's HOST clause"),
        ),
        164 if error.message.contains("Cannot modify") => (
            Code::PermissionDenied,
            format!(
                "user \"{user}\" of {name} may not choose the formats that rows are read in, because its profile says readonly = 1; run: ALTER USER {} \
                 SETTINGS readonly = 2",
                quote(user)
            ),
        ),
        452 => (
            Code::PermissionDenied,
            format!(
                "the constraints of user \"{user}\" of {name} forbid a setting that a read needs, such as max_execution_time; widen them"
            ),
        ),
        115 => (
            Code::ConnectionFailed,
            format!("{name} does not know a setting that a read needs; Backflow needs ClickHouse 23.8 or newer"),
        ),
        201 => {
            (Code::WarehouseUnavailable, format!("a quota of user \"{user}\" of {name} is used up; it is tried again"))
        }
        _ if error.is_passing() => {
            let what = match error.code {
                159 | 160 => "ended the query, because it took longer than allowed",
                241 => "has not enough memory for the query",
                243 => "has no disk space left",
                394 => "killed the query: a person did",
                202 | 203 => "runs too many queries",
                242 => "has a replica that only reads",
                _ => "is not able to answer now",
            };
            (Code::WarehouseUnavailable, format!("{name} {what} (exception {}); it is tried again", error.code))
        }
        _ => return None,
    };
    Some(Failure::new(code, sentence))
}

/// Why a statement with the user's SQL failed.
pub(super) fn query(error: &SqlError, model: &str, composed: &Composed, api: &Api) -> Failure {
    if let Some(failure) = of_server(error, api) {
        return failure;
    }
    let place = error.line().and_then(|line| composed.place(line));
    let at = place.map_or_else(String::new, |place| format!(" ({place})"));
    let shown = |name: Option<&str>| name.map_or_else(String::new, |name| format!(" {name}"));
    let (code, sentence) = match error.code {
        60 => {
            let name = error.named(&["table expression identifier ", "Table ", "table "], composed);
            (
                Code::TableNotFound,
                format!("table{} does not exist{at}; check its name and database, its letters' case too", shown(name)),
            )
        }
        81 => {
            let name = error.named(&["Database "], composed);
            (
                Code::TableNotFound,
                format!("database{} does not exist{at}; check its name, its letters' case too", shown(name)),
            )
        }
        10 | 16 | 47 => {
            let name = error.named(
                &[
                    "function identifier ",
                    "expression identifier ",
                    "Unknown identifier: ",
                    "Missing columns: ",
                    "Identifier ",
                ],
                composed,
            );
            (
                Code::ColumnNotFound,
                format!("column{} does not exist{at}; check its name, its letters' case too", shown(name)),
            )
        }
        164 => (Code::SqlError, "the SQL would write; a model only reads".to_owned()),
        _ if error.is_denied() => (Code::PermissionDenied, denied(error, composed, api)),
        code => (Code::SqlError, format!("{}{at} (exception {code})", reason(code))),
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// What must be granted: the object's name only if the user wrote it.
fn denied(error: &SqlError, composed: &Composed, api: &Api) -> String {
    let user = quote(&api.plan.user);
    // `… it's necessary to have the grant SELECT(id, name) ON shop.customers`
    let object = error.message.split_once("the grant ").and_then(|(_, grant)| grant.split_once(" ON "));
    let object =
        object.and_then(|(_, object)| object.split([' ', ',', '\n']).next()).map(|object| object.trim_end_matches('.'));
    let own = |object: &&str| {
        let parts = object.split_once('.');
        parts.is_some_and(|(database, table)| {
            composed.sql.contains(table) && (composed.sql.contains(database) || database == api.plan.database)
        })
    };
    match object.filter(own) {
        Some(object) => format!("user {user} may not read {object}; run: GRANT SELECT ON {object} TO {user}"),
        None => {
            format!("user {user} may not read everything that the SQL names; run: GRANT SELECT ON each table TO {user}")
        }
    }
}

/// What an exception means, as a sentence about the user's SQL.
fn reason(code: u32) -> &'static str {
    match code {
        62 => "syntax error",
        46 => "a function does not exist; check its name and its letters' case",
        42 | 43 | 53 | 386 => "types or arguments do not fit; add a cast",
        6 | 27 | 38 | 41 | 72 | 675 | 676 => {
            "a text in some row cannot be read as the wanted type; use a function that ends in OrNull"
        }
        69 | 407 => "a number is out of range in some row; cast to a larger type",
        153 => "division by zero in some row; guard it with nullIf",
        125 => "a subquery returned more than one row",
        179 | 207 | 352 => "a name means two things; write the table's name in front",
        184 | 215 => "a column must be in GROUP BY or in an aggregate",
        456 => "the SQL has a parameter such as {name:Type}; a model has none, write the value itself",
        158 | 191 | 396 => "the SQL reads more than a limit of the user's profile allows",
        _ => "the SQL failed; try it with clickhouse-client",
    }
}

/// Why a statement of our own over the state failed.
pub(super) fn state(error: &SqlError, schema: &str, api: &Api) -> Failure {
    let quoted = quote(schema);
    if error.is_missing() {
        let message = format!("the table of the state in database {quoted} is gone; it is made again by the next run");
        return Failure::new(Code::StateSchemaMissing, message);
    }
    if error.is_denied() {
        return state_denied(schema, api);
    }
    if matches!(error.code, 10 | 16 | 47) {
        let message = format!("the table in database {quoted} is not that of Backflow; give state.schema another name");
        return Failure::new(Code::StateDamaged, message);
    }
    if error.code == 164 {
        let (user, name) = (quote(&api.plan.user), &api.service.name);
        let message = format!(
            "user {user} of {name} only reads (its profile says readonly), so it cannot keep the state; run: ALTER USER {user} SETTINGS readonly = 0, or \
             keep the state elsewhere with state.store"
        );
        return Failure::new(Code::PermissionDenied, message);
    }
    of_server(error, api).unwrap_or_else(|| {
        let code = error.code;
        Failure::new(
            Code::WarehouseUnavailable,
            format!(
                "the state in database {quoted} could not be read or written (exception {code}); see the server's log"
            ),
        )
    })
}

/// The grants that the state needs.
pub(super) fn state_denied(schema: &str, api: &Api) -> Failure {
    let (schema, user) = (quote(schema), quote(&api.plan.user));
    Failure::new(
        Code::PermissionDenied,
        format!(
            "user {user} may not use the state in database {schema}; run: GRANT SHOW TABLES, CREATE TABLE, SELECT, INSERT, ALTER DELETE ON {schema}.* TO {user}"
        ),
    )
}

/// There is no such database, and the user may not make it.
pub(super) fn schema_missing(schema: &str, api: &Api) -> Failure {
    let (schema, user) = (quote(schema), quote(&api.plan.user));
    Failure::new(
        Code::StateSchemaMissing,
        format!(
            "the database {schema} of the state does not exist, and user {user} may not create it; run: CREATE DATABASE {schema}; GRANT SHOW TABLES, \
             CREATE TABLE, SELECT, INSERT, ALTER DELETE ON {schema}.* TO {user}"
        ),
    )
}
