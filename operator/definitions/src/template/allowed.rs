//! What templates of one place may name, and the checks of what they name.

use std::sync::Arc;

use backflow_core::finding::hint;
use backflow_expressions::{Asked, Json, Members, References, Variables, compile};

use super::path::Path;
use super::scope::{RecMember, Variable};
use super::{Body, Condition, Leaf, Piece, Split, Template, split};
use crate::schema::{Member, Schema};

/// What templates of one place may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed<'a> {
    /// The place's variables.
    pub(crate) variables: &'a [Variable],
    /// Settings of the definition.
    pub(crate) settings: &'a Schema,
    /// Secrets are among the settings here, and what is named is required by being named.
    pub(crate) secrets: bool,
    /// The action's config.
    pub(crate) config: Option<&'a Schema>,
    /// The action's fields.
    pub(crate) fields: Option<&'a Schema>,
    /// Members of `ensure`, `auth` and `job` that exist; of `auth` and `found`, nothing if they are not known.
    pub(crate) ensured: &'a [String],
    pub(crate) captured: Option<&'a [String]>,
    pub(crate) job: &'a [String],
    /// Members of `rec.found`: what the lookup stores.
    pub(crate) stored: Option<&'a [String]>,
    /// Members of `rec` that are promised to be there.
    pub(crate) promised: Promised,
}

/// Members of `rec` that are promised to be there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Promised {
    /// The action has a field that records are matched by.
    pub(crate) matched: bool,
    /// The action has a field that records are grouped by.
    pub(crate) grouped: bool,
    /// A lookup found the record.
    pub(crate) found: bool,
    /// It found the destination's id.
    pub(crate) identified: bool,
}

impl<'a> Allowed<'a> {
    /// The same with other variables.
    pub(crate) fn with(self, variables: &'a [Variable]) -> Self {
        Self { variables, ..self }
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// All that is wrong, each a sentence.
    pub(crate) fn template(&self, source: &str) -> Result<Template, Vec<String>> {
        let pieces = split(source).map_err(|mistake| vec![mistake])?;
        let body = match &pieces[..] {
            [] => Body::Constant(Json::Text(String::new())),
            [Split::Text(text)] => Body::Constant(Json::Text(text.clone())),
            [Split::Expression(expression)] => Body::Value(Arc::new(self.leaf(expression)?)),
            _ => {
                let mut mistakes = Vec::new();
                let pieces = pieces.into_iter().filter_map(|piece| match piece {
                    Split::Text(text) => Some(Piece::Text(text)),
                    Split::Expression(expression) => self
                        .leaf(expression)
                        .map_err(|wrong| mistakes.extend(wrong))
                        .ok()
                        .map(|leaf| Piece::Value(Arc::new(leaf))),
                });
                let pieces = pieces.collect();
                if !mistakes.is_empty() {
                    return Err(mistakes);
                }
                Body::Text(pieces)
            }
        };
        Ok(Template { source: source.to_owned(), body })
    }

    /// A value of the file that is no text.
    pub(crate) fn constant(value: Json) -> Template {
        Template { source: value.to_string(), body: Body::Constant(value) }
    }

    /// Compiles a condition: an expression without `${}`.
    ///
    /// # Errors
    /// All that is wrong, each a sentence.
    pub(crate) fn condition(&self, source: &str) -> Result<Condition, Vec<String>> {
        if source.contains("${") {
            return Err(vec!["a condition is an expression by itself; take the ${ } away".to_owned()]);
        }
        Ok(Condition { source: source.to_owned(), leaf: self.leaf(source)? })
    }

    fn leaf(&self, source: &str) -> Result<Leaf, Vec<String>> {
        let names: Vec<&str> = self.variables.iter().map(|variable| variable.as_str()).collect();
        let unknown = |name: &str| self.unknown(name);
        let variables = Variables { names: &names, unknown: &unknown, simpler: "split it into several values" };
        let (expression, references) = compile(source, &variables)?;
        let mistakes = self.check(&references);
        if mistakes.is_empty() { Ok(Leaf { path: Path::parse(source), expression, references }) } else { Err(mistakes) }
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.variables.iter().map(|variable| variable.as_str());
        let known = hint(name, names);
        match Variable::named(name) {
            Some(Variable::F | Variable::Rec) => {
                format!(
                    "{name} is not there: a request has many records; use it in item, or set batch.maxRecords to 1 {known}"
                )
            }
            Some(_) => format!("{name} is not there {known}"),
            None => format!("there is no variable \"{name}\" {known}"),
        }
    }

    fn check(&self, references: &References) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (name, members) in &references.variables {
            match Variable::named(name) {
                Some(Variable::Settings) => self.settings(members, &mut mistakes),
                Some(Variable::Cfg) => {
                    if let Some(config) = self.config {
                        of_schema("cfg", config, members, &mut mistakes);
                    }
                }
                Some(Variable::F) => {
                    if let Some(fields) = self.fields {
                        of_schema("f", fields, members, &mut mistakes);
                    }
                }
                Some(Variable::Rec) => self.rec(members, &mut mistakes),
                Some(Variable::Ensure) => of_names("ensure", self.ensured, members, &mut mistakes),
                Some(Variable::Auth) => {
                    if let Some(captured) = self.captured {
                        of_names("auth", captured, members, &mut mistakes);
                    }
                }
                Some(Variable::Job) => of_names("job", self.job, members, &mut mistakes),
                Some(Variable::Batch) => of_names("batch", &["id", "size", "op", "group"], members, &mut mistakes),
                Some(Variable::Request) => {
                    of_names("request", &["timestamp", "method", "path", "body"], members, &mut mistakes);
                }
                Some(Variable::Signature) => of_names("signature", &["hex", "base64"], members, &mut mistakes),
                _ => {}
            }
        }
        mistakes
    }

