//! Writing a status: one patch per reconcile, and none when nothing changed.

use backflow_crds::conditions::{ConditionStatus, ConditionType, Moment, status};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::Error;

/// Writes what differs between two statuses. None if nothing does.
///
/// The patch names the version that the reconcile looked at: a status that was computed from an old one is refused, so that a
/// checkpoint never moves back.
///
/// # Errors
/// [`Error::Conflict`] if the object changed meanwhile.
pub async fn patch<K, S>(context: &Context, object: &K, before: &Option<S>, after: &S) -> Result<Option<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    S: Serialize,
{
    patch_at(&context.api::<K>(&object.namespace().unwrap_or_default()), object, before, after).await
}

/// As [`patch`], of an object that `api` has.
///
/// # Errors
/// As [`patch`].
pub async fn patch_at<K, S>(api: &Api<K>, object: &K, before: &Option<S>, after: &S) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
    S: Serialize,
{
    let Some(difference) = difference(&value(before), &value(&Some(after))) else { return Ok(None) };
    let name = object.name_any();
    let body = json!({"metadata": {"resourceVersion": object.resource_version()}, "status": difference});
    match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(body)).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            Err(Error::Conflict(format!("{} {name}", K::kind(&()))))
        }
        // Deleted while we looked at it: the watch says so, too.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(source) => Err(Error::Api { call: "patch of a status", source }),
    }
}

fn value<S: Serialize>(status: &Option<S>) -> Value {
    // A status of ours always serialises; an absent one is empty.
    status.as_ref().and_then(|status| serde_json::to_value(status).ok()).unwrap_or_else(|| json!({}))
}

/// RFC 7386: what makes `after` of `before`. Lists are replaced whole.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let mut patch = Map::new();
            for (key, value) in after {
                match before.get(key) {
                    Some(present) => {
                        if let Some(inner) = difference(present, value) {
                            patch.insert(key.clone(), inner);
                        }
                    }
                    None => {
                        patch.insert(key.clone(), value.clone());
                    }
                }
            }
            for key in before.keys().filter(|key| !after.contains_key(*key)) {
                patch.insert(key.clone(), Value::Null);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (before, after) => (before != after).then(|| after.clone()),
    }
}

/// What is said now of an object of this generation.
#[must_use]
pub fn moment(generation: Option<i64>, now: Timestamp) -> Moment {
    Moment { generation: generation.unwrap_or_default(), now: Time(now) }
}

/// Whether an object is Ready, as of its newest spec.
#[must_use]
pub fn is_ready(conditions: &[Condition], observed: Option<i64>, generation: Option<i64>) -> bool {
    observed == generation && status(conditions, ConditionType::Ready) == Some(ConditionStatus::True)
}

/// A condition, if it is there.
#[must_use]
pub fn condition(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_statuses_make_no_patch() {
        let status = json!({"a": 1, "b": {"c": [1, 2]}});
        assert_eq!(difference(&status, &status), None);
    }

    #[test]
    fn what_is_gone_is_null_and_lists_are_replaced() {
        let before = json!({"a": 1, "b": {"c": [1, 2], "d": 1}, "e": {"f": 1}});
        let after = json!({"a": 1, "b": {"c": [1], "d": 1}});
        assert_eq!(difference(&before, &after), Some(json!({"b": {"c": [1]}, "e": null})));
    }

    /// RFC 7386, as the API server does it.
    fn merge(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut target = if let Value::Object(target) = target { target } else { Map::new() };
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                let present = target.remove(key).unwrap_or(Value::Null);
                target.insert(key.clone(), merge(present, value));
            }
        }
        Value::Object(target)
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<i8>().prop_map(|n| json!(n)), Just(json!("x")), Just(json!([1, {"a": 2}]))];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| json!(map))
        })
    }

    proptest! {
        #[test]
        fn the_difference_leads_from_one_to_the_other(before in tree(), after in tree()) {
            let (before, after) = (json!({"s": before}), json!({"s": after}));
            let merged = difference(&before, &after).map_or(before.clone(), |patch| merge(before.clone(), &patch));
            prop_assert_eq!(merged, after);
        }
    }
}
