//! Values and records against the action's schema.

use std::borrow::Cow;
use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::record::Rejection;
use backflow_core::selection::Operation;
use backflow_definitions::schema::{Schema, Type, lacks};
use backflow_definitions::{Scope, Variable};
use backflow_expressions::{Json, raw, texts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::path::joined;

/// What a field's values must be.
#[derive(Clone, Debug)]
pub(crate) struct Fit {
    schema: Arc<Schema>,
    /// Only their type matters: they are sent as they are.
    plain: bool,
}

impl Fit {
    /// Nothing if they may be anything.
    pub(crate) fn new(schema: &Arc<Schema>) -> Option<Self> {
        let plain = schema.is_plain();
        (!plain || !schema.types.is_empty()).then(|| Self { schema: Arc::clone(schema), plain })
    }

    /// The value as the destination takes it; NULL stays NULL, and what is none after all becomes it.
    pub(crate) fn apply<'c>(&self, cell: Cow<'c, Cell>, field: &str) -> Result<Cow<'c, Cell>, Rejection> {
        if cell.is_null() {
            return Ok(cell);
        }
        // A decimal is a number where a number is wanted, with all its digits, and a text elsewhere.
        if let Cell::Decimal(digits) = &*cell
            && self.plain
            && !self.schema.allows(Type::String)
            && let Some(number) = texts::number(digits)
        {
            let kind = if number.contains(['.', 'e', 'E']) { Type::Number } else { Type::Integer };
            return if self.schema.allows(kind) {
                Ok(Cow::Owned(Cell::Json(number.into())))
            } else {
                Err(self.wrong(field))
            };
        }
        if self.plain {
            return if self.schema.allows(type_of(&cell)) { Ok(cell) } else { Err(self.wrong(field)) };
        }
        let json = self.json(&cell).map_err(|reason| misfit("INVALID_FIELD", field, &reason))?;
        let fitted = self
            .schema
            .conform(json)
            .map_err(|wrong| misfit(wrong.code, &format!("{field}{}", wrong.path), &wrong.message))?;
        Ok(Cow::Owned(fitted.into_cell()))
    }

    fn json(&self, cell: &Cell) -> Result<Json, String> {
        Ok(match cell {
            Cell::Null => Json::Null,
            Cell::Bool(value) => Json::Bool(*value),
            Cell::Int(value) => Json::Int(*value),
            Cell::Float(value) if value.is_finite() => Json::Float(*value),
            Cell::Float(value) => Json::Text(value.to_string()),
            Cell::Decimal(digits) if !self.schema.allows(Type::String) => texts::number(digits)
                .and_then(|number| Json::parse(&number).ok())
                .unwrap_or(Json::Text(digits.to_string())),
            Cell::Decimal(text) | Cell::Text(text) | Cell::Time(text) => Json::Text(text.to_string()),
            Cell::Bytes(bytes) => Json::Text(STANDARD.encode(bytes)),
            Cell::Json(text) => Json::parse(text).map_err(|error| error.to_string())?,
        })
    }

    fn wrong(&self, field: &str) -> Rejection {
        misfit("INVALID_FIELD", field, &format!("must be {}", self.schema.noun()))
    }
}

/// The type that a cell has in JSON.
fn type_of(cell: &Cell) -> Type {
    match cell {
        Cell::Null => Type::Null,
        Cell::Bool(_) => Type::Boolean,
        Cell::Int(_) => Type::Integer,
        Cell::Float(value) if value.fract() == 0.0 => Type::Integer,
        Cell::Float(value) if value.is_finite() => Type::Number,
        Cell::Float(_) | Cell::Decimal(_) | Cell::Text(_) | Cell::Time(_) | Cell::Bytes(_) => Type::String,
        Cell::Json(text) => match text.trim_start().as_bytes().first() {
            Some(b'{') => Type::Object,
            Some(b'[') => Type::Array,
            Some(b'"') => Type::String,
            Some(b't' | b'f') => Type::Boolean,
            Some(b'n') => Type::Null,
            _ if text.contains(['.', 'e', 'E']) => Type::Number,
            _ => Type::Integer,
        },
    }
}

fn misfit(code: &str, field: &str, message: &str) -> Rejection {
    Rejection::new(code, Some(field), format!("field {field}: {message}"))
}

/// What a whole record must have, as far as that is not sure before a row is seen.
#[derive(Debug)]
pub(crate) struct Whole {
    schema: Arc<Schema>,
    required: Vec<String>,
    /// By operation, what is required under conditions: those that hold, and those that depend on the record.
    conditional: Vec<(Operation, Vec<Conditional>)>,
    config: Json,
    settings: Json,
}

