//! What a right request looks like. Written against the webhook's README, not against the sender's code.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Expect, Item};

/// Reads a batch.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn batch(
    expect: &Expect,
    method: &Method,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<Item>, Vec<String>> {
    let mut wrong = Vec::new();
    let mut demand = |right: bool, what: &str| {
        if !right {
            wrong.push(what.to_owned());
        }
    };
    demand([Method::POST, Method::PUT, Method::PATCH].contains(method), "method");
    demand(header(headers, "content-type") == Some("application/json"), "content-type");
    demand(header(headers, "user-agent").is_some_and(|agent| agent.starts_with("backflow/")), "user-agent");
    demand(authorized(expect, headers), "authorization");
    demand(signed(expect, headers, body), "backflow-signature");
    let items: Vec<Item> = serde_json::from_slice(body).unwrap_or_default();
    demand(!items.is_empty(), "body: no array of records");
    demand(items.iter().all(|item| item.request == 0), "body: unknown member request");
    demand(items.iter().all(|item| item.data.is_object()), "data");
    demand(items.iter().all(|item| right_id(&item.id)), "id");
    demand(items.iter().all(|item| matches!(item.op.as_str(), "insert" | "update" | "upsert" | "delete")), "op");
    demand(items.windows(2).all(|pair| pair[0].op == pair[1].op), "op: more than one in a batch");
    let letters = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    demand(items.iter().all(|item| item.key.len() == 22 && letters(&item.key)), "key");
    let ids: BTreeSet<String> = items.iter().map(|item| item.id.to_string()).collect();
    demand(ids.len() == items.len(), "id: twice in a batch");
    demand(header(headers, "idempotency-key") == Some(&*request_key(&items)), "idempotency-key");
    if wrong.is_empty() { Ok(items) } else { Err(wrong) }
}

/// Whether the token is the expected one; without one, whether none is there.
pub(super) fn authorized(expect: &Expect, headers: &HeaderMap) -> bool {
    header(headers, "authorization") == expect.token.as_ref().map(|token| format!("Bearer {token}")).as_deref()
}

fn right_id(id: &Value) -> bool {
    match id {
        Value::Array(parts) => parts.len() > 1 && parts.iter().all(|part| !part.is_array() && right_id(part)),
        Value::Null | Value::Object(_) => false,
        _ => true,
    }
}

fn signed(expect: &Expect, headers: &HeaderMap, body: &[u8]) -> bool {
    let (key, text) = match (&expect.signing_key, header(headers, "backflow-signature")) {
        (None, None) => return true,
        (Some(key), Some(text)) => (key, text),
        _ => return false,
    };
    let Some((at, hex)) = text.strip_prefix("t=").and_then(|text| text.split_once(",v1=")) else { return false };
    let now = jiff::Timestamp::now().as_second();
    let recent = at.parse::<i64>().is_ok_and(|at| (now - at).abs() < 300);
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return false };
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    recent && hex == expected
}

fn request_key(items: &[Item]) -> String {
    let keys: String = items.iter().map(|item| format!("{}\n", item.key)).collect();
    let mut text = URL_SAFE_NO_PAD.encode(Sha256::digest(keys));
    text.truncate(22);
    text
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    // Two of one name are as wrong as another value.
    if values.next().is_some() { Some("") } else { Some(value) }
}
