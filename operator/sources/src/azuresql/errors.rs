//! What the server's errors mean, and what cures them.
//!
//! Messages of the server are never passed on: they may quote values of rows. Of them only a name is taken that the user wrote in the SQL.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::AzureSqlCredential;

use super::client::Error;
use super::connect::Connector;
use super::objects::FENCED;
use super::tokens::ServerError;
use super::types::quote;
use crate::rest::compose::Composed;
use crate::stream::{self, Broken};

/// The longest name that is passed on.
const NAME: usize = 128;

/// Another transaction came first: the same again will do.
pub(super) fn is_conflict(error: &ServerError) -> bool {
    // A deadlock, a snapshot in which another wrote, the same in a warehouse of Fabric.
    matches!(error.number, 1205 | 3960 | 24_556)
}

/// There is such an object, schema or row already.
pub(super) fn is_there(error: &ServerError) -> bool {
    matches!(error.number, 2714 | 2759 | 2601 | 2627 | 15_530)
}

/// The claim is not the last one of its state.
pub(super) fn is_fenced(error: &ServerError) -> bool {
    error.number == FENCED
}

/// There is no such table.
pub(super) fn is_gone(error: &ServerError) -> bool {
    matches!(error.number, 208 | 3701)
}

/// A grant is missing.
pub(super) fn is_denied(error: &ServerError) -> bool {
    matches!(error.number, 229 | 230 | 262 | 297 | 300 | 1088 | 2760 | 15_151 | 15_247)
}

/// The server cannot do it now, and will later.
fn passing(number: u32) -> Option<&'static str> {
    Some(match number {
        1205 => "broke the statement off for another transaction",
        1222 => "did not give a lock in time",
        3960 | 24_556 => "broke the statement off, because another transaction wrote what it read",
        596 | 6005 => "ended the session: a person did, or it is stopping",
        701 | 802 | 8645 | 8651 | 8628 => "has no memory left",
        1105 | 9002 | 40_544 => "has no space left: raise the limit of the database, or free some",
        10_928 | 10_929 => "has reached a limit of its service tier: scale it up, or run fewer queries at once",
        18_401 | 40_613 | 42_109 => "is starting, resuming or moving",
        42_108 => "is paused: resume the SQL pool",
        40_197 | 40_143 | 40_166 | 40_540 | 40_020 => "had an error of its own",
        40_501 | 49_918..=49_920 => "has too much to do",
        40_549..=40_553 => "ended the session, because it used too much of what others share",
        978 | 979 | 983 => "is a replica that takes no connections now",
        _ => return None,
    })
}

impl ServerError {
    /// The first text in quotes, if the user wrote it.
    fn named(&self, composed: &Composed) -> Option<&str> {
        let name = self.message.split('\'').nth(1)?;
        let last = name.rsplit('.').next()?;
        let own = !last.is_empty() && name.len() <= NAME && composed.sql.contains(last);
        own.then_some(name)
    }
}

/// Why no connection came about.
pub(super) fn connect(error: &Error, connector: &Connector) -> Failure {
    let peer = &connector.peer;
    let (code, sentence) = match error {
        Error::Server(error) => return refused(error, connector),
        Error::NoTls => (Code::TlsFailed, peer.not_offered()),
        Error::NeedsTls => (
            Code::TlsFailed,
            format!("{} lets nobody in unencrypted, and tls.mode is Disable; set another one", peer.address),
        ),
        Error::Broken(Broken::Io(error)) => peer.no_connection(error),
        Error::Broken(_) => (
            Code::ConnectionFailed,
            format!("{} did not answer as a SQL server does; check host and port", peer.address),
        ),
    };
    Failure::new(code, sentence)
}

