//! Values that live in a Secret, and bundles of certificates. A plaintext in place of a reference is refused, by the
//! schema in the cluster and by the decoder elsewhere, and never repeated in a message.

use std::{fmt, marker::PhantomData};

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

/// One key of a Secret or ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the object, in this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key inside the object.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// A value that is kept in a Secret. Workers get it as a file; the operator itself has no permission to read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretValue {
    /// The Secret and its key that hold the value.
    pub secret_key_ref: KeyRef,
}

/// A PEM bundle of certificate authorities: exactly one of secretKeyRef, configMapKeyRef.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.secretKeyRef), has(self.configMapKeyRef)].exists_one(x, x)",
    "exactly one of secretKeyRef, configMapKeyRef must be set"
))]
pub struct CaBundle {
    /// Key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// Key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

impl<'de> Deserialize<'de> for KeyRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            name: String,
            key: String,
        }
        let Members { name, key } = deserializer
            .deserialize_any(ReferenceOnly::new("a reference {name: …, key: …} to a Secret or ConfigMap"))?;
        Ok(Self { name, key })
    }
}

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Members {
            #[serde(rename = "secretKeyRef")]
            secret_key_ref: KeyRef,
        }
        let members: Members = deserializer
            .deserialize_any(ReferenceOnly::new("{secretKeyRef: {name: …, key: …}}, never the secret itself"))?;
        Ok(Self { secret_key_ref: members.secret_key_ref })
    }
}

/// Accepts a map. Serde's own refusal of anything else would quote the value, and the value may be a password. To be asked
/// by `deserialize_any`: a format that is told to expect a map refuses in words of its own.
struct ReferenceOnly<T> {
    expected: &'static str,
    target: PhantomData<T>,
}

impl<T> ReferenceOnly<T> {
    fn new(expected: &'static str) -> Self {
        Self { expected, target: PhantomData }
    }

    fn refuse<E: de::Error>(&self) -> Result<T, E> {
        Err(E::custom(format_args!("expected {}", self.expected)))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for ReferenceOnly<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<T, E> {
        self.refuse()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<T, E> {
        self.refuse()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<T, E> {
        self.refuse()
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<T, E> {
        self.refuse()
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<T, E> {
        self.refuse()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<T, E> {
        self.refuse()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<T, E> {
        self.refuse()
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<T, E> {
        self.refuse()
    }
}
