//! From Snowflake's errors to codes and sentences of our own. The server's words are searched for names that the user wrote himself;
//! everything else in them may be data.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::Snowflake;

use super::auth::Credential;
use crate::rest::compose::Composed;
use crate::rest::running;
use crate::sql::quote;

/// The longest name of the user's that is repeated.
const NAME: usize = 128;

/// An error of a statement, as the server tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SqlError {
    /// Six digits.
    pub(super) code: String,
    /// SQLSTATE.
    pub(super) state: String,
    /// Never passed on.
    pub(super) message: String,
}

/// Why a statement has no result.
pub(super) type Failed = running::Failed<SqlError>;

impl SqlError {
    /// A table, schema or database is not there, or the role may not see it.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.code.as_str(), "002003" | "002043")
    }

    /// The role lacks a grant.
    pub(super) fn is_denied(&self) -> bool {
        self.code == "003001" || self.state == "42501"
    }

    /// A text was to be a number.
    pub(super) fn is_no_number(&self) -> bool {
        self.code == "100038"
    }

    /// The role lacks a grant on this schema.
    pub(super) fn is_denied_on(&self, schema: &str) -> bool {
        self.is_denied() && self.quoted("on schema '") == Some(schema)
    }

    /// The same statement may come through in a moment: the limit of statements that wait for one lock, an error of the service itself.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.code.as_str(), "000603" | "000625")
    }

    /// What stands between this and the next quote.
    fn quoted(&self, before: &str) -> Option<&str> {
        let start = self.message.find(before)? + before.len();
        let name = self.message[start..].split('\'').next()?;
        (!name.is_empty() && name.len() <= NAME && !name.contains(char::is_control)).then_some(name)
    }

    /// The line of the statement that the message names.
    fn line(&self) -> Option<usize> {
        let rest = &self.message[self.message.find("error line ")? + "error line ".len()..];
        rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    }
}

/// What holds for every statement: the warehouse, the session.
fn of_session(error: &SqlError, plan: &Snowflake) -> Option<Failure> {
    let warehouse = quote(&plan.warehouse);
    let (code, sentence) = match error.code.as_str() {
        "000606" => (
            Code::PermissionDenied,
            format!(
                "warehouse {warehouse} does not exist, or the role may not use it; check its name, and run: GRANT USAGE ON WAREHOUSE {warehouse} TO ROLE {}",
                role(plan)
            ),
        ),
        "390201" => {
            let (kind, name) = if error.message.contains("requested database") {
                ("DATABASE", quote(&plan.database))
            } else if error.message.contains("requested schema") {
                ("SCHEMA", plan.schema.as_deref().map(quote).unwrap_or_default())
            } else {
                ("WAREHOUSE", warehouse)
            };
            let code = if kind == "WAREHOUSE" { Code::PermissionDenied } else { Code::DatabaseNotFound };
            let sentence = format!(
                "{} {name} does not exist, or the role may not use it; check its name (without double quotes it is folded to upper case), and run: \
                 GRANT USAGE ON {kind} {name} TO ROLE {}",
                kind.to_lowercase(),
                role(plan)
            );
            (code, sentence)
        }
        "000607" | "000608" | "000609" | "000610" => {
            (Code::WarehouseUnavailable, format!("warehouse {warehouse} is suspended or starts; it is tried again"))
        }
        "090073" | "000611" => (
            Code::WarehouseUnavailable,
            format!("warehouse {warehouse} may not run: its resource monitor's quota is used up; raise it, or wait for its next period"),
        ),
        "000604" | "000605" => (Code::WarehouseUnavailable, "somebody cancelled the statement; it is tried again".to_owned()),
        "000630" => (
            Code::WarehouseUnavailable,
            "the statement took longer than STATEMENT_TIMEOUT_IN_SECONDS of warehouse, user or account allows; raise it, or read less"
                .to_owned(),
        ),
        "000625" => (Code::WarehouseUnavailable, "a lock in Snowflake was not free in time; it is tried again".to_owned()),
        _ => return None,
    };
    Some(Failure::new(code, sentence))
}