fn refused(error: &ServerError, connector: &Connector) -> Failure {
    let (address, user) = (&connector.peer.address, connector.user());
    let database = &connector.plan.database;
    let (code, sentence) = match (error.number, &connector.plan.credential) {
        // The state says more, but to the server's log alone: a client is told 1.
        (18_456 | 18_452, AzureSqlCredential::Login { .. }) => (
            Code::AuthenticationFailed,
            format!(
                "{address} refuses {user}; check user and password, that the login has a user in database \"{database}\", and that the \
                 server takes SQL logins (a Fabric warehouse takes Entra alone)"
            ),
        ),
        (18_456 | 18_452, AzureSqlCredential::Entra { .. }) => (
            Code::AuthenticationFailed,
            format!(
                "{address} refuses {user}; run in database \"{database}\": CREATE USER [name of the application] FROM EXTERNAL PROVIDER, and \
                 in Fabric give it access to the workspace"
            ),
        ),
        (18_470, _) => (Code::AuthenticationFailed, format!("{user} of {address} is disabled; enable the login")),
        (18_486, _) => (Code::AuthenticationFailed, format!("{user} of {address} is locked out; unlock the login")),
        (18_487 | 18_488, _) => {
            (Code::AuthenticationFailed, format!("the password of {user} of {address} has expired; set it anew"))
        }
        (40_532, _) => (
            Code::AuthenticationFailed,
            format!("{address} is not the server that the login names; write user without @server, and check host"),
        ),
        (4060 | 911, _) => (
            Code::DatabaseNotFound,
            format!(
                "{address} opens no database \"{database}\" for {user}; check database, and that the user is in it"
            ),
        ),
        (916, _) => (
            Code::PermissionDenied,
            format!("{user} has no user in database \"{database}\"; run there: CREATE USER … FOR LOGIN …"),
        ),
        (40_615 | 40_914, _) => (
            Code::ConnectionFailed,
            format!(
                "the firewall of {address} lets nobody in from this address; add the cluster's outgoing address (or its virtual network) \
                 under Networking of the server"
            ),
        ),
        (47_073, _) => (
            Code::ConnectionFailed,
            format!("{address} takes no connections from public networks; reach it by its private endpoint"),
        ),
        _ => return unavailable(error, connector),
    };
    Failure::new(code, sentence)
}

