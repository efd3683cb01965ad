//! Source → [`SourcePlan`].

use backflow_core::authorities::FOLDER_VARIABLE;
use backflow_core::plan::{Connection, DiffEngine, Postgres, Server, SourcePlan, Sqlite, StateLocation, Tls, TlsMode};
use backflow_core::secret::SecretRef;
use backflow_crds::v1alpha1::{self as api, Diff, SecretValue, SourceSpec, Warehouse, WorkerTemplate};

use crate::Place;
use crate::finding::{Finding, Findings};

/// The least scratch of a worker: 16 MiB.
const LEAST_SCRATCH: u64 = 16 << 20;

/// Plans a Source.
///
/// # Errors
/// All findings.
pub fn source(name: &str, spec: &SourceSpec, place: &Place) -> Result<SourcePlan, Vec<Finding>> {
    let mut findings = Findings::default();
    worker_template("spec.worker", spec.worker.as_ref(), &mut findings);
    let mut state = crate::state::location(&spec.state, place, &mut findings);
    if let (Some(Warehouse::Snowflake(_)), Some(StateLocation::Schema(schema))) = (spec.warehouse(), &mut state) {
        *schema = crate::cloud::folded(schema);
    }
    let connection = match spec.warehouse() {
        Some(Warehouse::Postgres(postgres)) => self::postgres(postgres, &mut findings),
        Some(Warehouse::Redshift(redshift)) => crate::cloud::redshift(redshift, &mut findings),
        Some(Warehouse::Snowflake(snowflake)) => crate::cloud::snowflake(snowflake, &mut findings),
        Some(Warehouse::BigQuery(bigquery)) => crate::cloud::bigquery(bigquery, &mut findings),
        Some(Warehouse::Databricks(databricks)) => crate::cloud::databricks(databricks, &mut findings),
        Some(Warehouse::AzureSql(azure)) => crate::cloud::azure_sql(azure, &mut findings),
        Some(Warehouse::ClickHouse(clickhouse)) => self::clickhouse(clickhouse, &mut findings),
        Some(Warehouse::MySql(mysql)) => self::mysql(mysql, &mut findings),
        Some(Warehouse::Sqlite(sqlite)) => self::sqlite(sqlite, place, &mut findings),
        None => {
            findings.add(
                "spec",
                "InvalidSpec",
                "exactly one warehouse must be set: postgres, redshift, snowflake, bigquery, databricks, azureSql, mysql or clickhouse, or sqlite in local runs",
            );
            None
        }
    };
    let diff = diff(spec, &mut findings);
    let plan = connection.zip(state);
    findings.finish(())?;
    plan.map(|(connection, state)| SourcePlan { name: name.to_owned(), connection, state, diff }).ok_or_else(Vec::new)
}

/// Auto is what fits the warehouse: all of them stream.
fn diff(spec: &SourceSpec, findings: &mut Findings) -> DiffEngine {
    if spec.diff != Diff::Pushdown {
        return DiffEngine::Streaming;
    }
    if spec.state.store.is_some() {
        findings.add(
            "spec.diff",
            "InvalidSpec",
            "Pushdown compares rows and state in the warehouse, so that the state must be there: set spec.state.schema instead of \
             spec.state.store, or use Auto or Streaming",
        );
    }
    if let Some(warehouse @ (Warehouse::MySql(_) | Warehouse::Sqlite(_))) = spec.warehouse() {
        let message = format!("{} has no Pushdown; use Auto or Streaming", warehouse.member());
        findings.add("spec.diff", "InvalidSpec", message);
    }
    if let Some(warehouse @ Warehouse::ClickHouse(_)) = spec.warehouse() {
        let value = format!("Pushdown of {}", warehouse.member());
        findings.value_not_supported("spec.diff", &value, "use Auto or Streaming");
    }
    DiffEngine::Pushdown
}

fn postgres(spec: &api::Postgres, findings: &mut Findings) -> Option<Connection> {
    let port = port("postgres", spec.port, findings);
    Some(Connection::Postgres(Box::new(Postgres {
        host: spec.host.clone(),
        database: spec.database.clone(),
        user: spec.user.clone(),
        password: spec.password.as_ref().map(secret),
        tls: tls("postgres", &spec.tls, findings),
        port: port?,
    })))
}

fn clickhouse(spec: &api::ClickHouse, findings: &mut Findings) -> Option<Connection> {
    let port = port("clickhouse", spec.port, findings);
    Some(Connection::ClickHouse(Box::new(Server {
        host: spec.host.clone(),
        database: spec.database.clone(),
        user: spec.user.clone(),
        password: spec.password.as_ref().map(secret),
        tls: tls("clickhouse", &spec.tls, findings),
        port: port?,
    })))
}

fn mysql(spec: &api::MySql, findings: &mut Findings) -> Option<Connection> {
    let port = port("mysql", spec.port, findings);
    Some(Connection::MySql(Box::new(Server {
        host: spec.host.clone(),
        database: spec.database.clone(),
        user: spec.user.clone(),
        password: spec.password.as_ref().map(secret),
        tls: tls("mysql", &spec.tls, findings),
        port: port?,
    })))
}

