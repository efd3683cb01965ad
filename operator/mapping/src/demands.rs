//! What an action demands of a Mapping, before any row is seen.

use backflow_core::change::ChangeKind;
use backflow_core::finding::{Finding, hint};
use backflow_core::plan::{MappingPlan, OnNull};
use backflow_definitions::schema::{Member, OnNull as Policy, Schema};
use backflow_definitions::{Action, Scope, Variable, complete};
use backflow_expressions::Json;

use crate::compile::{Compiler, Target};
use crate::fit::Fit;
use crate::path::{escape, split};
use crate::tree::{Node, Object};

impl Compiler<'_> {
    /// What the values of a field must be; nothing if they may be anything. A field that the action does not have is a finding.
    pub(crate) fn fit(&mut self, at: &str, names: &[String]) -> Option<Fit> {
        let action = self.target?.action;
        let mut schema: &Schema = &action.fields;
        let mut found = None;
        for (depth, name) in names.iter().enumerate() {
            match schema.member(name) {
                Member::Known(member) => {
                    schema = member;
                    found = Some(member);
                }
                Member::Any => return None,
                Member::Unknown => {
                    let path = names[..=depth].iter().map(|name| escape(name)).collect::<Vec<_>>().join(".");
                    let known = hint(name, schema.properties.iter().map(|(name, _)| name.as_str()));
                    let title = &action.title;
                    let message = format!("{at}: action \"{title}\" has no field {path} {known}");
                    self.find(at, "UnknownField", message);
                    return None;
                }
            }
        }
        found.and_then(Fit::new)
    }

    /// Fields that must be mapped and are not. `root`: what is mapped.
    pub(crate) fn unmapped(&self, target: Target<'_>, root: &Object, mapping: &MappingPlan) -> Vec<Finding> {
        let Target { action, settings } = target;
        // Of a model that nobody described yet, it is not known what `*` includes.
        let unsure = self.columns.is_none() && mapping.include.is_some();
        let kinds = [ChangeKind::Added, ChangeKind::Updated].into_iter();
        let ops: Vec<_> = kinds.filter_map(|kind| mapping.selection.operation(kind, false)).collect();
        if unsure || ops.is_empty() {
            return Vec::new();
        }
        let mut findings = Vec::new();
        required(&action.title, "", &action.fields, root, &mut findings);
        let config = complete(&action.config, &mapping.config);
        for (name, field) in &action.fields.properties {
            let Some(condition) = &field.extra.required_when else { continue };
            // What names a record's own values is judged when there is one.
            let run_time = condition.names(Variable::F);
            let holds = ops.iter().any(|op| {
                let op = Json::Text(op.as_str().to_owned());
                let scope = Scope::new().with(Variable::Settings, settings).with(Variable::Cfg, &config);
                condition.holds(&scope.with(Variable::Op, &op))
            });
            if !run_time && holds && root.member(name).is_none() {
                findings.push(missing(&action.title, name, field, &format!(" (because {})", condition.source())));
            }
        }
        let groups = |groups: &[Schema], how_many: &str| {
            let all = |group: &Schema| group.required.iter().all(|name| root.member(name).is_some());
            let named = groups.iter().map(|group| group.required.join(" and ")).collect::<Vec<_>>().join(", ");
            let message = format!("fields: action \"{}\" needs {how_many} of: {named}; map one", action.title);
            (!groups.is_empty() && !groups.iter().any(all)).then(|| Finding::new("fields", "MissingField", message))
        };
        findings.extend(groups(&action.fields.any_of, "at least one"));
        findings.extend(groups(&action.fields.one_of, "exactly one"));
        findings
    }
}

fn required(title: &str, path: &str, schema: &Schema, object: &Object, findings: &mut Vec<Finding>) {
    let below = |name: &str| if path.is_empty() { escape(name) } else { format!("{path}.{}", escape(name)) };
    for name in schema.required.iter().filter(|name| object.member(name).is_none()) {
        match schema.property(name) {
            Some(field) => findings.push(missing(title, &below(name), field, "")),
            None => {
                let message = format!("fields: action \"{title}\" needs the field {}; map it", below(name));
                findings.push(Finding::new("fields", "MissingField", message));
            }
        }
    }
    for (name, field) in &schema.properties {
        if let Some(Node::Object(inner)) = object.member(name) {
            required(title, &below(name), field, inner, findings);
        }
    }
}

fn missing(title: &str, path: &str, field: &Schema, because: &str) -> Finding {
    let about =
        field.description.as_deref().map(|about| format!(" ({})", about.trim_end_matches('.'))).unwrap_or_default();
    let from = match &field.extra.columns[..] {
        [] => String::new(),
        columns => format!(", often from a column {}", columns.join(" or ")),
    };
    let message = format!("fields: action \"{title}\" needs the field {path}{about}{because}; map it{from}");
    Finding::new("fields", "MissingField", message)
}

/// What NULL becomes in the field at a path, unless the Mapping says.
#[must_use]
pub(crate) fn null_policy(fields: &Schema, path: &[String]) -> OnNull {
    let mut schema = fields;
    let mut policy = None;
    for name in path {
        let Member::Known(member) = schema.member(name) else { return OnNull::Send };
        policy = Some(member.null_policy(schema, schema.required.contains(name)));
        schema = member;
    }
    match policy {
        None | Some(Policy::Send) => OnNull::Send,
        Some(Policy::Omit) => OnNull::Omit,
        Some(Policy::Reject) => OnNull::Reject,
    }
}

/// The same for a path as a Mapping writes it; one that is none is told elsewhere.
#[must_use]
pub fn on_null(action: &Action, path: &str) -> OnNull {
    split(path).map_or(OnNull::Send, |names| null_policy(&action.fields, &names))
}
