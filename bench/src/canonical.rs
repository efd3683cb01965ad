//! A hash of a JSON value that does not depend on how it is written: order of members, spaces, escapes, `1` or `1.0`.
//!
//! Every competitor writes JSON in its own way; what it says must be the same. Values are hashed while they are parsed, so that a
//! receiver that checks everything costs little more than one that only counts.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const NULL: u64 = 0x6a09_e667_f3bc_c908;
const BOOL: u64 = 0xbb67_ae85_84ca_a73b;
const NUMBER: u64 = 0x3c6e_f372_fe94_f82b;
const TEXT: u64 = 0xa54f_f53a_5f1d_36f1;
const ARRAY: u64 = 0x510e_527f_ade6_82d1;
const OBJECT: u64 = 0x9b05_688c_2b3e_6c1f;

/// Integers up to here are the same number as their nearest float.
const EXACT: u64 = 1 << 53;

/// Reads one value and gives its hash.
#[derive(Clone, Copy)]
pub struct Canonical;

/// The hash of a JSON text.
///
/// # Errors
/// It is not JSON.
pub fn hash(json: &str) -> serde_json::Result<u64> {
    let mut input = serde_json::Deserializer::from_str(json);
    let hash = Canonical.deserialize(&mut input)?;
    input.end()?;
    Ok(hash)
}

fn pair(a: u64, b: u64, seed: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..].copy_from_slice(&b.to_le_bytes());
    xxh3_64_with_seed(&bytes, seed)
}

fn number(bits: u64) -> u64 {
    xxh3_64_with_seed(&bits.to_le_bytes(), NUMBER)
}

impl<'de> DeserializeSeed<'de> for Canonical {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<u64, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Canonical {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(NULL)
    }

    fn visit_bool<E>(self, value: bool) -> Result<u64, E> {
        Ok(pair(u64::from(value), 0, BOOL))
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        // Beyond 2^53 an integer and the float nearest to it are told apart.
        Ok(if value <= EXACT { number((value as f64).to_bits()) } else { pair(value, 0, NUMBER) })
    }

    fn visit_i64<E>(self, value: i64) -> Result<u64, E> {
        Ok(if value.unsigned_abs() <= EXACT {
            number((value as f64).to_bits())
        } else {
            pair(value.cast_unsigned(), 1, NUMBER)
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<u64, E> {
        Ok(number(if value == 0.0 { 0 } else { value.to_bits() }))
    }

    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(xxh3_64_with_seed(text.as_bytes(), TEXT))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut hash = ARRAY;
        while let Some(item) = items.next_element_seed(Self)? {
            hash = pair(hash, item, ARRAY);
        }
        Ok(hash)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<u64, A::Error> {
        // A sum does not care for order, and still counts a member that comes twice.
        let mut sum = 0_u64;
        let mut count = 0;
        while let Some(name) = members.next_key_seed(Name)? {
            sum = sum.wrapping_add(pair(name, members.next_value_seed(Self)?, OBJECT));
            count += 1;
        }
        Ok(pair(sum, count, OBJECT))
    }
}

/// Reads a text and gives its hash.
#[derive(Clone, Copy)]
pub struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<u64, D::Error> {
        input.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(xxh3_64(text.as_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_another_way_is_the_same() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, r#"{ "b": [true, null], "a": 1.0 }"#),
            (r#""é\n""#, "\"\\u00e9\\u000a\""),
            ("-0.0", "0"),
            ("1e3", "1000"),
            ("-7", "-7.0"),
        ] {
            assert_eq!(hash(one).unwrap(), hash(other).unwrap(), "{one} {other}");
        }
    }

    #[test]
    fn what_says_something_else_is_not() {
        let all = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "0.1",
            "9007199254740993",
            "9007199254740992",
            "\"\"",
            "\"1\"",
            "\"null\"",
            "[]",
            "[[]]",
            "{}",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "{\"a\":1}",
            "{\"a\":\"1\"}",
            "{\"b\":1}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":{\"b\":1}}",
            "{\"a\":1,\"b\":1}",
            "{\"a\":{\"a\":1}}",
        ];
        let hashes: std::collections::BTreeSet<u64> = all.iter().map(|json| hash(json).unwrap()).collect();
        assert_eq!(hashes.len(), all.len());
        assert!(hash("{").is_err() && hash("1 2").is_err());
    }
}
