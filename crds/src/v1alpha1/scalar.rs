//! Scalars with a format of their own: durations, quantities, time zones.

use std::{borrow::Cow, fmt};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as K8sQuantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

const DURATION: &str = "self.matches('^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$') && self != ''";

/// A length of time as Kubernetes writes it: `30s`, `15m`, `4h`, `1d`, `1h30m`; units in this order, each at most once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "maxLength" = 20,
    "x-kubernetes-validations" = [{"rule": DURATION, "message": "must be a duration like 30s, 15m, 4h or 1d"}],
))]
pub struct Duration(pub String);

/// A [`Duration`] of at least one minute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "maxLength" = 20,
    "x-kubernetes-validations" = [
        {"rule": DURATION, "message": "must be a duration like 15m, 4h or 1d"},
        {"rule": "self.matches('([1-9][0-9]*[dhm])|([6-9][0-9]s)|([1-9][0-9][0-9]+s)')", "message": "must be at least 1m"},
    ],
))]
pub struct Interval(pub String);

/// A time zone of the IANA database, for example `Europe/Berlin`; `UTC` when unset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend(
    "maxLength" = 64,
    "x-kubernetes-validations" = [{
        "rule": "self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$')",
        "message": "must be the name of an IANA time zone like Europe/Berlin",
    }],
))]
pub struct TimeZone(pub String);

/// An amount of memory, disk or CPU as Kubernetes writes it: `500m`, `64Mi`, `10Gi`, or a plain integer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

impl Duration {
    /// Its whole seconds; `None` when the text is no duration or too large to count.
    #[must_use]
    pub fn seconds(&self) -> Option<u64> {
        seconds(&self.0)
    }
}

impl Interval {
    /// Its whole seconds; `None` when the text is no duration or too large to count.
    #[must_use]
    pub fn seconds(&self) -> Option<u64> {
        seconds(&self.0)
    }
}

fn seconds(text: &str) -> Option<u64> {
    let mut units = [('d', 86_400u64), ('h', 3_600), ('m', 60), ('s', 1)].into_iter();
    let (mut rest, mut total) = (text, 0u64);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, tail) = rest.split_at(end);
        let unit = tail.chars().next()?;
        let (_, scale) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = &tail[1..];
    }
    (!text.is_empty()).then_some(total)
}

impl Default for TimeZone {
    fn default() -> Self {
        Self("UTC".into())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Duration {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<Quantity> for K8sQuantity {
    fn from(quantity: Quantity) -> Self {
        Self(quantity.0)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntOrString;

        impl Visitor<'_> for IntOrString {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity like 500m or 64Mi")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                Ok(Quantity(number.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                Ok(Quantity(text.to_owned()))
            }
        }

        deserializer.deserialize_any(IntOrString)
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    // k8s-openapi's own schema accepts any text: `memory: lots` would pass.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": "type(self) == int ? self >= 0 : isQuantity(self) && !quantity(self).isLessThan(quantity('0'))",
                "message": "must be a quantity like 500m, 64Mi or 10Gi",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_count_their_seconds() {
        for (text, expected) in [
            ("30s", Some(30)),
            ("1h30m", Some(5_400)),
            ("1d", Some(86_400)),
            ("0s", Some(0)),
            ("", None),
            ("15", None),
            ("15m4h", None),
            ("1m1m", None),
            ("-5m", None),
            ("1ä", None),
            ("99999999999999999999s", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(Duration::from(text).seconds(), expected, "{text:?}");
        }
    }

    #[test]
    fn quantities_may_be_written_as_numbers() {
        assert_eq!(serde_json::from_str::<Quantity>("2").unwrap(), Quantity("2".into()));
        assert_eq!(serde_json::from_str::<Quantity>("\"64Mi\"").unwrap(), Quantity("64Mi".into()));
    }
}
