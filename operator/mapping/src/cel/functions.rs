//! What expressions may call: the standard library, the extension for strings, and functions of ours.

use std::sync::{Arc, LazyLock};

use cel::common::functions::Function;
use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelOptional, CelString, DYN_TYPE, Kind, Type};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::value::{of_json, text, to_json};
use crate::json::Json;
use crate::{normalize, texts, time};

/// The language of all expressions; or, if this program declares a function twice, why there is none.
pub(super) static LANGUAGE: LazyLock<Result<Arc<Env>, DeclarationError>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)?;
    for function in OURS {
        for arguments in function.least..=function.most {
            let id = format!("{}_{arguments}", function.name);
            env.add_overload(function.name, &id, anything(arguments), function.call)?;
            if function.member {
                let id = format!("member_{id}");
                env.add_member_overload(function.name, &id, DYN_TYPE, anything(arguments - 1), function.call)?;
            }
        }
    }
    Ok(Arc::new(env))
});

/// Arguments of any type: the functions look for themselves.
fn anything(arguments: usize) -> Vec<Type> {
    std::iter::repeat_with(|| DYN_TYPE).take(arguments).collect()
}

/// How a function is called: its name, whether as `x.name()`, the least and the most arguments (`x` not counted).
pub(super) type Signature = (&'static str, bool, usize, usize);

/// Functions of the standard library and of the extension for strings. What formats or builds texts of any length is left out.
const STANDARD: &[Signature] = &[
    ("size", false, 1, 1),
    ("size", true, 0, 0),
    ("int", false, 1, 1),
    ("double", false, 1, 1),
    ("string", false, 1, 1),
    ("bool", false, 1, 1),
    ("bytes", false, 1, 1),
    ("type", false, 1, 1),
    ("dyn", false, 1, 1),
    ("matches", false, 2, 2),
    ("matches", true, 1, 1),
    ("contains", true, 1, 1),
    ("startsWith", true, 1, 1),
    ("endsWith", true, 1, 1),
    ("charAt", true, 1, 1),
    ("indexOf", true, 1, 2),
    ("lastIndexOf", true, 1, 2),
    ("join", true, 0, 1),
    ("lowerAscii", true, 0, 0),
    ("upperAscii", true, 0, 0),
    ("replace", true, 2, 3),
    ("split", true, 1, 2),
    ("substring", true, 1, 2),
    ("reverse", true, 0, 0),
    ("value", true, 0, 0),
    ("hasValue", true, 0, 0),
    ("or", true, 1, 1),
    ("orValue", true, 1, 1),
];

/// Functions whose target is a name.
pub(super) const OPTIONAL: &[Signature] = &[("none", true, 0, 0), ("of", true, 1, 1), ("ofNonZeroValue", true, 1, 1)];

/// Every function and the ways to call it.
pub(super) fn signatures() -> impl Iterator<Item = Signature> {
    let ours = OURS.iter().flat_map(|function| {
        let member = function.member.then(|| (function.name, true, function.least - 1, function.most - 1));
        [Some((function.name, false, function.least, function.most)), member].into_iter().flatten()
    });
    STANDARD.iter().copied().chain(ours)
}

struct Ours {
    name: &'static str,
    /// Also as `x.name()`.
    member: bool,
    least: usize,
    most: usize,
    call: Function,
}

/// A function of one text that gives a text or null; of null it gives null.
macro_rules! of_text {
    ($name:literal, $rule:expr) => {
        Ours { name: $name, member: true, least: 1, most: 1, call: |args| texted(&args, |text, _| Ok($rule(text))) }
    };
}

const OURS: &[Ours] = &[
    of_text!("lower", |text: &str| Some(text.to_lowercase())),
    of_text!("upper", |text: &str| Some(text.to_uppercase())),
    of_text!("trim", |text: &str| Some(text.trim().to_owned())),
    of_text!("title", |text: &str| Some(texts::title(text))),
    of_text!("sha256", normalize::sha256),
    of_text!("email", normalize::email),
    of_text!("name", normalize::name),
    of_text!("city", normalize::city),
    of_text!("state", normalize::state),
    of_text!("country", normalize::country),
    of_text!("birthday", normalize::birthday),
    of_text!("nonBlank", |text: &str| (!text.trim().is_empty()).then(|| text.to_owned())),
    Ours {
        name: "phone",
        member: true,
        least: 1,
        most: 2,
        call: |args| texted(&args, |number, country| Ok(normalize::phone(number, country))),
    },
    Ours {
        name: "zip",
        member: true,
        least: 1,
        most: 2,
        call: |args| texted(&args, |zip, country| Ok(normalize::zip(zip, country))),
    },
    Ours {
        name: "date",
        member: true,
        least: 2,
        most: 2,
        call: |args| {
            texted(&args, |time, format| match time::format(time, format.unwrap_or_default()) {
                Some(text) => Ok(Some(text)),
                None => Err(ExecutionError::function_error("date", "no timestamp")),
            })
        },
    },
    Ours { name: "unix", member: true, least: 1, most: 1, call: |args| instant(&args, jiff::Timestamp::as_second) },
    Ours {
        name: "unixMillis",
        member: true,
        least: 1,
        most: 1,
        call: |args| instant(&args, jiff::Timestamp::as_millisecond),
    },
    Ours { name: "num", member: true, least: 1, most: 1, call: num },
    Ours { name: "coalesce", member: false, least: 2, most: 8, call: coalesce },
    Ours { name: "jsonEncode", member: true, least: 1, most: 1, call: json_encode },
    Ours { name: "jsonDecode", member: true, least: 1, most: 1, call: json_decode },
    Ours { name: "flatten", member: true, least: 2, most: 3, call: flatten },
    Ours { name: "merge", member: false, least: 2, most: 8, call: merge },
    Ours { name: "omitNull", member: true, least: 1, most: 1, call: omit_null },
];

/// A text or null.
fn said<'b, 'v>(text: Option<String>) -> CowVal<'b, 'v> {
    text.map_or_else(|| CowVal::owned(CelNull), |text| CowVal::owned(CelString::from(text)))
}

fn texted<'b, 'v>(
    args: &[CowVal<'b, 'v>],
    rule: impl FnOnce(&str, Option<&str>) -> Result<Option<String>, ExecutionError>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [first, rest @ ..] = args else { return Err(ExecutionError::missing_argument_or_target()) };
    let Some(first) = text(first.as_ref())? else { return Ok(CowVal::owned(CelNull)) };
    let second = match rest.first() {
        Some(second) => text(second.as_ref())?,
        None => None,
    };
    Ok(said(rule(&first, second.as_deref())?))
}

fn instant<'b, 'v>(
    args: &[CowVal<'b, 'v>],
    count: fn(jiff::Timestamp) -> i64,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value] = args else { return Err(ExecutionError::missing_argument_or_target()) };
    let Some(text) = text(value.as_ref())? else { return Ok(CowVal::owned(CelNull)) };
    let instant = time::instant(&text).ok_or_else(|| ExecutionError::function_error("unix", "no timestamp"))?;
    Ok(CowVal::owned(CelInt::from(count(instant))))
}

