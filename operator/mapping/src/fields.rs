//! `fields`: from what a field says to the node that makes its value.

use std::borrow::Cow;
use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::plan::{Field, FieldSource, Items};
use serde_json::Value;

use crate::compile::Compiler;
use crate::compute::{Computed, List, Named, Source};
use crate::expression::{self, References};
use crate::fit::Fit;
use crate::path::split;
use crate::steps::{Steps, constant};
use crate::template;
use crate::tree::{Node, Object};

/// Where a field stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the record.
    Record,
    /// In `items.each`, where columns are members of the item.
    Item,
}

impl Compiler<'_> {
    /// Puts a field into the record. `at`: its path in the manifest; `names`: its path in the record.
    pub(crate) fn field(&mut self, at: &str, names: &[String], label: &str, field: &Field) {
        if let FieldSource::Object(fields) = &field.from {
            if fields.is_empty() {
                let message =
                    format!("{at}.object: there are no fields in it; add some, or use value: {{}} for an empty object");
                self.find(&format!("{at}.object"), "InvalidField", message);
            }
            for (name, field) in fields {
                let at = format!("{at}.object.{name}");
                if let Some(inner) = self.names(&at, name) {
                    let names: Vec<String> = names.iter().cloned().chain(inner).collect();
                    self.field(&at, &names, &format!("{label}.{name}"), field);
                }
            }
            return;
        }
        let fit = self.fit(at, names);
        if let Some(node) = self.node(at, label, field, Place::Record, fit) {
            self.insert(at, names, node, "");
        }
    }

    /// The names of a path; adds a finding if it is none.
    pub(crate) fn names(&mut self, at: &str, path: &str) -> Option<Vec<String>> {
        split(path).map_err(|error| self.find(at, "InvalidPath", format!("{at}: {error}"))).ok()
    }

    /// What makes the value of a field that is no object.
    fn node(&mut self, at: &str, label: &str, field: &Field, place: Place, fit: Option<Fit>) -> Option<Node> {
        let steps = Steps::new(field);
        match &field.from {
            FieldSource::Column(name) if place == Place::Record && steps.is_empty() => {
                return Some(self.plain_column(at, name, field.on_null, label, fit));
            }
            FieldSource::Value(value) if steps.is_empty() => return self.constant(at, label, value, fit),
            FieldSource::Items(items) => return self.items(at, label, items, place, fit),
            _ => {}
        }
        let source = self.source(at, &field.from, place)?;
        Some(Node::Computed(Arc::new(Computed { source, steps, on_null: field.on_null, field: label.to_owned(), fit })))
    }

    /// A constant, as the action takes it.
    fn constant(&mut self, at: &str, label: &str, value: &Value, fit: Option<Fit>) -> Option<Node> {
        let Some(fit) = fit else { return Some(Node::Constant(value.to_string())) };
        match fit.apply(Cow::Owned(Cell::Json(value.to_string().into())), label) {
            Ok(cell) => {
                let mut json = String::new();
                cell.write_json(&mut json);
                Some(Node::Constant(json))
            }
            Err(rejection) => {
                let reason = rejection.message.split_once(": ").map_or("", |(_, reason)| reason);
                self.find(at, "InvalidField", format!("{at}.value: {reason}"));
                None
            }
        }
    }

    fn source(&mut self, at: &str, from: &FieldSource, place: Place) -> Option<Source> {
        let inside = place == Place::Item;
        match from {
            FieldSource::Column(name) if inside => Some(Source::Member(name.clone())),
            FieldSource::Column(name) => {
                self.known(at, name);
                Some(Source::Column(self.used(name)))
            }
            FieldSource::Value(value) => Some(Source::Constant(constant(value))),
            FieldSource::Template(source) => {
                let at = format!("{at}.template");
                let (template, references) =
                    self.compiled(&at, "InvalidTemplate", template::compile(source, inside))?;
                let names = self.refer(&at, &references);
                Some(Source::Template(template, names))
            }
            FieldSource::Cel(source) => {
                let at = format!("{at}.cel");
                let (expression, references) =
                    self.compiled(&at, "InvalidExpression", expression::compile(source, inside))?;
                let names = self.refer(&at, &references);
                for named in names {
                    if !self.record.contains(&named) {
                        self.record.push(named);
                    }
                }
                Some(Source::Cel(expression))
            }
            // Objects and lists are no single value.
            FieldSource::Object(_) | FieldSource::Items(_) => {
                self.find(at, "InvalidField", format!("{at}: must be a column, value, template or cel"));
                None
            }
        }
    }

    fn compiled<T>(&mut self, at: &str, code: &'static str, compiled: Result<T, Vec<String>>) -> Option<T> {
        compiled
            .map_err(|mistakes| {
                for mistake in mistakes {
                    self.find(at, code, format!("{at}: {mistake}"));
                }
            })
            .ok()
    }

    /// The columns that a template or an expression refers to.
    fn refer(&mut self, at: &str, references: &References) -> Vec<Named> {
        let mut names: Vec<String> = references.columns.iter().cloned().collect();
        for name in &names {
            self.known(at, name);
        }
        if references.whole {
            names.extend(self.columns.unwrap_or_default().iter().map(|column| column.name.clone()));
        }
        names.sort();
        names.dedup();
        names
            .into_iter()
            .map(|name| {
                let used = self.used(&name);
                (name, used)
            })
            .collect()
    }

    fn items(&mut self, at: &str, label: &str, items: &Items, place: Place, fit: Option<Fit>) -> Option<Node> {
        let of_at = format!("{at}.items.of");
        let source = self.source(&of_at, &items.of.from, place);
        if items.each.is_empty() {
            let at = format!("{at}.items.each");
            self.find(&at, "InvalidField", format!("{at}: there are no fields in it; add some"));
        }
        let mut each = Object::default();
        for (name, field) in &items.each {
            let at = format!("{at}.items.each.{name}");
            let label = format!("{label}[].{name}");
            let names = self.names(&at, name);
            let node = match &field.from {
                FieldSource::Object(_) => self.source(&at, &field.from, Place::Item).and(None),
                _ => self.node(&at, &label, field, Place::Item, None),
            };
            if let (Some(names), Some(node)) = (names, node)
                && let Err(other) = each.insert(&names, node)
            {
                self.conflict(&at, &names, &other, "");
            }
        }
        let steps = Steps::new(&items.of);
        let of = Computed { source: source?, steps, on_null: items.of.on_null, field: label.to_owned(), fit: None };
        Some(Node::List(Arc::new(List { of, each, fit })))
    }
}
