//! Filters: `{{ email | lower }}`. What is not here does not exist. Of NULL every filter but `default` makes NULL.

use std::borrow::Cow;

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::value::{of_json, to_json};
use backflow_expressions::texts::TEXT_FUNCTIONS;
use backflow_expressions::{Json, normalize, texts, time};

type Call = fn(&Value, &[Value]) -> Result<Value, Error>;

/// A filter, the least and the most arguments that it takes. Those of one text without arguments are [`TEXT_FUNCTIONS`].
struct Filter {
    name: &'static str,
    least: usize,
    most: usize,
    call: Call,
}

const FILTERS: &[Filter] = &[
    Filter { name: "default", least: 1, most: 2, call: default },
    Filter { name: "capitalize", least: 0, most: 0, call: |value, _| Ok(Value::from(capitalize(&text(value)?))) },
    Filter { name: "phone", least: 0, most: 1, call: |value, args| placed(value, args, normalize::phone) },
    Filter { name: "zip", least: 0, most: 1, call: |value, args| placed(value, args, normalize::zip) },
    Filter { name: "replace", least: 2, most: 2, call: replace },
    Filter { name: "truncate", least: 1, most: 1, call: truncate },
    Filter { name: "split", least: 1, most: 1, call: split },
    Filter { name: "join", least: 0, most: 1, call: join },
    Filter { name: "first", least: 0, most: 0, call: |value, _| end(value, false) },
    Filter { name: "last", least: 0, most: 0, call: |value, _| end(value, true) },
    Filter { name: "length", least: 0, most: 0, call: length },
    Filter { name: "string", least: 0, most: 0, call: |value, _| Ok(Value::from(text(value)?.into_owned())) },
    Filter { name: "int", least: 0, most: 0, call: int },
    Filter { name: "float", least: 0, most: 0, call: |value, _| Ok(Value::from(float(value)?)) },
    Filter { name: "round", least: 0, most: 1, call: round },
    Filter { name: "date", least: 1, most: 1, call: date },
    Filter { name: "tojson", least: 0, most: 0, call: to_json_text },
    Filter { name: "fromjson", least: 0, most: 0, call: from_json_text },
];

/// Tests: `{% if email is none %}`.
pub(super) const TESTS: [&str; 5] = ["defined", "none", "number", "string", "undefined"];

/// The names of all filters.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|filter| filter.name).chain(TEXT_FUNCTIONS.iter().map(|function| function.name))
}

/// The least and the most arguments that the filter of this name takes; nothing if there is none.
pub(super) fn arguments(name: &str) -> Option<(usize, usize)> {
    let of_text = TEXT_FUNCTIONS.iter().any(|function| function.name == name).then_some((0, 0));
    of_text.or_else(|| FILTERS.iter().find(|filter| filter.name == name).map(|filter| (filter.least, filter.most)))
}

/// Adds all of them.
pub(super) fn add(environment: &mut Environment<'static>) {
    for function in &TEXT_FUNCTIONS {
        let rule = function.rule;
        environment.add_filter(function.name, move |value: &Value| -> Result<Value, Error> {
            match value.kind() {
                ValueKind::None => Ok(Value::from(())),
                ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
                _ => Ok(said(rule(&text(value)?))),
            }
        });
    }
    for filter in FILTERS {
        let (call, passes) = (filter.call, filter.name == "default");
        environment.add_filter(filter.name, move |value: &Value, args: Rest<Value>| -> Result<Value, Error> {
            match value.kind() {
                _ if passes => call(value, &args),
                ValueKind::None => Ok(Value::from(())),
                ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
                _ => call(value, &args),
            }
        });
    }
    environment.add_test("defined", |value: &Value| !value.is_undefined());
    environment.add_test("undefined", |value: &Value| value.is_undefined());
    environment.add_test("none", |value: &Value| value.is_none());
    environment.add_test("number", |value: &Value| value.is_number());
    environment.add_test("string", |value: &Value| value.kind() == ValueKind::String);
}

fn unfit() -> Error {
    Error::from(ErrorKind::InvalidOperation)
}

fn said(text: Option<String>) -> Value {
    text.map_or_else(|| Value::from(()), Value::from)
}

/// A text, the digits of a number, `true` or `false`.
fn text(value: &Value) -> Result<Cow<'_, str>, Error> {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => Ok(Cow::Borrowed(text)),
        (None, ValueKind::Number) => Ok(Cow::Owned(value.to_string())),
        (None, ValueKind::Bool) => Ok(Cow::Borrowed(if value.is_true() { "true" } else { "false" })),
        _ => Err(unfit()),
    }
}

