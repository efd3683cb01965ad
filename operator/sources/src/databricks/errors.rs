//! From Databricks' errors to codes and sentences of our own. The server's words are searched for names that the user wrote himself;
//! everything else in them may be data.

use backflow_core::code::{Code, Failure};

use super::api::{Answer, Api};
use super::sql_error::SqlError;
use crate::rest::compose::Composed;

fn failure(api: &Api, code: Code, sentence: &str) -> Failure {
    Failure::new(code, format!("{}: {sentence}", api.service.name))
}

/// Whether a request is refused because the workspace gives no links.
pub(super) fn is_without_links(answer: &Answer) -> bool {
    let message = answer.envelope.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    matches!(answer.status, 400 | 403) && (message.contains("external_links") || message.contains("external links"))
}

/// There is no such warehouse.
pub(super) fn warehouse_missing(api: &Api) -> Failure {
    let sentence = format!(
        "SQL warehouse {} is not in this workspace, or may not be seen by {}; check databricks.host and httpPath, and give it CAN USE on the \
         warehouse (Permissions on its page)",
        api.plan.warehouse_id,
        api.credential.name()
    );
    failure(api, Code::PermissionDenied, &sentence)
}

/// Somebody cancelled a statement.
pub(super) fn cancelled(api: &Api) -> Failure {
    failure(
        api,
        Code::WarehouseUnavailable,
        "somebody cancelled the statement, or the warehouse was stopped; it is tried again",
    )
}

/// A result is kept for an hour.
pub(super) fn result_gone(api: &Api) -> Failure {
    failure(api, Code::WarehouseUnavailable, "a result is no longer there; it is tried again")
}

/// The storage does not take a link.
pub(super) fn link_refused(api: &Api) -> Failure {
    let sentence = "the storage of its results refuses the links that the workspace gives; it is tried again. Check that the storage's \
                    firewall lets the workers in";
    failure(api, Code::ConnectionFailed, sentence)
}

/// A result that is not whole is none.
pub(super) fn truncated(api: &Api) -> Failure {
    failure(
        api,
        Code::LimitExceeded,
        "the result is longer than the service gives, 100 GiB; read fewer rows or columns",
    )
}

/// Why a request is refused.
pub(super) fn of_request(answer: &Answer, api: &Api) -> Failure {
    let Some(code) = answer.envelope.error_code.as_deref() else { return api.service.strange(answer.status) };
    let message = answer.envelope.message.as_deref().unwrap_or_default();
    match (answer.status, code) {
        (401, _) => failure(api, Code::AuthenticationFailed, &api.credential.refused()),
        (403, _) if message.contains("Invalid access token") => {
            failure(api, Code::AuthenticationFailed, &api.credential.refused())
        }
        (403, _) if message.contains("IP A") || message.contains("IP access list") => {
            let sentence = "an IP access list of the workspace does not allow the address of this worker; add it";
            failure(api, Code::PermissionDenied, sentence)
        }
        (403, _) => {
            let sentence = format!(
                "{} may not use SQL warehouse {}; give it CAN USE on the warehouse (Permissions on its page), and the entitlement Databricks SQL \
                 access",
                api.credential.name(),
                api.plan.warehouse_id
            );
            failure(api, Code::PermissionDenied, &sentence)
        }
        (404, "NOT_FOUND") => result_gone(api),
        (404, "ENDPOINT_NOT_FOUND") => api.service.strange(404),
        (404, _) => warehouse_missing(api),
        (400, "INVALID_PARAMETER_VALUE") if message.contains("not a valid endpoint id") => warehouse_missing(api),
        (400 | 413, _) if answer.status == 413 || message.contains("larger than") || message.contains("too large") => {
            failure(
                api,
                Code::LimitExceeded,
                "a statement is longer than the 16 MiB that the service takes; shorten the model's SQL",
            )
        }
        (status, _) => failure(
            api,
            Code::Internal,
            &format!("it refuses a request that its documents allow (HTTP {status}); please report it"),
        ),
    }
}

/// What holds for every statement: the warehouse, quotas, the service itself.
pub(super) fn of_service(error: &SqlError, api: &Api) -> Option<Failure> {
    // An error of the SQL has a class or state of its own, whatever the code beside it.
    if error.is_conflict() {
        return None;
    }
    let (code, sentence) = match error.code.as_str() {
        "RESOURCE_EXHAUSTED" => {
            (Code::WarehouseUnavailable, "a quota is used up, or too many statements wait; it is tried again")
        }
        "TEMPORARILY_UNAVAILABLE"
        | "WORKSPACE_TEMPORARILY_UNAVAILABLE"
        | "SERVICE_UNDER_MAINTENANCE"
        | "ABORTED"
        | "DEADLINE_EXCEEDED"
        | "IO_ERROR"
        | "UNKNOWN" => {
            (Code::WarehouseUnavailable, "the service or the start of the warehouse failed; it is tried again")
        }
        "CANCELLED" => return Some(cancelled(api)),
        "UNAUTHENTICATED" => return Some(failure(api, Code::AuthenticationFailed, &api.credential.refused())),
        "INTERNAL_ERROR" if error.class.is_empty() || error.is(&["INTERNAL_ERROR"]) => {
            (Code::WarehouseUnavailable, "the service failed; it is tried again")
        }
        _ => return None,
    };
    Some(failure(api, code, sentence))
}

