//! What expressions may call: the standard library, the extension for strings, and functions of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cel::common::functions::Function;
use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelOptional, CelString, DYN_TYPE, Kind, Type};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError, extensions};

use super::value::{of_json, text, to_json};
use crate::json::{ITEMS, Json};
use crate::texts::{COUNT, TEXT_FUNCTIONS};
use crate::{encode, hash, normalize, texts, time};

/// The language of all expressions; or, if this program declares a function twice, why there is none.
pub(super) static LANGUAGE: LazyLock<Result<Arc<Env>, DeclarationError>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)?;
    for function in ours() {
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
const BUILT_IN: &[Signature] = &[
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
    let ours = ours().flat_map(|function| {
        let member = function.member.then(|| (function.name, true, function.least - 1, function.most - 1));
        [Some((function.name, false, function.least, function.most)), member].into_iter().flatten()
    });
    BUILT_IN.iter().copied().chain(ours)
}

fn ours() -> impl Iterator<Item = &'static Ours> {
    OF_TEXT.iter().chain(OURS)
}

struct Ours {
    name: &'static str,
    /// Also as `x.name()`.
    member: bool,
    least: usize,
    most: usize,
    call: Function,
}

/// The functions of one text: of null they give null.
const OF_TEXT: [Ours; COUNT] = {
    const fn named<const AT: usize>() -> Ours {
        Ours { name: TEXT_FUNCTIONS[AT].name, member: true, least: 1, most: 1, call: of_text::<AT> }
    }
    [
        named::<0>(),
        named::<1>(),
        named::<2>(),
        named::<3>(),
        named::<4>(),
        named::<5>(),
        named::<6>(),
        named::<7>(),
        named::<8>(),
        named::<9>(),
        named::<10>(),
        named::<11>(),
        named::<12>(),
        named::<13>(),
        named::<14>(),
        named::<15>(),
        named::<16>(),
        named::<17>(),
    ]
};

/// The interpreter calls functions without data of their own, so there is one for each of the table.
fn of_text<'b, 'v, const AT: usize>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    texted(&args, |text, _| Ok((TEXT_FUNCTIONS[AT].rule)(text)))
}

const OURS: &[Ours] = &[
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
    Ours { name: "pick", member: true, least: 2, most: 2, call: |args| chosen(&args, true) },
    Ours { name: "omit", member: true, least: 2, most: 2, call: |args| chosen(&args, false) },
    Ours { name: "stringValues", member: true, least: 1, most: 1, call: string_values },
    Ours { name: "entries", member: true, least: 1, most: 1, call: entries },
    Ours { name: "object", member: true, least: 1, most: 1, call: of_entries },
    Ours { name: "range", member: false, least: 1, most: 1, call: range },
    Ours { name: "flattened", member: true, least: 1, most: 1, call: flattened },
    Ours {
        name: "unixMicros",
        member: true,
        least: 1,
        most: 1,
        call: |args| instant(&args, jiff::Timestamp::as_microsecond),
    },
    Ours {
        name: "hmacSha256",
        member: false,
        least: 2,
        most: 2,
        call: |args| texted(&args, |key, text| Ok(text.map(|text| hash::hmac_sha256(key, text)))),
    },
    Ours {
        name: "base64",
        member: true,
        least: 1,
        most: 1,
        call: |args| texted(&args, |text, _| Ok(Some(STANDARD.encode(text)))),
    },
    Ours {
        name: "url",
        member: true,
        least: 1,
        most: 1,
        call: |args| texted(&args, |text, _| Ok(Some(encode::segment(text)))),
    },
    Ours {
        name: "soqlQuote",
        member: true,
        least: 1,
        most: 1,
        call: |args| texted(&args, |text, _| Ok(Some(encode::soql(text)))),
    },
    Ours {
        name: "uuid5",
        member: false,
        least: 2,
        most: 2,
        call: |args| {
            texted(&args, |namespace, name| {
                let Some(name) = name else { return Ok(None) };
                let uuid = encode::uuid5(namespace, name);
                uuid.map(Some).ok_or_else(|| ExecutionError::function_error("uuid5", "no namespace"))
            })
        },
    },
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
    let mut merged = BTreeMap::new();
    for arg in &args {
        merged.extend(object(arg)?.unwrap_or_default());
    }
    Ok(of_json(Json::Object(merged)).into())
}

