//! Fields that are texts with expressions in them: `{{ first_name }} {{ last_name }}`.
//!
//! A template sees columns under their names, all of them also as members of `record`, and in `items.each` the `item`. As in SQL a
//! NULL makes the whole text NULL, unless `default` stands for it. A member that is not there is an error, unless `default` does.

mod check;
mod filters;
mod value;

use std::error::Error as _;
use std::sync::{Arc, LazyLock};

use backflow_core::cell::Cell;
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use backflow_expressions::json::BYTES;
use backflow_expressions::{Json, LONGEST};

use crate::expression::{References, SIMPLER};

/// What one text may cost: about as many steps, or 64 times as many bytes.
const FUEL: u64 = 50_000;
/// The name of the one template of an environment.
const NAME: &str = "template";

static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(|out, _, value| match value.kind() {
        ValueKind::None => Err(Error::from(ErrorKind::InvalidOperation).with_source(IsNull)),
        ValueKind::Undefined => Ok(()),
        ValueKind::Number | ValueKind::String => Ok(write!(out, "{value}")?),
        _ => {
            let mut text = String::new();
            value::to_json(value)?.write(&mut text);
            Ok(out.write_str(&text)?)
        }
    });
    filters::add(&mut environment);
    environment
});

/// A NULL was to be written.
#[derive(Debug, thiserror::Error)]
#[error("NULL")]
struct IsNull;

/// A field's template.
#[derive(Debug)]
pub(crate) struct Template {
    /// Holds the one template.
    environment: Arc<Environment<'static>>,
    /// Whether `record` is named.
    record: bool,
    /// Columns of which members are asked.
    navigated: Vec<String>,
}

/// Compiles a template and says what it refers to. `inside`: it stands in `items.each`.
///
/// # Errors
/// All mistakes, each a sentence with its place.
pub(crate) fn compile(source: &str, inside: bool) -> Result<(Template, References), Vec<String>> {
    if source.chars().count() > LONGEST {
        return Err(vec![format!("it is longer than {LONGEST} characters; {SIMPLER}")]);
    }
    let found = check::check(source, inside)?;
    let mut environment = LANGUAGE.clone();
    environment
        .add_template_owned(NAME, source.to_owned())
        .map_err(|error| vec![error.detail().unwrap_or("it is no template").to_owned()])?;
    let template = Template { environment: Arc::new(environment), record: found.record, navigated: found.navigated };
    Ok((template, found.references))
}

impl Template {
    /// The text, or NULL; or, in words without any of the row's values, why there is none. `columns`: those that it refers to.
    pub(crate) fn render<'c>(
        &self,
        columns: impl Iterator<Item = (&'c str, &'c Cell)> + Clone,
        item: Option<&Json>,
    ) -> Result<Cell, String> {
        let bind = |(name, cell): (&'c str, &'c Cell)| value::of_cell(cell).map(|value| (Value::from(name), value));
        let mut names: Vec<(Value, Value)> =
            columns.clone().map(bind).collect::<Result<_, _>>().map_err(|error| format!("a JSON column: {error}"))?;
        if self.record {
            names.push((Value::from("record"), Value::from_pairs(names.clone())));
        }
        if let Some(item) = item {
            names.retain(|(name, _)| name.as_str() != Some("item"));
            names.push((Value::from("item"), value::of_json(item.clone())));
        }
        let text = self.environment.get_template(NAME).and_then(|template| template.render(Value::from_pairs(names)));
        match text {
            Ok(text) if text.len() > BYTES => Err(format!("the text is longer than {BYTES} bytes")),
            Ok(text) => Ok(Cell::Text(text.into())),
            Err(error) if is_null(&error) => Ok(Cell::Null),
            Err(error) if error.kind() == ErrorKind::UndefinedError && self.navigates_null(columns) => Ok(Cell::Null),
            Err(error) => Err(reason(&error)),
        }
    }

    /// Whether a member was asked of NULL: that is NULL, too.
    fn navigates_null<'c>(&self, mut columns: impl Iterator<Item = (&'c str, &'c Cell)>) -> bool {
        columns.any(|(name, cell)| {
            let null = matches!(cell, Cell::Null) || matches!(cell, Cell::Json(text) if &**text == "null");
            null && self.navigated.iter().any(|navigated| navigated == name)
        })
    }
}

fn is_null(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<IsNull>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Why a template has no text. The engine's own words may hold values of the row.
fn reason(error: &Error) -> String {
    let reason = match error.kind() {
        ErrorKind::UndefinedError => "it names a member that is not there; add | default(…)",
        ErrorKind::InvalidOperation => "a filter or an operator cannot do it with this value",
        ErrorKind::OutOfFuel => "it takes too long",
        ErrorKind::BadSerialization => "a value has no form in JSON",
        _ => "it has no text for this row",
    };
    error.line().map_or_else(|| reason.to_owned(), |line| format!("at line {line}: {reason}"))
}

/// Names of filters.
#[cfg(test)]
pub(crate) fn filters() -> impl Iterator<Item = &'static str> {
    filters::names()
}

#[cfg(test)]
mod tests;