/// Why a statement with the user's SQL failed.
pub(super) fn query(error: &SqlError, model: &str, composed: &Composed, api: &Api) -> Failure {
    let place = error.line().and_then(|line| composed.place(line));
    let at = place.map_or_else(String::new, |place| format!(" ({place})"));
    let quoted = |name: Option<String>| name.map_or_else(String::new, |name| format!(" {name}"));
    let (code, sentence) = if error.is_missing() || error.is_without_catalog() {
        let name = error
            .named("table or view ", " cannot")
            .or_else(|| error.named("schema ", " cannot"))
            .or_else(|| error.named("Catalog ", " was"));
        (
            Code::TableNotFound,
            format!(
                "table, schema or catalog{} does not exist{at}, or may not be seen; check its name, databricks.catalog and schema",
                quoted(name)
            ),
        )
    } else if error.is(&["UNRESOLVED_COLUMN", "UNRESOLVED_MAP_KEY"]) || error.state == "42703" {
        let name = error.named("with name ", " cannot");
        (Code::ColumnNotFound, format!("column{} does not exist{at}", quoted(name)))
    } else if error.is_denied() {
        let cure = error.grant(api).unwrap_or_else(|| {
            format!(
                "GRANT USE CATALOG, USE SCHEMA, SELECT ON CATALOG … TO {}, or on what it reads",
                api.credential.principal()
            )
        });
        (Code::PermissionDenied, format!("{} may not read what it names{at}; run: {cure}", api.credential.name()))
    } else if error.is(&["PARSE_SYNTAX_ERROR", "PARSE_EMPTY_STATEMENT"]) {
        (Code::SqlError, format!("syntax error{at}"))
    } else if error.is(&["AMBIGUOUS_REFERENCE"]) {
        let name = error.named("Reference ", " is");
        (Code::SqlError, format!("column{} is ambiguous{at}", quoted(name)))
    } else if error.is(&["UNBOUND_SQL_PARAMETER"]) {
        (Code::SqlError, format!("a parameter has no value{at}; a model has none, write the value itself"))
    } else if error.is_too_long() {
        let sentence = "its rows have more than 25 MiB, and the workspace forbids results by external links, which have no such limit; let \
                        an administrator allow them";
        (Code::LimitExceeded, sentence.to_owned())
    } else {
        let class = if error.class.is_empty() { "no class" } else { &error.class };
        (Code::SqlError, format!("the SQL failed{at} with {class}; try it in the SQL editor"))
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// Why nothing can be asked in the catalog and the schema of the Source; `None` if they are not why.
pub(super) fn place(error: &SqlError, api: &Api) -> Option<Failure> {
    let (kind, name) = if error.is_without_catalog() {
        ("CATALOG", api.plan.catalog.clone()?)
    } else if error.is(&["SCHEMA_NOT_FOUND"]) {
        (
            "SCHEMA",
            [api.plan.catalog.clone(), api.plan.schema.clone()].into_iter().flatten().collect::<Vec<_>>().join("."),
        )
    } else {
        return None;
    };
    let member = kind.to_ascii_lowercase();
    let quoted = name.split('.').map(super::types::quote).collect::<Vec<_>>().join(".");
    let sentence = format!(
        "{member} {quoted} does not exist, or may not be used by {}; check databricks.{member}, and run: GRANT USE {kind} ON {kind} {quoted} TO {}",
        api.credential.name(),
        api.credential.principal()
    );
    Some(failure(api, Code::DatabaseNotFound, &sentence))
}

/// Why a statement of the state failed.
pub(super) fn state(error: &SqlError, schema: &str, api: &Api) -> Failure {
    if error.is_without_catalog()
        && let Some(failure) = place(error, api)
    {
        return failure;
    }
    if error.is_denied() {
        return match error.grant(api) {
            Some(grant) if !error.message.contains("CREATE") => failure(
                api,
                Code::PermissionDenied,
                &format!("{} may not use the state schema {schema}; run: {grant}", api.credential.name()),
            ),
            _ => state_denied(schema, api),
        };
    }
    if error.is_missing() {
        let sentence =
            format!("the table objects in the state schema {schema} is gone while a run uses it; it is tried again");
        return failure(api, Code::WarehouseUnavailable, &sentence);
    }
    if error.is_conflict() {
        let sentence = format!("too many writers change the state in {schema} at once; it is tried again");
        return failure(api, Code::WarehouseUnavailable, &sentence);
    }
    let class = if error.class.is_empty() { "no class" } else { &error.class };
    failure(
        api,
        Code::Internal,
        &format!("a statement over the state schema {schema} failed with {class}; please report it"),
    )
}

/// Nobody says which tables there are.
pub(super) fn without_information(api: &Api) -> Failure {
    let sentence = "its catalog has no information_schema, by which Pushdown finds its tables: name a catalog of Unity Catalog in \
                    databricks.catalog, or use diff Auto or Streaming";
    failure(api, Code::PlanInvalid, sentence)
}

/// The principal may not make or use tables in the state schema.
pub(super) fn state_denied(schema: &str, api: &Api) -> Failure {
    let principal = api.credential.principal();
    let sentence = format!(
        "{} may not keep its state in the schema {schema}; run: GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA {schema} TO {principal}",
        api.credential.name()
    );
    failure(api, Code::PermissionDenied, &sentence)
}

/// There is no state schema, and the principal may not make it.
pub(super) fn schema_missing(schema: &str, api: &Api) -> Failure {
    let principal = api.credential.principal();
    let sentence = format!(
        "the state schema {schema} does not exist, and {} may not create it; run: CREATE SCHEMA {schema}; GRANT USE SCHEMA, CREATE TABLE, SELECT, \
         MODIFY ON SCHEMA {schema} TO {principal}",
        api.credential.name()
    );
    failure(api, Code::StateSchemaMissing, &sentence)
}