/// Why a statement with the user's SQL failed.
pub(super) fn query(error: &Error, model: &str, composed: &Composed, user: &str, connector: &Connector) -> Failure {
    let Error::Server(error) = error else { return broken(error, connector) };
    let number = error.number;
    if passing(number).is_some() {
        return unavailable(error, connector);
    }
    let at = composed.place(error.line).map_or_else(String::new, |place| format!(" ({place})"));
    let name = error.named(composed).map_or_else(String::new, |name| format!(" {name}"));
    let (code, sentence) = match number {
        208 => (
            Code::TableNotFound,
            format!("table or view{name} does not exist{at}; check its name and schema, and in a case-sensitive database its letters' case"),
        ),
        207 => (Code::ColumnNotFound, format!("column{name} does not exist{at}; check its name")),
        8156 => (Code::DuplicateColumn, format!("two columns are named{name}; rename one with AS")),
        3952 => (
            Code::SqlError,
            "the SQL reads another database, which allows no snapshots; run there: ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON"
                .to_owned(),
        ),
        229 | 230 => (Code::PermissionDenied, denied(error, composed, user)),
        916 => (
            Code::PermissionDenied,
            format!("user {} may not use another database that the SQL names; create the user there", quote(user)),
        ),
        _ if is_denied(error) => (
            Code::PermissionDenied,
            format!("user {0} may not do what the SQL asks{at} (error {number}); run: GRANT SELECT ON each table TO {0}", quote(user)),
        ),
        _ => (Code::SqlError, format!("{}{at} (error {number})", reason(number))),
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// What must be granted: the object's name only if the user wrote it.
fn denied(error: &ServerError, composed: &Composed, user: &str) -> String {
    let user = quote(user);
    // `The SELECT permission was denied on the object 'orders', database 'shop', schema 'dbo'.`
    let after =
        |what: &str| error.message.rsplit_once(&format!("{what} '")).and_then(|(_, rest)| rest.split('\'').next());
    match after("object").zip(after("schema")) {
        Some((object, schema)) if object.len() <= NAME && schema.len() <= NAME && composed.sql.contains(object) => {
            let table = format!("{}.{}", quote(schema), quote(object));
            format!("user {user} may not read {table}; run: GRANT SELECT ON {table} TO {user}")
        }
        _ => {
            format!("user {user} may not read everything that the SQL names; run: GRANT SELECT ON each table TO {user}")
        }
    }
}

/// What an error means, as a sentence about the user's SQL.
fn reason(number: u32) -> &'static str {
    match number {
        102 | 105 | 156 | 170 | 319 => "syntax error",
        1033 => "ORDER BY stands in the model, whose rows have no order; remove it",
        8155 => "a column has no name; write AS behind it",
        195 | 4121 => "a function does not exist; check its name, and write the schema before one of your own",
        209 => "a column's name means two things; write the table's name in front",
        8120 | 8121 => "a column must be in GROUP BY or in an aggregate",
        205 => "the SELECTs of a UNION have different numbers of columns",
        512 => "a subquery returned more than one row",
        8134 => "division by zero in some row; guard it with NULLIF",
        220 | 232 | 8115 => "a number is out of range in some row; cast to a larger type",
        241 | 242 | 245 | 248 | 8114 | 8169 => "a value in some row cannot be read as the wanted type; use TRY_CONVERT",
        537 => "a length is negative in some row; guard it with CASE",
        468 => "texts of different collations are compared; add COLLATE",
        137 => "a variable has no value; a model has none, write the value itself",
        41_332 => {
            "a memory-optimized table is not read in a snapshot; set ALLOW_SNAPSHOT_ISOLATION of the database to OFF"
        }
        13_609..=13_611 => "a text in some row is no JSON; guard it with ISJSON",
        _ => "the SQL failed; try it with sqlcmd",
    }
}

/// Why a statement of our own over the state failed.
pub(super) fn state(error: &ServerError, schema: &str, user: &str, connector: &Connector) -> Failure {
    match error.number {
        208 => Failure::new(
            Code::StateSchemaMissing,
            format!("the table of the state in schema {schema} is gone; it is made again by the next run"),
        ),
        207 | 213 => Failure::new(
            Code::StateDamaged,
            format!("the tables in schema {schema} are not those of Backflow; give state.schema another name"),
        ),
        3906 | 3908 => Failure::new(
            Code::PermissionDenied,
            format!(
                "{} only reads (a replica, or a read-only database), so it cannot keep the state; keep it outside: state.store",
                connector.peer.address
            ),
        ),
        _ if is_denied(error) => state_denied(schema, user),
        number if passing(number).is_some() => unavailable(error, connector),
        number => Failure::new(
            Code::WarehouseUnavailable,
            format!("the state in schema {schema} could not be read or written (error {number}); see the server's log"),
        ),
    }
}

fn grants(schema: &str, user: &str) -> String {
    let user = quote(user);
    format!("GRANT CREATE TABLE TO {user}; GRANT ALTER, SELECT, INSERT, UPDATE, DELETE ON SCHEMA::{schema} TO {user}")
}

/// The grants that the state needs.
pub(super) fn state_denied(schema: &str, user: &str) -> Failure {
    let message =
        format!("user {} may not use the state in schema {schema}; run: {}", quote(user), grants(schema, user));
    Failure::new(Code::PermissionDenied, message)
}

/// There is no such schema, and the user may not make it.
pub(super) fn schema_missing(schema: &str, user: &str) -> Failure {
    let message = format!(
        "the schema {schema} of the state does not exist, and user {} may not create it; run: CREATE SCHEMA {schema}, and then: {}",
        quote(user),
        grants(schema, user)
    );
    Failure::new(Code::StateSchemaMissing, message)
}

fn unavailable(error: &ServerError, connector: &Connector) -> Failure {
    let (address, number) = (&connector.peer.address, error.number);
    match passing(number) {
        Some(what) => {
            Failure::new(Code::WarehouseUnavailable, format!("{address} {what} (error {number}); it is tried again"))
        }
        None => Failure::new(
            Code::ConnectionFailed,
            format!("{address} refuses the connection (error {number}, state {}); see the server's log", error.state),
        ),
    }
}

/// The connection, and no statement.
pub(super) fn broken(error: &Error, connector: &Connector) -> Failure {
    let address = &connector.peer.address;
    match error {
        Error::Broken(broken) => broken.failure(address, "16 MiB"),
        _ => stream::lost(address),
    }
}
