//! What a destination can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use backflow_core::change::ChangeKind;
use backflow_core::finding::Finding;
use backflow_core::plan::OnMappingChange;
use backflow_core::selection::{Operation as Op, Selection, SyncMode};
use backflow_expressions::Json;
use serde_json::Value;

use crate::http::{ErrorRule, Rate};
use crate::request::Operation;
use crate::schema::{Role, Schema};
use crate::settings::{check_all, identity};

/// What a destination can do.
#[derive(Debug)]
pub struct Action {
    /// Name for people.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// The vendor's page about it.
    pub docs_url: Option<String>,
    /// The sync modes that it can do.
    pub sync_modes: Vec<SyncMode>,
    /// The kinds of change that `Mapping.spec.records` may name.
    pub records: Vec<ChangeKind>,
    /// Whether sending a record again leaves the destination as it is. Events are not.
    pub idempotent: bool,
    /// The constants of `Mapping.spec.config`.
    pub config: Schema,
    /// The setting of [`Action::config`] that names the field that the destination finds a record by. Otherwise that is the field with
    /// the role of a match key, or the primary key.
    pub match_by: Option<String>,
    /// The setting that names the field that the destination groups records by. Otherwise that is the field with that role.
    pub group_by: Option<String>,
    /// What records are.
    pub fields: Arc<Schema>,
    /// Whether records may go to the destination side by side.
    pub ordering: Ordering,
    /// What becomes of records whose answer was lost.
    pub delivery: DeliveryPromise,
    /// What answers mean, before the definition's.
    pub errors: Vec<ErrorRule>,
    /// Rates of its own.
    pub rates: Vec<Rate>,
    /// How the destination is asked. Of a native destination there are none.
    pub operations: Vec<Operation>,
    /// How much goes into a request, where the operation does not say another.
    pub batch: Batch,
}

/// How much goes into a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Records.
    pub max_records: u32,
    /// Bytes of the body.
    pub max_bytes: u64,
}

/// Whether records may go to the destination side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// All of them.
    None,
    /// Not two of one key.
    PerKey,
    /// One request after the other.
    Serial,
}

/// What becomes of records whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryPromise {
    /// They are sent again.
    AtLeastOnce,
    /// They are not: twice would be worse than never.
    AtMostOnce,
}

impl Action {
    /// The field that the destination finds a record by, with this config. `mapped`: whether a field of this path is mapped.
    #[must_use]
    pub fn match_field(&self, config: &BTreeMap<String, Value>, mapped: &dyn Fn(&str) -> bool) -> Option<String> {
        self.chosen(self.match_by.as_deref(), Role::MatchKey, config, mapped)
    }

    /// The field that the destination groups records by, with this config. `mapped`: whether a field of this path is mapped.
    #[must_use]
    pub fn group_field(&self, config: &BTreeMap<String, Value>, mapped: &dyn Fn(&str) -> bool) -> Option<String> {
        self.chosen(self.group_by.as_deref(), Role::GroupKey, config, mapped)
    }

    fn chosen(
        &self,
        setting: Option<&str>,
        role: Role,
        config: &BTreeMap<String, Value>,
        mapped: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        match setting {
            Some(name) => {
                let default = || self.config.properties.iter().find(|(own, _)| own == name)?.1.default.as_ref();
                config.get(name).or_else(default)?.as_str().map(str::to_owned)
            }
            None => self.with_role(role).into_iter().find(|path| mapped(path)),
        }
    }

    /// The paths of the fields with a role, in the order of the schema.
    #[must_use]
    pub fn with_role(&self, role: Role) -> Vec<String> {
        self.fields.paths(&|schema| schema.extra.role == Some(role))
    }

    /// How the destination is asked for an operation.
    #[must_use]
    pub fn operation(&self, op: Op) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.ops.contains(&op))
    }

    /// The settings of [`Action::config`] that say which records are meant: another value of one means other records at the destination.
    #[must_use]
    pub fn identity(&self, config: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
        identity(&self.config, config)
    }

    /// What is wrong with a Mapping's `syncMode` or `records`: what this action cannot do.
    #[must_use]
    pub fn check_selection(&self, selection: &Selection) -> Vec<Finding> {
        fn names<T: std::fmt::Debug>(all: &[T]) -> String {
            if all.is_empty() {
                return "none".to_owned();
            }
            all.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ")
        }
        match selection {
            Selection::SyncMode(mode) if !self.sync_modes.contains(mode) => vec![Finding::new(
                "syncMode",
                "UnsupportedSyncMode",
                format!("action \"{}\" cannot do {mode:?} (it can do: {})", self.title, names(&self.sync_modes)),
            )],
            Selection::SyncMode(_) => Vec::new(),
            Selection::Records(kinds) => kinds
                .iter()
                .filter(|kind| !self.records.contains(kind))
                .map(|kind| {
                    let known = names(&self.records);
                    let message =
                        format!("action \"{}\" cannot send {kind:?} records (it can send: {known})", self.title);
                    Finding::new("records", "UnsupportedRecords", message)
                })
                .collect(),
        }
    }

    /// What is wrong with `Mapping.spec.config`, for a Destination with these settings (see [`crate::complete`]). Paths: `config.<name>`.
    #[must_use]
    pub fn check_config(&self, config: &BTreeMap<String, Value>, settings: &Json) -> Vec<Finding> {
        let unknown = format!("action \"{}\" has no config", self.title);
        check_all("config", &unknown, &self.config, config, Some(settings))
    }

    /// What a change of the Mapping does when `Mapping.spec.onMappingChange` is unset.
    #[must_use]
    pub fn on_mapping_change(&self) -> OnMappingChange {
        if self.idempotent { OnMappingChange::Resend } else { OnMappingChange::Keep }
    }
}