    fn settings(&self, members: &Members, mistakes: &mut Vec<String>) {
        if members.whole && self.secrets {
            mistakes.push(
                "settings is to be named by its members here, settings.name: they are what is required".to_owned(),
            );
        }
        for (name, asked) in &members.named {
            match self.settings.member(name) {
                Member::Known(schema) if schema.extra.secret && !self.secrets => {
                    mistakes.push(format!("settings.{name} is a secret: it can be used in auth only"));
                }
                Member::Known(schema) => {
                    let there = self.secrets || schema.default.is_some() || self.settings.required.contains(name);
                    must_be_there("settings", name, *asked, there, mistakes);
                }
                Member::Any => {}
                Member::Unknown => mistakes.push(no_member("settings", name, self.settings)),
            }
        }
    }

    fn rec(&self, members: &Members, mistakes: &mut Vec<String>) {
        for (name, asked) in &members.named {
            let there = match RecMember::named(name) {
                Some(RecMember::Id | RecMember::Key | RecMember::Op) => true,
                Some(RecMember::Match | RecMember::MatchBy) => self.promised.matched,
                Some(RecMember::Group | RecMember::GroupBy) => self.promised.grouped,
                Some(RecMember::Found) => self.promised.found,
                Some(RecMember::RemoteId) => self.promised.identified,
                None => {
                    let known = hint(name, RecMember::ALL.iter().map(|member| member.as_str()));
                    mistakes.push(format!("there is no rec.{name} {known}"));
                    continue;
                }
            };
            must_be_there("rec", name, *asked, there, mistakes);
        }
        if let (Some(stored), Some(found)) = (self.stored, members.below.get(RecMember::Found.as_str())) {
            for name in found.iter().filter(|name| !stored.contains(name)) {
                let known = hint(name, stored.iter().map(String::as_str));
                mistakes
                    .push(format!("there is no rec.found.{name}: the lookup's match.store does not say it {known}"));
            }
        }
    }
}

fn of_schema(variable: &str, schema: &Schema, members: &Members, mistakes: &mut Vec<String>) {
    for (name, asked) in &members.named {
        let there = match schema.member(name) {
            Member::Known(member) => member.default.is_some() && variable == "cfg" || schema.required.contains(name),
            Member::Any => schema.required.contains(name),
            Member::Unknown => {
                mistakes.push(no_member(variable, name, schema));
                continue;
            }
        };
        must_be_there(variable, name, *asked, there, mistakes);
    }
}

fn of_names<N: AsRef<str>>(variable: &str, names: &[N], members: &Members, mistakes: &mut Vec<String>) {
    for name in members.named.keys().filter(|name| !names.iter().any(|known| known.as_ref() == name.as_str())) {
        let known = hint(name, names.iter().map(|known| known.as_ref()));
        mistakes.push(format!("there is no {variable}.{name} {known}"));
    }
}

fn must_be_there(variable: &str, name: &str, asked: Asked, there: bool, mistakes: &mut Vec<String>) {
    if asked.must_be_there() && !there {
        let required = if variable == "rec" { "" } else { ", or make it required" };
        mistakes.push(format!("{variable}.{name} may not be there; write {variable}.?{name}{required}"));
    }
}

fn no_member(variable: &str, name: &str, schema: &Schema) -> String {
    let known = hint(name, schema.properties.iter().map(|(name, _)| name.as_str()));
    format!("there is no {variable}.{name} {known}")
}
