//! Everything that a user can get wrong, or that goes wrong around them: each has a reason and a cure, and loses nothing.

mod checks;
mod definitions;
mod manifests;
mod runs;

use backflow_crds::v1alpha1::{Destination, Mapping, Model, Source};
use backflow_tests::cluster::Scene;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Waits until an object says `reason` in its condition `kind`, and returns the message.
async fn says(scene: &Scene, object: (&str, &str), kind: &str, reason: &str) -> String {
    let (plural, name) = object;
    let what = format!("{kind} because of {reason}");
    let found = |generation: Option<i64>, observed: Option<i64>, conditions: &[Condition]| {
        let right = |condition: &&Condition| condition.type_ == kind && condition.reason == reason;
        conditions.iter().find(right).filter(|_| generation == observed).map(|condition| condition.message.clone())
    };
    macro_rules! wait {
        ($kind:ty) => {{
            let said = |object: &$kind| {
                let status = object.status.as_ref()?;
                found(object.metadata.generation, status.observed_generation, &status.conditions)
            };
            let object = scene.namespace.until(name, &what, |object: &$kind| said(object).is_some()).await.unwrap();
            said(&object).unwrap()
        }};
    }
    match plural {
        "source" => wait!(Source),
        "model" => wait!(Model),
        "destination" => wait!(Destination),
        _ => wait!(Mapping),
    }
}
