//! A batch, hashed while it is parsed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::canonical::{Canonical, Name};
use crate::taken::{Taken, op_code};

/// Reads the records of a body.
pub(super) fn parse(body: &[u8]) -> serde_json::Result<Vec<Taken>> {
    serde_json::from_slice(body)
}

impl<'de> Deserialize<'de> for Taken {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(Record)
    }
}

struct Record;

impl<'de> Visitor<'de> for Record {
    type Value = Taken;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Taken, A::Error> {
        let (mut id, mut op, mut data, mut key) = (None, None, None, 0);
        while let Some(name) = members.next_key::<&str>()? {
            match name {
                "id" => id = Some(members.next_value_seed(Canonical)?),
                "op" => op = Some(op_code(members.next_value::<&str>()?)),
                "data" => data = Some(members.next_value_seed(Canonical)?),
                "key" => key = members.next_value_seed(Name)?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    return Err(A::Error::custom("a record has id, op, key and data"));
                }
            }
        }
        match (id, op, data) {
            (Some(id), Some(op), Some(data)) => Ok(Taken { id, op, data, key }),
            _ => Err(A::Error::custom("a record has id, op and data")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::canonical::hash;

    #[test]
    fn a_record_is_what_it_says_whoever_wrote_it() {
        let ours = parse(br#"[{"id":1,"op":"upsert","key":"k","data":{"a":"x","b":2}}]"#).unwrap();
        let theirs = parse(br#"[ {"data": {"b": 2.0, "a": "\u0078"}, "op": "upsert", "id": 1} ]"#).unwrap();
        let expected = Taken::new(hash("1").unwrap(), "upsert", hash(r#"{"a":"x","b":2}"#).unwrap());
        assert_eq!((ours[0].key != 0, theirs[0]), (true, expected));
        assert_eq!(Taken { key: 0, ..ours[0] }, expected);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for body in ["", "{}", "[1]", r#"[{"id":1,"op":"upsert"}]"#, r#"[{"id":1,"op":"upsert","data":{},"x":1}]"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