/// An argument that is a text.
fn arg(args: &[Value], at: usize) -> Result<Cow<'_, str>, Error> {
    args.get(at).ok_or_else(unfit).and_then(text)
}

/// The other value in place of NULL and of what is not there; with `true` also of what is empty, zero or false.
fn default(value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [other, rest @ ..] = args else { return Err(unfit()) };
    let empty = rest.first().is_some_and(Value::is_true) && !value.is_true();
    Ok(if value.is_undefined() || value.is_none() || empty { other.clone() } else { value.clone() })
}

fn placed(value: &Value, args: &[Value], rule: fn(&str, Option<&str>) -> Option<String>) -> Result<Value, Error> {
    let country = args.first().filter(|country| !country.is_none()).map(text).transpose()?;
    Ok(said(rule(&text(value)?, country.as_deref())))
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect())
}

fn replace(value: &Value, args: &[Value]) -> Result<Value, Error> {
    let (value, from, to) = (text(value)?, arg(args, 0)?, arg(args, 1)?);
    // An empty pattern is found everywhere; nobody means that, and it makes long texts.
    if from.is_empty() { Err(unfit()) } else { Ok(Value::from(value.replace(&*from, &to))) }
}

fn truncate(value: &Value, args: &[Value]) -> Result<Value, Error> {
    let most = args.first().and_then(Value::as_usize).ok_or_else(unfit)?;
    Ok(Value::from(text(value)?.chars().take(most).collect::<String>()))
}

fn split(value: &Value, args: &[Value]) -> Result<Value, Error> {
    let separator = arg(args, 0)?;
    if separator.is_empty() { Err(unfit()) } else { Ok(text(value)?.split(&*separator).map(Value::from).collect()) }
}

/// The items as one text. Those that are NULL are left out.
fn join(value: &Value, args: &[Value]) -> Result<Value, Error> {
    let separator = args.first().map_or(Ok(Cow::Borrowed("")), text)?;
    let mut parts: Vec<String> = Vec::new();
    for item in list(value)? {
        if !item.is_none() {
            parts.push(text(&item)?.into_owned());
        }
    }
    Ok(Value::from(parts.join(&separator)))
}

fn list(value: &Value) -> Result<Vec<Value>, Error> {
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        Ok(value.try_iter()?.collect())
    } else {
        Err(unfit())
    }
}

/// The first or last item, or character; NULL if there is none.
fn end(value: &Value, last: bool) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        let mut chars = text.chars();
        return Ok(said(if last { chars.next_back() } else { chars.next() }.map(String::from)));
    }
    let items = list(value)?;
    Ok(if last { items.last() } else { items.first() }.cloned().unwrap_or_else(|| Value::from(())))
}

fn length(value: &Value, _: &[Value]) -> Result<Value, Error> {
    value.len().map(Value::from).ok_or_else(unfit)
}

fn float(value: &Value) -> Result<f64, Error> {
    let number = texts::number(&text(value)?).and_then(|number| number.parse::<f64>().ok());
    number.filter(|number| number.is_finite()).ok_or_else(unfit)
}

/// A whole number; what is behind the point is cut off.
fn int(value: &Value, _: &[Value]) -> Result<Value, Error> {
    if let Ok(whole) = text(value)?.trim().parse::<i64>() {
        return Ok(Value::from(whole));
    }
    let number = float(value)?.trunc();
    // Both bounds are powers of two, which f64 holds exactly.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) {
        Ok(Value::from(number as i64))
    } else {
        Err(unfit())
    }
}

/// Rounded half away from zero, to so many places.
fn round(value: &Value, args: &[Value]) -> Result<Value, Error> {
    let places = args.first().map_or(Some(0), Value::as_usize).filter(|places| *places <= 15).ok_or_else(unfit)?;
    let scale = 10_f64.powi(i32::try_from(places).unwrap_or_default());
    Ok(Value::from((float(value)? * scale).round() / scale))
}

fn date(value: &Value, args: &[Value]) -> Result<Value, Error> {
    time::format(&text(value)?, &arg(args, 0)?).map(Value::from).ok_or_else(unfit)
}

fn to_json_text(value: &Value, _: &[Value]) -> Result<Value, Error> {
    let mut out = String::new();
    to_json(value)?.write(&mut out);
    Ok(Value::from(out))
}

fn from_json_text(value: &Value, _: &[Value]) -> Result<Value, Error> {
    Json::parse(&text(value)?).map(of_json).map_err(|_| unfit())
}
