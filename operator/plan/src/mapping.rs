//! Mapping → [`MappingPlan`].

use std::collections::BTreeMap;

use backflow_core::cell::Column;
use backflow_core::change::ChangeKind;
use backflow_core::guard::{Deletes, DeletesAction};
use backflow_core::plan::{
    Connection, DestinationPlan, Include, MappingPlan, ModelPlan, OnMappingChange, Retry, SourcePlan,
};
use backflow_core::selection::{Operation, Selection, SyncMode};
use backflow_crds::v1alpha1::{self as api, MappingSpec, RecordKind};
use backflow_definitions::schema::Role;
use backflow_definitions::{Action, Definition, complete};
use backflow_expressions::Json;
use backflow_mapping::Target;
use sha2::{Digest as _, Sha256};

use crate::definition::{Definitions, Known};
use crate::fields;
use crate::finding::{Finding, Findings};
use crate::source::worker_template;

/// Scratch of a worker that is not told otherwise: 10 GiB.
const SCRATCH: u64 = 10 << 30;

/// What a Mapping refers to, already planned.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The Source of its Model.
    pub source: &'a SourcePlan,
    /// Its Model.
    pub model: &'a ModelPlan,
    /// Its Destination.
    pub destination: &'a DestinationPlan,
    /// The definitions that its Destination may name.
    pub definitions: &'a Definitions,
    /// The Model's columns, if a check has seen them all.
    pub columns: Option<&'a [Column]>,
}

/// What the state of a Mapping is filed under.
#[must_use]
pub fn state_key(namespace: &str, name: &str, spec: &MappingSpec) -> String {
    spec.state_key.clone().unwrap_or_else(|| format!("{namespace}/{name}"))
}

/// Plans a Mapping.
///
/// # Errors
/// All findings.
pub fn mapping(namespace: &str, name: &str, spec: &MappingSpec, parts: Parts<'_>) -> Result<MappingPlan, Vec<Finding>> {
    let mut findings = Findings::default();
    let definition = parts.definitions.find(&parts.destination.kind).ok();
    let settings = definition.as_deref().map(|definition| complete(&definition.settings, &parts.destination.settings));
    let settings = settings.unwrap_or(Json::Null);
    let action = definition.as_deref().and_then(|definition| action(spec, definition, &settings, &mut findings));
    let selection = selection(spec, action, &mut findings);
    let fields = spec
        .fields
        .iter()
        .filter_map(|(target, field)| {
            let mut planned = fields::field(&format!("spec.fields.{target}"), field, &mut findings)?;
            if let Some(action) = action {
                fields::nulls(&mut planned, field, target, action);
            }
            Some((target.clone(), planned))
        })
        .collect();
    let scratch_bytes = worker_template("spec.worker", spec.worker.as_ref(), &mut findings).unwrap_or(SCRATCH);
    let window = spec.retry.window.seconds();
    if window.is_none() {
        let message = format!("\"{}\" is no duration; write it like 15m", spec.retry.window);
        findings.add("spec.retry.window", "InvalidQuantity", message);
    }
    if spec.runs.deadline.seconds().is_none_or(|seconds| seconds < 120) {
        let message = format!(
            "{} is too short; a run needs at least 2m, of which the last is for its result",
            spec.runs.deadline
        );
        findings.add("spec.runs.deadline", "InvalidQuantity", message);
    }
    let mapped = |path: &str| spec.fields.contains_key(path);
    let mut plan = MappingPlan {
        name: name.to_owned(),
        state_key: state_key(namespace, name, spec),
        action: spec.action.clone(),
        selection: selection.unwrap_or(Selection::SyncMode(SyncMode::Upsert)),
        config: spec.config.clone(),
        fields,
        match_by: action.and_then(|action| action.match_field(&spec.config, &mapped)),
        group_by: action.and_then(|action| action.group_field(&spec.config, &mapped)),
        include: spec.include.as_ref().map(|include| Include {
            columns: include.columns.clone(),
            except: include.except.clone(),
            into: include.into.clone(),
        }),
        filter: spec.where_.clone(),
        fingerprint: String::new(),
        on_change: match spec.on_mapping_change {
            Some(api::OnMappingChange::Resend) => OnMappingChange::Resend,
            Some(api::OnMappingChange::Keep) => OnMappingChange::Keep,
            None => action.map(Action::on_mapping_change).unwrap_or_default(),
        },
        identity: identity(spec, (definition.as_ref(), action), parts),
        deletes: deletes(&spec.deletes),
        retry: Retry {
            max_attempts: u32::try_from(spec.retry.max_attempts).unwrap_or(1).max(1),
            window_seconds: window.unwrap_or_default(),
        },
        scratch_bytes,
    };
    if let Some(action) = action {
        found_again(action, &plan, &mut findings);
    }
    plan.fingerprint = fingerprint(&plan);
    let whole = findings.is_empty();
    let target = action.map(|action| Target { action, settings: &settings });
    let found = backflow_mapping::check(&plan, parts.columns, target).into_iter();
    // What is missing may be missing because something else is wrong with it.
    findings.extend_at(
        "spec",
        found.filter(|finding| whole || !["EmptyMapping", "MissingField", "UnmappedField"].contains(&finding.code)),
    );
    findings.finish(plan)
}