/// A number: of a text with one, too. Integers stay integers.
fn num<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = only(args)?;
    if !matches!(value.get_type().kind(), Kind::String) {
        return match value.get_type().kind() {
            Kind::Int | Kind::Double | Kind::UInt | Kind::NullType => Ok(value),
            _ => Err(ExecutionError::UnexpectedType {
                got: value.get_type().name().to_owned(),
                want: "number".to_owned(),
            }),
        };
    }
    let text = text(value.as_ref())?.unwrap_or_default().trim().to_owned();
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(CowVal::owned(CelInt::from(whole)));
    }
    match texts::number(&text).and_then(|number| number.parse::<f64>().ok()).filter(|number| number.is_finite()) {
        Some(number) => Ok(CowVal::owned(CelDouble::from(number))),
        None => Err(ExecutionError::function_error("num", "no number")),
    }
}

/// The first argument that is neither null nor `optional.none()`.
fn coalesce<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    for arg in args {
        match arg.downcast_ref::<CelOptional>() {
            Some(optional) => match optional.option() {
                Some(value) if value.get_type().kind() != Kind::NullType => return Ok(value.clone_as_boxed().into()),
                _ => {}
            },
            None if arg.get_type().kind() == Kind::NullType => {}
            None => return Ok(arg),
        }
    }
    Ok(CowVal::owned(CelNull))
}

fn json_encode<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Some(json) = to_json(only(args)?.as_ref())? else { return Ok(CowVal::owned(CelNull)) };
    let mut out = String::new();
    json.write(&mut out);
    Ok(said(Some(out)))
}

fn json_decode<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = only(args)?;
    let Some(text) = text(value.as_ref())? else { return Ok(CowVal::owned(CelNull)) };
    let json = Json::parse(&text).map_err(|error| ExecutionError::function_error("jsonDecode", error))?;
    Ok(of_json(json).into())
}

fn flatten<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, rest @ ..] = &args[..] else { return Err(ExecutionError::missing_argument_or_target()) };
    let separator = match rest.first() {
        Some(separator) => text(separator.as_ref())?.unwrap_or_default(),
        None => return Err(ExecutionError::missing_argument_or_target()),
    };
    let lists = rest.get(1).and_then(|lists| lists.downcast_ref::<CelBool>()).is_none_or(|lists| *lists.inner());
    let json = to_json(value.as_ref())?.unwrap_or(Json::Null);
    let flat = if matches!(json, Json::Object(_) | Json::List(_)) { json.flatten(&separator, lists) } else { json };
    Ok(of_json(flat).into())
}

/// One object of the members of all; of those with one name the last. Null is no object, and no error.
fn merge<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut merged = std::collections::BTreeMap::new();
    for arg in &args {
        match to_json(arg.as_ref())? {
            Some(Json::Object(members)) => merged.extend(members),
            None | Some(Json::Null) => {}
            Some(_) => {
                return Err(ExecutionError::UnexpectedType {
                    got: arg.get_type().name().to_owned(),
                    want: "map".to_owned(),
                });
            }
        }
    }
    Ok(of_json(Json::Object(merged)).into())
}

fn omit_null<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(of_json(to_json(only(args)?.as_ref())?.unwrap_or(Json::Null).omit_null()).into())
}

fn only<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    args.into_iter().next().ok_or_else(ExecutionError::missing_argument_or_target)
}
