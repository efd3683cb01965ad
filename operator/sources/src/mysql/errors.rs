//! From the server's errors to codes and sentences of our own. Its words are searched for names that the user wrote himself; everything
//! else in them may be data.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::TlsMode;

use super::client::{Error, ServerError};
use super::connect::Connector;
use super::types::quote;
use crate::rest::compose::Composed;
use crate::stream::{self, Broken};

/// The longest name of the user's that is repeated.
const NAME: usize = 200;

impl ServerError {
    /// A database or table is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.code, 1049 | 1146)
    }

    /// The user lacks a grant.
    pub(super) fn is_denied(&self) -> bool {
        matches!(self.code, 1044 | 1142 | 1143 | 1227 | 1370)
    }

    /// There is a row of this key.
    pub(super) fn is_duplicate(&self) -> bool {
        self.code == 1062
    }

    /// Another transaction came before.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self.code, 1205 | 1213)
    }

    /// Of the server's state and not of the statement.
    fn is_passing(&self) -> bool {
        // Connections, locks, kills, limits of time, shutdown, network, disks, Galera.
        matches!(
            self.code,
            1021 | 1037 | 1038 | 1040 | 1041 | 1047 | 1053 | 1077 | 1078 | 1079 | 1152
                ..=1161
                    | 1180
                    | 1184
                    | 1203
                    | 1205
                    | 1206
                    | 1213
                    | 1226
                    | 1317
                    | 1637
                    | 1927
                    | 1969
                    | 3024
                    | 3032
                    | 4031
        )
    }

    /// The line that the message names: `near '…' at line 3`.
    fn line(&self) -> Option<usize> {
        let (_, rest) = self.message.rsplit_once(" at line ")?;
        rest.trim().parse().ok()
    }

    /// The first text in quotes, if the user wrote it: a name, with what stands before it.
    fn named<'a>(&'a self, composed: &Composed) -> Option<&'a str> {
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
        Error::Method(plugin) => {
            let plugin: String = plugin.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
            let user = &connector.plan.user;
            let cure = if plugin == "mysql_clear_password" {
                "it sends the password as it is, and needs tls.mode Require or better".to_owned()
            } else {
                format!(
                    "run: ALTER USER {} IDENTIFIED BY …, with mysql_native_password or caching_sha2_password",
                    account(user)
                )
            };
            let message =
                format!("user \"{user}\" of {} logs in by {plugin}, which cannot be used here; {cure}", peer.address);
            (Code::AuthenticationFailed, message)
        }
        Error::Broken(Broken::Io(error)) => peer.no_connection(error),
        Error::Broken(_) => (
            Code::ConnectionFailed,
            format!("{} did not answer as a MySQL server does; check host and port", peer.address),
        ),
    };
    Failure::new(code, sentence)
}

/// A user as SQL names him, from wherever he comes.
fn account(user: &str) -> String {
    format!("{}@'%'", quote(user))
}

fn refused(error: &ServerError, connector: &Connector) -> Failure {
    let (address, user, database) = (&connector.peer.address, &connector.plan.user, &connector.plan.database);
    let (code, sentence) = match error.code {
        1045 | 1698 if connector.plan.password.is_some() => (
            Code::AuthenticationFailed,
            format!(
                "{address} refuses the password of user \"{user}\"; check user and password, from which hosts the user may come{}",
                demanded(connector)
            ),
        ),
        1045 | 1698 => (
            Code::AuthenticationFailed,
            format!("{address} asks for a password of user \"{user}\", and the Source has none; set password"),
        ),
        1044 => (
            Code::PermissionDenied,
            format!(
                "user \"{user}\" may not use database \"{database}\"; run: GRANT SELECT ON {}.* TO {}",
                quote(database),
                account(user)
            ),
        ),
        1049 => (
            Code::DatabaseNotFound,
            format!("{address} has no database \"{database}\"; check database, its letters' case too"),
        ),
        1130 => (
            Code::AuthenticationFailed,
            format!("{address} lets nobody in from this address; create the user as {}", account(user)),
        ),
        1251 => (
            Code::AuthenticationFailed,
            format!(
                "user \"{user}\" of {address} logs in by a method that cannot be used here; give it mysql_native_password or caching_sha2_password"
            ),
        ),
        1820 | 1862 => (
            Code::AuthenticationFailed,
            format!("the password of user \"{user}\" of {address} has expired; set it anew"),
        ),
        3118 | 4151 => (
            Code::AuthenticationFailed,
            format!("user \"{user}\" of {address} is locked; run: ALTER USER {} ACCOUNT UNLOCK", account(user)),
        ),
        3159 if connector.plan.tls.mode == TlsMode::Disable => {
            (Code::AuthenticationFailed, format!("{address} lets nobody in unencrypted; set tls.mode"))
        }
        1129 => (
            Code::WarehouseUnavailable,
            format!("{address} has blocked this address after many broken connections; run: FLUSH HOSTS"),
        ),
        1040 | 1203 | 1226 => (
            Code::WarehouseUnavailable,
            format!(
                "{address} has no free connection; raise max_connections or the user's limit, or lower maxConcurrentSyncs"
            ),
        ),
        1193 => (
            Code::ConnectionFailed,
            format!(
                "{address} does not know a setting of a session that is needed; Backflow needs MySQL 5.7.8, MariaDB 10.2 or newer"
            ),
        ),
        _ => return unavailable(error, connector),
    };
    Failure::new(code, sentence)
}