/// The port of a server.
pub(crate) fn port(member: &str, port: i32, findings: &mut Findings) -> Option<u16> {
    let fit = u16::try_from(port).ok().filter(|port| *port > 0);
    if fit.is_none() {
        findings.add(format!("spec.{member}.port"), "InvalidSpec", format!("{port} is not a port; use 1 to 65535"));
    }
    fit
}

/// The encryption of connections to a server.
pub(crate) fn tls(member: &str, tls: &api::Tls, findings: &mut Findings) -> Tls {
    if tls.client_certificate.is_some() != tls.client_key.is_some() {
        findings.add(
            format!("spec.{member}.tls"),
            "InvalidSpec",
            "clientCertificate and clientKey must be set together",
        );
    }
    if tls.mode == api::TlsMode::Disable && (tls.ca.is_some() || tls.client_certificate.is_some()) {
        findings.add(
            format!("spec.{member}.tls.mode"),
            "InvalidSpec",
            "mode Disable uses no certificates; remove ca and clientCertificate, or choose another mode",
        );
    }
    Tls {
        mode: match tls.mode {
            api::TlsMode::Disable => TlsMode::Disable,
            api::TlsMode::Require => TlsMode::Require,
            api::TlsMode::VerifyCa => TlsMode::VerifyCa,
            api::TlsMode::VerifyFull => TlsMode::VerifyFull,
        },
        ca: tls.ca.as_ref().map(secret),
        client_certificate: tls.client_certificate.as_ref().map(secret),
        client_key: tls.client_key.as_ref().map(secret),
    }
}

fn sqlite(spec: &api::Sqlite, place: &Place, findings: &mut Findings) -> Option<Connection> {
    match place {
        Place::Cluster => {
            findings.add(
                "spec.sqlite",
                "LocalOnly",
                "sqlite is for local runs: `backflow run -f DIR` uses it; in a cluster name a server, such as postgres",
            );
            None
        }
        Place::Local(folder) => {
            let path = folder.join(&spec.path).to_string_lossy().into_owned();
            Some(Connection::Sqlite(Sqlite { path }))
        }
    }
}

pub(crate) fn secret(value: &SecretValue) -> SecretRef {
    SecretRef { name: value.secret_key_ref.name.clone(), key: value.secret_key_ref.key.clone() }
}

/// Everything that is wrong with the settings of worker pods that stand in no manifest.
#[must_use]
pub fn worker(template: &WorkerTemplate) -> Vec<Finding> {
    let mut findings = Findings::default();
    worker_template("worker", Some(template), &mut findings);
    findings.finish(()).err().unwrap_or_default()
}

/// What a worker template may say and this version cannot do, and what the API server cannot see. Returns the bytes of its scratch.
pub(crate) fn worker_template(path: &str, template: Option<&WorkerTemplate>, findings: &mut Findings) -> Option<u64> {
    let template = template?;
    if template.ca_bundle.as_ref().is_some_and(|ca| ca.secret_key_ref.is_some() == ca.config_map_key_ref.is_some()) {
        let message = "exactly one of secretKeyRef, configMapKeyRef must be set";
        findings.add(format!("{path}.caBundle"), "InvalidSpec", message);
    }
    for (at, variable) in template.env.iter().enumerate() {
        if variable.name.starts_with("BACKFLOW_") {
            findings.add(
                format!("{path}.env[{at}].name"),
                "InvalidSpec",
                format!("{} is reserved; names that begin with BACKFLOW_ are the worker's own", variable.name),
            );
        }
        if variable.name == FOLDER_VARIABLE && template.ca_bundle.is_some() {
            findings.add(
                format!("{path}.env[{at}].name"),
                "InvalidSpec",
                format!("caBundle sets {FOLDER_VARIABLE}; leave out one of them"),
            );
        }
    }
    let annotations: usize = template.pod_annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if annotations > 32 * 1024 {
        findings.add(
            format!("{path}.podAnnotations"),
            "InvalidSpec",
            format!("{annotations} bytes of annotations; 32768 are allowed beside the plan"),
        );
    }
    for reserved in ["podLabels", "podAnnotations"] {
        let map = if reserved == "podLabels" { &template.pod_labels } else { &template.pod_annotations };
        for key in map.keys().filter(|key| key.starts_with("backflow.dev/") || key.starts_with("app.kubernetes.io/")) {
            findings.add(
                format!("{path}.{reserved}.{key}"),
                "InvalidSpec",
                "keys of backflow.dev/ and app.kubernetes.io/ are set by the controller; use another",
            );
        }
    }
    scratch(path, template.scratch.as_ref()?, findings)
}

fn scratch(path: &str, quantity: &api::Quantity, findings: &mut Findings) -> Option<u64> {
    let bytes = crate::bytes(quantity);
    let message = match bytes {
        Some(bytes) if bytes >= LEAST_SCRATCH => return Some(bytes),
        Some(_) => format!("{} is too small; 16Mi is the least", quantity.0),
        None => format!("\"{}\" is no quantity; write it like 10Gi", quantity.0),
    };
    findings.add(format!("{path}.scratch"), "InvalidQuantity", message);
    None
}
