//! What an action demands of a Mapping, before any row is seen.

use backflow_core::finding::{Finding, hint};
use backflow_core::plan::{MappingPlan, OnNull};
use backflow_definitions::schema::{Member, OnNull as Policy, Schema};
use backflow_definitions::{Action, Condition, Scope, Variable, complete};
use backflow_expressions::Json;

use crate::compile::{Compiler, Target, writes};
use crate::fit::Fit;
use crate::path::{escape, joined, split};
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
                    let path = joined(&names[..=depth]);
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
        let ops = writes(mapping);
        if unsure || ops.is_empty() {
            return Vec::new();
        }
        let mut findings = Vec::new();
        required(&action.title, "", &action.fields, root, &mut findings);
        let config = complete(&action.config, &mapping.config);
        let constants = Json::parse(&root.constants()).unwrap_or(Json::Null);
        let scope = Scope::new().with(Variable::Settings, settings).with(Variable::Cfg, &config);
        let scope = scope.with(Variable::F, &constants);
        for (path, field) in action.fields.conditional() {
            let Some(condition) = &field.extra.required_when else { continue };
            if !lacking(root, &path) || !decided(condition, root) {
                continue;
            }
            let mut ops = ops.iter().map(|op| Json::Text(op.as_str().to_owned()));
            if ops.any(|op| condition.holds(&scope.with(Variable::Op, &op))) {
                let path = joined(&path);
                findings.push(missing(&action.title, &path, field, &format!(" (because {})", condition.source())));
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

/// Whether the object that a path leads into is mapped member by member, without the path's last name.
fn lacking(object: &Object, path: &[String]) -> bool {
    match path {
        [] => false,
        [name] => object.member(name).is_none(),
        [name, rest @ ..] => matches!(object.member(name), Some(Node::Object(inner)) if lacking(inner, rest)),
    }
}

/// Whether a condition is the same for all records. What depends on a row is judged when there is one.
fn decided(condition: &Condition, root: &Object) -> bool {
    let same = |name: &&str| matches!(root.member(name), None | Some(Node::Constant(_)));
    condition.named(Variable::F).is_some_and(|names| names.iter().all(same))
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
        let member = match schema.member(name) {
            Member::Known(member) => member,
            // The object says it for members of which it says nothing else.
            Member::Any => return planned(schema.extra.on_null.filter(|_| schema.is_open())),
            Member::Unknown => return OnNull::Send,
        };
        policy = Some(member.null_policy(schema, schema.required.contains(name)));
        schema = member;
    }
    planned(policy)
}

fn planned(policy: Option<Policy>) -> OnNull {
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