/// How the destination finds a record again: a deletion has nothing but what its record was found by.
fn found_again(action: &Action, plan: &MappingPlan, findings: &mut Findings) {
    let Some(delete) = action.operation(Operation::Delete).filter(|_| plan.selection.deletes()) else { return };
    for (member, chosen, role) in
        [("match", plan.match_by.is_some(), Role::MatchKey), ("group", plan.group_by.is_some(), Role::GroupKey)]
    {
        if !chosen && delete.demands(member) {
            let fields = action.with_role(role);
            let message = format!(
                "fields: deletions need what records are found by; map one of: {}",
                if fields.is_empty() { format!("the field that config names as {member}") } else { fields.join(", ") }
            );
            findings.add("spec.fields", "MissingField", message);
        }
    }
}

fn action<'a>(
    spec: &MappingSpec,
    definition: &'a Definition,
    settings: &Json,
    findings: &mut Findings,
) -> Option<&'a Action> {
    match definition.action(&spec.action) {
        Ok(action) => {
            findings.extend_at("spec", action.check_config(&spec.config, settings));
            Some(action)
        }
        Err(finding) => {
            findings.extend_at("spec", [finding]);
            None
        }
    }
}

fn selection(spec: &MappingSpec, action: Option<&Action>, findings: &mut Findings) -> Option<Selection> {
    let selection = match (spec.sync_mode, &spec.records) {
        (Some(mode), None) => Selection::SyncMode(match mode {
            api::SyncMode::Insert => SyncMode::Insert,
            api::SyncMode::Update => SyncMode::Update,
            api::SyncMode::Upsert => SyncMode::Upsert,
            api::SyncMode::Delete => SyncMode::Delete,
            api::SyncMode::Mirror => SyncMode::Mirror,
        }),
        (None, Some(kinds)) => Selection::Records(
            kinds
                .iter()
                .map(|kind| match kind {
                    RecordKind::Added => ChangeKind::Added,
                    RecordKind::Updated => ChangeKind::Updated,
                    RecordKind::Deleted => ChangeKind::Deleted,
                })
                .collect(),
        ),
        (None, None) => {
            findings.add(
                "spec.syncMode",
                "InvalidSpec",
                "set syncMode (Insert, Update, Upsert, Delete, Mirror) or records",
            );
            return None;
        }
        (Some(_), Some(_)) => {
            findings.add("spec.records", "InvalidSpec", "at most one of syncMode, records must be set; remove one");
            return None;
        }
    };
    if let Some(action) = action {
        findings.extend_at("spec", action.check_selection(&selection));
    }
    Some(selection)
}

fn deletes(guard: &api::DeleteGuard) -> Deletes {
    Deletes {
        max_percent: u8::try_from(guard.max_percent.clamp(0, 100)).unwrap_or_default(),
        max_rows: guard.max_rows.map(|rows| u64::try_from(rows).unwrap_or_default()),
        ignore_below: u64::try_from(guard.ignore_below).unwrap_or_default(),
        action: match guard.action {
            api::DeleteGuardAction::Withhold => DeletesAction::Withhold,
            api::DeleteGuardAction::Fail => DeletesAction::Fail,
        },
    }
}