fn omit_null<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(of_json(to_json(only(args)?.as_ref())?.unwrap_or(Json::Null).omit_null()).into())
}

/// The members of an object that a list names, or those that it does not.
fn chosen<'b, 'v>(args: &[CowVal<'b, 'v>], named: bool) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, names] = args else { return Err(ExecutionError::missing_argument_or_target()) };
    let Some(Json::List(names)) = to_json(names.as_ref())? else { return Err(unfit(names, "list")) };
    let names: BTreeSet<&str> = names.iter().filter_map(Json::as_text).collect();
    let members = object(value)?.map(|members| {
        Json::Object(members.into_iter().filter(|(name, _)| names.contains(name.as_str()) == named).collect())
    });
    Ok(of_json(members.unwrap_or(Json::Null)).into())
}

/// Every member as text: null is the empty one, lists and objects are their JSON.
fn string_values<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |member: Json| match member {
        Json::Null => String::new(),
        Json::Text(text) => text,
        other => other.to_string(),
    };
    let members = object(&only(args)?)?.map(|members| {
        Json::Object(members.into_iter().map(|(name, member)| (name, Json::Text(text(member)))).collect())
    });
    Ok(of_json(members.unwrap_or(Json::Null)).into())
}

/// An object as a list of `{key, value}`, by key.
fn entries<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let entry = |(name, member): (String, Json)| {
        Json::Object([("key".to_owned(), Json::Text(name)), ("value".to_owned(), member)].into())
    };
    let members = object(&only(args)?)?.map(|members| Json::List(members.into_iter().map(entry).collect()));
    Ok(of_json(members.unwrap_or(Json::Null)).into())
}

/// The object of a list of `{key, value}`; of two with one key the last.
fn of_entries<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = only(args)?;
    let entries = match to_json(value.as_ref())? {
        None | Some(Json::Null) => return Ok(CowVal::owned(CelNull)),
        Some(Json::List(entries)) => entries,
        Some(_) => return Err(unfit(&value, "list")),
    };
    let mut members = BTreeMap::new();
    for entry in entries {
        let (Some(key), Some(member)) = (entry.get("key").and_then(Json::text), entry.get("value")) else {
            return Err(unfit(&value, "list of key and value"));
        };
        members.insert(key.into_owned(), member.clone());
    }
    Ok(of_json(Json::Object(members)).into())
}

/// The whole numbers from 0 up to, and without, this one.
fn range<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match to_json(only(args)?.as_ref())? {
        Some(Json::Int(end)) if (0..=ITEMS as i64).contains(&end) => {
            Ok(of_json(Json::List((0..end).map(Json::Int).collect())).into())
        }
        _ => Err(ExecutionError::function_error("range", "no length of a list")),
    }
}

/// A list of lists as one list.
fn flattened<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = only(args)?;
    let items = match to_json(value.as_ref())? {
        None | Some(Json::Null) => return Ok(CowVal::owned(CelNull)),
        Some(Json::List(items)) => items,
        Some(_) => return Err(unfit(&value, "list")),
    };
    let parts = items.into_iter().flat_map(|item| match item {
        Json::List(inner) => inner,
        other => vec![other],
    });
    Ok(of_json(Json::List(parts.collect())).into())
}

/// The members of an object; nothing for null.
fn object(value: &CowVal<'_, '_>) -> Result<Option<BTreeMap<String, Json>>, ExecutionError> {
    match to_json(value.as_ref())? {
        Some(Json::Object(members)) => Ok(Some(members)),
        None | Some(Json::Null) => Ok(None),
        Some(_) => Err(unfit(value, "map")),
    }
}

fn unfit(value: &CowVal<'_, '_>, want: &str) -> ExecutionError {
    ExecutionError::UnexpectedType { got: value.get_type().name().to_owned(), want: want.to_owned() }
}

fn only<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    args.into_iter().next().ok_or_else(ExecutionError::missing_argument_or_target)
}