/// Why a statement with the user's SQL failed.
pub(super) fn query(error: &SqlError, model: &str, composed: &Composed, plan: &Snowflake) -> Failure {
    if let Some(failure) = of_session(error, plan) {
        return failure;
    }
    let place = error.line().and_then(|line| composed.place(line));
    let at = place.map_or_else(String::new, |place| format!(" ({place})"));
    let (code, sentence) = match error.code.as_str() {
        "002003" | "002043" => {
            let kind = if error.message.contains("Schema '") { "schema" } else { "table or view" };
            let name =
                error.quoted("Object '").or_else(|| error.quoted("Schema '")).or_else(|| error.quoted("Table '"));
            let name = name.map_or_else(String::new, |name| format!(" {name}"));
            let sentence = format!(
                "{kind}{name} does not exist, or role {} may not read it; check its name, or GRANT SELECT on it, and USAGE on its database and schema",
                role(plan)
            );
            (Code::TableNotFound, sentence)
        }
        "000904" => {
            let name = error.quoted("invalid identifier '").map_or_else(String::new, |name| format!(" {name}"));
            (
                Code::ColumnNotFound,
                format!(
                    "column{name} does not exist{at}; check its name: without double quotes it is folded to upper case"
                ),
            )
        }
        "000008" => (
            Code::MultipleStatements,
            "the SQL holds more than one statement; a model is exactly one SELECT or WITH".to_owned(),
        ),
        "001003" => (Code::SqlError, format!("syntax error{at}")),
        "002014" | "002025" | "000979" => (Code::SqlError, format!("the SQL is not valid{at}; try it in a worksheet")),
        "002028" => (Code::SqlError, format!("a column name is ambiguous{at}; write the table's name in front")),
        "000939" | "002140" | "002141" => {
            (Code::SqlError, format!("a function of the SQL is unknown, or has other arguments{at}"))
        }
        "100038" | "100035" | "100040" | "100046" | "100051" | "100078" | "100096" | "100132" | "100183" => (
            Code::SqlError,
            format!(
                "a value cannot be computed{at}: a conversion, a division by zero, or a number that is too large; TRY_CAST and NULLIF help"
            ),
        ),
        _ if error.is_denied() => (
            Code::PermissionDenied,
            format!(
                "role {} may not read something that the SQL names; GRANT SELECT on it, and USAGE on its database and schema",
                role(plan)
            ),
        ),
        code => (
            Code::SqlError,
            format!("the SQL failed{at} with Snowflake's error {}; try it in a worksheet", digits(code)),
        ),
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// Why a statement of our own over the state failed. `schema`: the state schema, quoted, with its database.
pub(super) fn state(error: &SqlError, schema: &str, plan: &Snowflake) -> Failure {
    if let Some(failure) = of_session(error, plan) {
        return failure;
    }
    if error.is_missing() {
        let message = format!(
            "the tables of the state in schema {schema} are not there; the next run makes them, if the role may"
        );
        return Failure::new(Code::StateSchemaMissing, message);
    }
    if error.is_denied() {
        return state_denied(schema, plan);
    }
    Failure::new(
        Code::StateStoreUnavailable,
        format!("the state in schema {schema} could not be read or written: Snowflake's error {}", digits(&error.code)),
    )
}

/// The role may not use the state schema as it must.
pub(super) fn state_denied(schema: &str, plan: &Snowflake) -> Failure {
    let role = role(plan);
    Failure::new(
        Code::PermissionDenied,
        format!(
            "role {role} may not make or use tables in the state schema {schema}; run: GRANT USAGE, CREATE TABLE ON SCHEMA {schema} TO ROLE {role}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO ROLE {role}"
        ),
    )
}

/// There is no state schema, and the role may not make it.
pub(super) fn schema_missing(schema: &str, plan: &Snowflake) -> Failure {
    let role = role(plan);
    Failure::new(
        Code::StateSchemaMissing,
        format!(
            "the state schema {schema} does not exist, and role {role} may not create it; run: CREATE SCHEMA {schema}; \
             GRANT USAGE, CREATE TABLE ON SCHEMA {schema} TO ROLE {role}"
        ),
    )
}

/// Why the service did not take a request at all (HTTP 401 and 403).
pub(super) fn refused(code: &str, plan: &Snowflake, credential: &Credential) -> Failure {
    let user = &plan.user;
    let (code, sentence) = match code {
        "390189" | "390186" => {
            let name = plan.role.as_deref().unwrap_or("of the user's own choice");
            (
                Code::PermissionDenied,
                format!(
                    "role {name} does not exist, or is not granted to the user; run: GRANT ROLE {} TO USER {}",
                    role(plan),
                    quote(user)
                ),
            )
        }
        "390420" | "390422" | "390432" => (
            Code::PermissionDenied,
            "a network policy of the account does not let this address in; add the cluster's outgoing addresses to it"
                .to_owned(),
        ),
        "390101" | "390102" | "390106" => (
            Code::AuthenticationFailed,
            format!("user {} is disabled or locked; ALTER USER ... SET DISABLED = FALSE", quote(user)),
        ),
        "390318" => (Code::AuthenticationFailed, format!("the token has expired; {}", credential.cure(user))),
        code => {
            let number = if code.is_empty() { String::new() } else { format!(" (error {})", digits(code)) };
            (Code::AuthenticationFailed, format!("the credentials are refused{number}; {}", credential.cure(user)))
        }
    };
    Failure::new(code, format!("Snowflake account \"{}\": {sentence}", plan.account))
}

/// The role, for a statement.
pub(super) fn role(plan: &Snowflake) -> String {
    plan.role.as_deref().map_or_else(|| "<the user's default role>".to_owned(), quote)
}

/// A code, if it is one.
fn digits(code: &str) -> &str {
    if !code.is_empty() && code.len() <= 8 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        code
    } else {
        "without a number"
    }
}