/// A field that is required under a condition.
#[derive(Debug)]
struct Conditional {
    path: Vec<String>,
    field: Arc<Schema>,
    /// The condition holds whatever the record is.
    holds: bool,
}

impl Whole {
    /// Nothing if there is nothing to look at. `sure`: whether what a path leads to is there in every record.
    pub(crate) fn new(
        schema: &Arc<Schema>,
        config: &Json,
        settings: &Json,
        ops: &[Operation],
        sure: &dyn Fn(&[String]) -> bool,
    ) -> Option<Self> {
        let sure_of = |name: &String| sure(std::slice::from_ref(name));
        let required: Vec<String> = schema.required.iter().filter(|name| !sure_of(name)).cloned().collect();
        let scope = Scope::new().with(Variable::Settings, settings).with(Variable::Cfg, config);
        let of_op = |op: &Operation| {
            let named = Json::Text(op.as_str().to_owned());
            let scope = scope.with(Variable::Op, &named);
            let conditional = schema.conditional().into_iter().filter(|(path, _)| !sure(path));
            let conditional = conditional.filter_map(|(path, field)| {
                let condition = field.extra.required_when.as_ref()?;
                let depends = condition.names(Variable::F);
                let holds = !depends && condition.holds(&scope);
                (depends || holds).then(|| Conditional { path, field: Arc::clone(field), holds })
            });
            (*op, conditional.collect::<Vec<_>>())
        };
        let conditional: Vec<_> = ops.iter().map(of_op).filter(|(_, conditional)| !conditional.is_empty()).collect();
        let any = schema.any_of.is_empty() || schema.any_of.iter().any(|group| group.required.iter().all(sure_of));
        let groups = !any || !schema.one_of.is_empty() || !schema.dependent_required.is_empty();
        (!required.is_empty() || !conditional.is_empty() || groups).then(|| Self {
            schema: Arc::clone(schema),
            required,
            conditional,
            config: config.clone(),
            settings: settings.clone(),
        })
    }

    /// Whether a record's data has all that it must have, to be sent by an operation.
    pub(crate) fn check(&self, data: &str, op: Operation) -> Result<(), Rejection> {
        let there: Vec<_> = raw::members(data).into_iter().flatten().filter(|(_, value)| *value != "null").collect();
        let has = |name: &String| there.iter().any(|(own, _)| own.is(name));
        let missing = |name: &str| misfit("MISSING_FIELD", name, "has no value and is required");
        if let Some(name) = self.required.iter().find(|name| !has(name)) {
            return Err(missing(name));
        }
        for (name, others) in self.schema.dependent_required.iter().filter(|(name, _)| has(name)) {
            if let Some(other) = others.iter().find(|other| !has(other)) {
                return Err(misfit("MISSING_FIELD", other, &format!("has no value and is required with {name}")));
            }
        }
        let holds = |groups: &[Schema]| groups.iter().filter(|group| group.required.iter().all(has)).count();
        let named =
            |groups: &[Schema]| groups.iter().map(|group| group.required.join(" and ")).collect::<Vec<_>>().join(", ");
        if !self.schema.any_of.is_empty() && holds(&self.schema.any_of) == 0 {
            let message = format!("the record needs at least one of: {}", named(&self.schema.any_of));
            return Err(Rejection::new("MISSING_FIELD", None, message));
        }
        if !self.schema.one_of.is_empty() && holds(&self.schema.one_of) != 1 {
            let message = format!("the record needs exactly one of: {}", named(&self.schema.one_of));
            return Err(Rejection::new("MISSING_FIELD", None, message));
        }
        let conditional = self.conditional.iter().find(|(other, _)| *other == op);
        let conditional = conditional.into_iter().flat_map(|(_, conditional)| conditional);
        let mut open = conditional.filter(|one| !matches!(&one.path[..], [name] if has(name))).peekable();
        if open.peek().is_none() {
            return Ok(());
        }
        let Ok(fields) = Json::parse(data) else { return Ok(()) };
        let op = Json::Text(op.as_str().to_owned());
        let scope = Scope::new().with(Variable::Settings, &self.settings).with(Variable::Cfg, &self.config);
        let scope = scope.with(Variable::F, &fields).with(Variable::Op, &op);
        for Conditional { path, field, holds } in open.filter(|one| lacks(&fields, &one.path)) {
            let Some(condition) = &field.extra.required_when else { continue };
            if *holds || condition.holds(&scope) {
                let path = joined(path);
                let why = format!("has no value and is required (because {})", condition.source());
                return Err(misfit("MISSING_FIELD", &path, &why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
