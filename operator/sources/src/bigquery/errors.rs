//! From BigQuery's errors to codes and sentences of our own. The server's words are searched for names that the user wrote himself;
//! everything else in them may be data.

use backflow_core::code::{Code, Failure};

use super::api::Api;
use super::objects::NOT_LAST;
use crate::rest::compose::Composed;
use crate::rest::running;

/// The longest name of the user's that is repeated.
const NAME: usize = 200;

/// An error of a query, as the service tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SqlError {
    /// HTTP status.
    pub(super) status: u16,
    /// One of the reasons that the documents list.
    pub(super) reason: String,
    /// Never passed on.
    pub(super) message: String,
}

/// Why a query has no result.
pub(super) type Failed = running::Failed<SqlError>;

impl SqlError {
    /// A dataset or table is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.reason == "notFound"
    }

    /// The account lacks a permission.
    pub(super) fn is_denied(&self) -> bool {
        self.reason == "accessDenied"
    }

    /// Another transaction came first.
    pub(super) fn is_conflict(&self) -> bool {
        self.message.contains("concurrent update")
    }

    /// A script has found a later claim of its state.
    pub(super) fn is_fenced(&self) -> bool {
        self.message.contains(NOT_LAST)
    }

    /// What stands between `before` and the next of `ends`.
    fn named(&self, before: &str, ends: &[char]) -> Option<&str> {
        let start = self.message.find(before)? + before.len();
        let name = self.message[start..].split(ends).next()?;
        (!name.is_empty() && name.len() <= NAME && !name.contains(char::is_control)).then_some(name)
    }

    /// The line of the query that the message names: `at [3:8]`.
    fn line(&self) -> Option<usize> {
        let rest = &self.message[self.message.rfind("at [")? + "at [".len()..];
        rest.split(':').next()?.parse().ok()
    }
}

/// What holds for every query: the account, the project, quotas.
pub(super) fn of_service(error: &SqlError, api: &Api) -> Option<Failure> {
    let project = &api.plan.project;
    let (code, sentence) = match (error.status, error.reason.as_str()) {
        (401, _) => (
            Code::AuthenticationFailed,
            format!(
                "the credentials of {} are refused; check that its key or account is enabled, and this machine's clock",
                api.credential.name()
            ),
        ),
        (_, "accessNotConfigured") => {
            (Code::PermissionDenied, "the BigQuery API is not enabled; enable it for the project".into())
        }
        (_, "billingNotEnabled") => {
            (Code::PermissionDenied, "the project has no billing account, which is needed for state and DML".into())
        }
        (_, "quotaExceeded" | "rateLimitExceeded" | "jobRateLimitExceeded") => {
            (Code::WarehouseUnavailable, "a quota of the project is used up; it is tried again".into())
        }
        (_, "bytesBilledLimitExceeded") => (
            Code::LimitExceeded,
            "the query would bill more bytes than bigquery.maximumBytesBilled allows; raise it, or read less".into(),
        ),
        (_, "resourcesExceeded") => {
            (Code::SqlError, "the query needs more memory than BigQuery gives it; read less, or sort less".into())
        }
        (_, "stopped") => (Code::WarehouseUnavailable, "somebody cancelled the query; it is tried again".into()),
        (_, "backendError" | "internalError" | "jobBackendError" | "jobInternalError" | "tableUnavailable") => {
            (Code::WarehouseUnavailable, "the service failed; it is tried again".into())
        }
        (_, "accessDenied") if error.message.contains("bigquery.jobs.create") => (
            Code::PermissionDenied,
            format!(
                "{} may not run queries in the project; grant it roles/bigquery.jobUser on it",
                api.credential.name()
            ),
        ),
        (404, "notFound") if error.message.contains("Project") => {
            (Code::DatabaseNotFound, "the project does not exist; check bigquery.project".into())
        }
        (404, "notFound") if error.message.contains("Job ") => {
            (Code::WarehouseUnavailable, "a result is no longer there; it is tried again".into())
        }
        _ => return None,
    };
    Some(Failure::new(code, format!("BigQuery of project \"{project}\": {sentence}")))
}

/// Why a query with the user's SQL failed.
pub(super) fn query(error: &SqlError, model: &str, composed: &Composed, api: &Api) -> Failure {
    let place = error.line().and_then(|line| composed.place(line));
    let at = place.map_or_else(String::new, |place| format!(" ({place})"));
    let (code, sentence) = if error.is_missing() {
        let location = &api.plan.location;
        let name =
            error.named("Not found: Table ", &[' ', '\n']).or_else(|| error.named("Not found: Dataset ", &[' ', '\n']));
        let name = name.map_or_else(String::new, |name| format!(" {name}"));
        (
            Code::TableNotFound,
            format!(
                "table or dataset{name} was not found in location {location}{at}; check its name and bigquery.location"
            ),
        )
    } else if error.is_denied() {
        let name = error.named("Access Denied: Table ", &[' ', '\n']);
        let name = name.map_or_else(String::new, |name| format!(": {}", name.trim_end_matches(':')));
        (
            Code::PermissionDenied,
            format!(
                "{} may not read something that the SQL names{name}; grant it roles/bigquery.dataViewer on the dataset",
                api.credential.name()
            ),
        )
    } else if let Some(name) = error.named("Unrecognized name: ", &[' ', ';', '\n']) {
        (Code::ColumnNotFound, format!("column {name} does not exist{at}; check its name"))
    } else if error.message.contains("Syntax error") {
        (Code::SqlError, format!("syntax error{at}"))
    } else {
        (Code::SqlError, format!("the SQL failed{at}; try it in the console of BigQuery"))
    };
    Failure::new(code, format!("model \"{model}\": {sentence}"))
}

/// Why a statement of our own over the state failed. `dataset`: with its project.
pub(super) fn state(error: &SqlError, dataset: &str, api: &Api) -> Failure {
    if error.is_missing() {
        let message = format!(
            "the tables of the state in dataset {dataset} are not there; the next run makes them, if the account may"
        );
        return Failure::new(Code::StateSchemaMissing, message);
    }
    if error.is_denied() {
        return state_denied(dataset, api);
    }
    if error.is_conflict() {
        let message = format!("the state in dataset {dataset} is written by others all the time; it is tried again");
        return Failure::new(Code::StateStoreUnavailable, message);
    }
    let message = format!("the state in dataset {dataset} could not be read or written; it is tried again");
    Failure::new(Code::StateStoreUnavailable, message)
}

/// The account may not use the dataset of the state as it must.
pub(super) fn state_denied(dataset: &str, api: &Api) -> Failure {
    let account = api.credential.name();
    Failure::new(
        Code::PermissionDenied,
        format!(
            "{account} may not make or use tables in the dataset {dataset}; grant it there: GRANT `roles/bigquery.dataEditor` ON SCHEMA `{}` TO \
             \"serviceAccount:{account}\"",
            dataset.replace('.', "`.`")
        ),
    )
}

/// There is no such dataset, and the account may not make it.
pub(super) fn dataset_missing(dataset: &str, api: &Api) -> Failure {
    let (account, location) = (api.credential.name(), &api.plan.location);
    let quoted = dataset.replace('.', "`.`");
    Failure::new(
        Code::StateSchemaMissing,
        format!(
            "the dataset {dataset} does not exist, and {account} may not create it; run: CREATE SCHEMA `{quoted}` OPTIONS (location = '{location}'); \
             GRANT `roles/bigquery.dataEditor` ON SCHEMA `{quoted}` TO \"serviceAccount:{account}\""
        ),
    )
}