/// What else a server may demand, which answers alike to a wrong password and to a connection that is not as it must be.
fn demanded(connector: &Connector) -> &'static str {
    match (connector.plan.tls.mode, connector.peer.has_certificate) {
        (TlsMode::Disable, _) => ", and whether the user must come with TLS (REQUIRE SSL): then set tls.mode",
        (_, false) => ", and whether the user must show a certificate (REQUIRE X509): then set tls.clientCertificate",
        (_, true) => ", and whether the client certificate is the one that the user must show",
    }
}

/// Why a statement with the user's SQL failed.
pub(super) fn query(error: &Error, model: &str, composed: &Composed, connector: &Connector) -> Failure {
    let Error::Server(error) = error else { return broken(error, connector) };
    if error.is_passing() {
        return unavailable(error, connector);
    }
    let place = error.line().and_then(|line| composed.place(line));
    let at = place.map_or_else(String::new, |place| format!(" ({place})"));
    let name = error.named(composed).map_or_else(String::new, |name| format!(" {name}"));
    let code = error.code;
    let (code, sentence) = match code {
        1146 => (
            Code::TableNotFound,
            format!("table{name} does not exist; check its name and database, its letters' case too"),
        ),
        1049 => (Code::TableNotFound, format!("database{name} does not exist; check its name, its letters' case too")),
        1054 => (Code::ColumnNotFound, format!("column{name} does not exist; check its name")),
        1060 => (Code::DuplicateColumn, format!("two columns are named{name}; rename one with AS")),
        1792 | 1290 | 1836 => (Code::SqlError, "the SQL would write; a model only reads".to_owned()),
        _ if error.is_denied() => (Code::PermissionDenied, denied(error, composed, connector)),
        code => (Code::SqlError, format!("{}{at} (error {code})", reason(code))),
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// What must be granted: the object's name only if the user wrote it.
fn denied(error: &ServerError, composed: &Composed, connector: &Connector) -> String {
    let user = account(&connector.plan.user);
    // A server does not tell who may not call a function whether there is one.
    if error.code == 1370 {
        let routine = error.message.rsplit_once(" for routine '").map(|(_, name)| name.trim_end_matches('\''));
        let own = |name: &&str| name.rsplit('.').next().is_some_and(|last| composed.sql.contains(last));
        let name = routine.filter(own).map_or_else(String::new, |name| format!(" {name}"));
        return format!(
            "function{name} does not exist, or user {user} may not call it; check its name, or run: GRANT EXECUTE ON FUNCTION{name} TO {user}"
        );
    }
    // `SELECT command denied to user 'a'@'b' for table `shop`.`orders``, and without the database before MariaDB 10.6.
    let table = error.message.rsplit_once(" for table ").map(|(_, table)| table.trim().replace(['`', '\''], ""));
    let own = |table: &String| {
        let (database, name) = table.rsplit_once('.').unwrap_or((&connector.plan.database, table));
        composed.sql.contains(name) && (composed.sql.contains(database) || database == connector.plan.database)
    };
    match table.filter(own) {
        Some(table) => {
            let (database, name) = table.rsplit_once('.').unwrap_or((&connector.plan.database, &table));
            let table = format!("{}.{}", quote(database), quote(name));
            format!("user {user} may not read {table}; run: GRANT SELECT ON {table} TO {user}")
        }
        None => {
            format!("user {user} may not read everything that the SQL names; run: GRANT SELECT ON each table TO {user}")
        }
    }
}

/// What an error means, as a sentence about the user's SQL.
fn reason(code: u16) -> &'static str {
    match code {
        1064 | 1149 => "syntax error",
        1305 | 1630 => "a function does not exist; check its name",
        1052 => "a column's name means two things; write the table's name in front",
        1055 | 1056 | 1140 => "a column must be in GROUP BY or in an aggregate",
        1222 => "the SELECTs of a UNION have different numbers of columns",
        1241 | 1242 => "a subquery returned more than one row or column",
        1248 => "a subquery in FROM needs a name: write AS behind it",
        1365 => "division by zero in some row; guard it with NULLIF",
        1264 | 1690 => "a number is out of range in some row; cast to a larger type",
        1292 | 1366 | 1411 => "a value in some row cannot be read as the wanted type",
        1267 | 1270 | 1271 => "texts of different collations are compared; add COLLATE",
        1104 => "the SQL reads more than max_join_size allows",
        3140..=3157 => "a text in some row is no JSON",
        _ => "the SQL failed; try it with the mysql client",
    }
}

/// Why a statement of our own over the state failed.
pub(super) fn state(error: &Error, schema: &str, connector: &Connector) -> Failure {
    let Error::Server(error) = error else { return broken(error, connector) };
    let quoted = quote(schema);
    match error.code {
        _ if error.is_missing() => Failure::new(
            Code::StateSchemaMissing,
            format!("the table of the state in database {quoted} is gone; it is made again by the next run"),
        ),
        _ if error.is_denied() => state_denied(schema, connector),
        1054 | 1136 => Failure::new(
            Code::StateDamaged,
            format!("the tables in database {quoted} are not those of Backflow; give state.schema another name"),
        ),
        1290 | 1836 => Failure::new(
            Code::PermissionDenied,
            format!(
                "{} only reads (a replica, or read_only), so it cannot keep the state; connect to the primary",
                connector.peer.address
            ),
        ),
        1153 => Failure::new(
            Code::PermissionDenied,
            format!(
                "max_allowed_packet of {} is too small for the state; set it to 4M or more",
                connector.peer.address
            ),
        ),
        _ if error.is_passing() => unavailable(error, connector),
        code => Failure::new(
            Code::WarehouseUnavailable,
            format!("the state in database {quoted} could not be read or written (error {code}); see the server's log"),
        ),
    }
}

/// The grants that the state needs.
pub(super) fn state_denied(schema: &str, connector: &Connector) -> Failure {
    let (schema, user) = (quote(schema), account(&connector.plan.user));
    let message = format!(
        "user {user} may not use the state in database {schema}; run: GRANT CREATE, SELECT, INSERT, DELETE ON {schema}.* TO {user}"
    );
    Failure::new(Code::PermissionDenied, message)
}

/// There is no such database, and the user may not make it.
pub(super) fn schema_missing(schema: &str, connector: &Connector) -> Failure {
    let (schema, user) = (quote(schema), account(&connector.plan.user));
    let message = format!(
        "the database {schema} of the state does not exist, and user {user} may not create it; run: CREATE DATABASE {schema}; GRANT CREATE, SELECT, \
         INSERT, DELETE ON {schema}.* TO {user}"
    );
    Failure::new(Code::StateSchemaMissing, message)
}

fn unavailable(error: &ServerError, connector: &Connector) -> Failure {
    let address = &connector.peer.address;
    if !error.is_passing() {
        let message = format!("{address} refuses the connection (error {}); see the server's log", error.code);
        return Failure::new(Code::ConnectionFailed, message);
    }
    let what = match error.code {
        1317 | 1927 => "killed the query: a person did",
        1969 | 3024 => "ended the query, because it took longer than allowed",
        1205 => "did not give a lock in time",
        1213 => "broke the statement off for another transaction",
        1021 => "has no disk space left",
        1037 | 1038 | 1041 => "has no memory left",
        1040 | 1203 | 1226 => "has no free connection",
        1053 | 1077..=1079 => "is starting or stopping",
        _ => "is not able to answer now",
    };
    Failure::new(Code::WarehouseUnavailable, format!("{address} {what} (error {}); it is tried again", error.code))
}

/// The connection, and no statement.
pub(super) fn broken(error: &Error, connector: &Connector) -> Failure {
    let address = &connector.peer.address;
    match error {
        Error::Broken(broken) => broken.failure(address, "64 MiB"),
        _ => stream::lost(address),
    }
}