/// What the state is bound to. Another value of any of them means that "what was delivered" is about another place.
fn identity(
    spec: &MappingSpec,
    (definition, action): (Option<&Known>, Option<&Action>),
    parts: Parts<'_>,
) -> BTreeMap<String, String> {
    let mut identity = BTreeMap::from([
        ("destination.type".to_owned(), parts.destination.kind.clone()),
        ("action".to_owned(), spec.action.clone()),
    ]);
    if let Some(definition) = definition {
        // A later version may bring a built-in definition of the same name, which is another tool.
        if let Known::Supplied(_) = definition {
            identity.insert("destination.definition".to_owned(), "supplied".to_owned());
        }
        for (setting, value) in definition.identity(&parts.destination.settings) {
            identity.insert(format!("destination.settings.{setting}"), value);
        }
    }
    for (name, field) in action.map(|action| action.identity(&spec.config)).unwrap_or_default() {
        identity.insert(format!("config.{name}"), field);
    }
    match &parts.source.connection {
        Connection::Postgres(postgres) => {
            identity.insert("source".to_owned(), "postgres".to_owned());
            identity.insert("source.host".to_owned(), format!("{}:{}", postgres.host, postgres.port));
            identity.insert("source.database".to_owned(), postgres.database.clone());
        }
        Connection::Redshift(redshift) => {
            identity.insert("source".to_owned(), "redshift".to_owned());
            identity.insert("source.host".to_owned(), format!("{}:{}", redshift.host, redshift.port));
            identity.insert("source.database".to_owned(), redshift.database.clone());
        }
        Connection::Snowflake(snowflake) => {
            identity.insert("source".to_owned(), "snowflake".to_owned());
            identity.insert("source.account".to_owned(), snowflake.account.to_ascii_lowercase());
            identity.insert("source.database".to_owned(), snowflake.database.clone());
        }
        Connection::BigQuery(bigquery) => {
            identity.insert("source".to_owned(), "bigquery".to_owned());
            identity.insert("source.project".to_owned(), bigquery.project.clone());
        }
        Connection::Databricks(databricks) => {
            identity.insert("source".to_owned(), "databricks".to_owned());
            identity.insert("source.host".to_owned(), databricks.host.clone());
            identity.insert("source.catalog".to_owned(), databricks.catalog.clone().unwrap_or_default());
        }
        Connection::AzureSql(database) => {
            identity.insert("source".to_owned(), "azureSql".to_owned());
            identity.insert("source.host".to_owned(), format!("{}:{}", database.host, database.port));
            identity.insert("source.database".to_owned(), database.database.clone());
        }
        Connection::ClickHouse(server) | Connection::MySql(server) => {
            let product = if matches!(parts.source.connection, Connection::MySql(_)) { "mysql" } else { "clickhouse" };
            identity.insert("source".to_owned(), product.to_owned());
            identity.insert("source.host".to_owned(), format!("{}:{}", server.host, server.port));
            identity.insert("source.database".to_owned(), server.database.clone());
        }
        // A local file may be moved or copied; what is in it is its identity.
        Connection::Sqlite(_) => {
            identity.insert("source".to_owned(), "sqlite".to_owned());
        }
    }
    identity
}

/// Hash of what a record is made by. A new one is a mapping change, so it must not depend on anything else, nor on the version of
/// this program.
fn fingerprint(plan: &MappingPlan) -> String {
    hash(&serde_json::json!({
        "action": plan.action,
        "config": plan.config,
        "fields": plan.fields,
        "include": plan.include,
        "where": plan.filter,
    }))
}

/// Hash of an identity, as `Mapping.status.checkpoint.fingerprint` shows it.
#[must_use]
pub fn identity_fingerprint(identity: &BTreeMap<String, String>) -> String {
    hash(&serde_json::json!(identity))
}

fn hash(value: &serde_json::Value) -> String {
    let digest = Sha256::digest(canonical(value).to_string().as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// The same with the members of every object in the order of their names: whether a map keeps the order in which a manifest names
/// them depends on how this program was built, and means nothing.
fn canonical(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, Value> =
                members.iter().map(|(name, value)| (name, canonical(value))).collect();
            Value::Object(sorted.into_iter().map(|(name, value)| (name.clone(), value)).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}
