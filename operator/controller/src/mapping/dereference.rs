//! What a Mapping refers to, and its Syncs.

use std::collections::BTreeSet;
use std::sync::Arc;

use backflow_crds::v1alpha1::{Destination, Mapping, Model, Source, Sync};
use backflow_plan::Definitions;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::core::DeserializeGuard;

use crate::check::stands;
use crate::context::Context;
use crate::error::Error;

/// What a Mapping refers to, as far as it is there.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Its Model.
    pub model: Option<Arc<Model>>,
    /// The Model's Source.
    pub source: Option<Arc<Source>>,
    /// Its Destination.
    pub destination: Option<Arc<Destination>>,
    /// Which of them can be used.
    pub usable: Usable,
    /// The definitions that its Destination may name.
    pub definitions: Arc<Definitions>,
    /// The Mapping that it runs after.
    pub upstream: Option<Arc<Mapping>>,
    /// Mappings that run after each other in a circle, this one among them.
    pub cycle: Vec<String>,
    /// Another Mapping with the same state.
    pub shares_state_with: Option<String>,
}

/// Which of the things that a Mapping refers to have passed their checks.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Usable {
    pub model: bool,
    pub source: bool,
    pub destination: bool,
}

/// Looks them up.
#[must_use]
pub fn references(context: &Context, mapping: &Mapping) -> References {
    let namespace = mapping.namespace().unwrap_or_default();
    let model = context.stores.models.find(&namespace, &mapping.spec.model_ref.name);
    let source = model.as_ref().and_then(|model| context.stores.sources.find(&namespace, &model.spec.source_ref.name));
    let destination = context.stores.destinations.find(&namespace, &mapping.spec.destination_ref.name);
    References {
        usable: Usable {
            source: source.as_deref().is_some_and(|source| stands(context, source)),
            model: model.as_deref().is_some_and(|model| stands(context, model)),
            destination: destination.as_deref().is_some_and(|destination| stands(context, destination)),
        },
        source,
        model,
        destination,
        definitions: context.shelf.definitions(),
        upstream: follows(mapping).and_then(|upstream| context.stores.mappings.find(&namespace, upstream)),
        cycle: cycle(context, &namespace, mapping),
        shares_state_with: shares_state(context, &namespace, mapping),
    }
}

fn follows(mapping: &Mapping) -> Option<&str> {
    mapping.spec.schedule.after.as_ref().map(|after| after.mapping_ref.name.as_str())
}

/// The chain of Mappings that this one follows, as far as it goes.
fn cycle(context: &Context, namespace: &str, mapping: &Mapping) -> Vec<String> {
    let name = mapping.name_any();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut at = follows(mapping).map(|upstream| (name.clone(), upstream.to_owned()));
    while let Some((from, to)) = at {
        if !seen.insert(from.clone()) {
            break;
        }
        at = context
            .stores
            .mappings
            .find(namespace, &to)
            .and_then(|next| Some((to.clone(), follows(&next)?.to_owned())));
        pairs.push((from, to));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let cycles = backflow_core::decide::after_cycles(&pairs);
    let own = cycles.into_iter().find(|cycle| cycle.contains(&name.as_str()));
    own.unwrap_or_default().into_iter().map(str::to_owned).collect()
}

fn shares_state(context: &Context, namespace: &str, mapping: &Mapping) -> Option<String> {
    let key = |mapping: &Mapping| backflow_plan::state_key(namespace, &mapping.name_any(), &mapping.spec);
    let own = key(mapping);
    let source = |mapping: &Mapping| {
        context
            .stores
            .models
            .find(namespace, &mapping.spec.model_ref.name)
            .map(|model| model.spec.source_ref.name.clone())
    };
    // Default keys differ by name, so at least one of the two must say its own.
    let says = mapping.spec.state_key.is_some();
    let others = context.stores.mappings.select(namespace, |other| {
        (says || other.spec.state_key.is_some()) && other.metadata.name != mapping.metadata.name && key(other) == own
    });
    others.iter().find(|other| source(other) == source(mapping)).map(|other| other.name_any())
}

/// The Syncs of a Mapping that have not ended.
#[must_use]
pub fn open_syncs(context: &Context, mapping: &Mapping) -> Vec<Arc<Sync>> {
    let name = mapping.name_any();
    let of_it = |sync: &Sync| sync.spec.mapping_ref.as_ref().is_some_and(|mapping| mapping.name == name);
    context.stores.syncs.select(&mapping.namespace().unwrap_or_default(), of_it)
}

/// All Syncs that name a Mapping, ended or not, from the API server.
///
/// # Errors
/// If they cannot be listed.
pub async fn all_syncs(context: &Context, namespace: &str, mapping: &str) -> Result<Vec<Sync>, Error> {
    let api = context.api::<DeserializeGuard<Sync>>(namespace);
    let params = ListParams::default().fields(&format!("spec.mappingRef.name={mapping}"));
    let list = api.list(&params).await.map_err(Error::api("list of a Mapping's Syncs"))?;
    Ok(list.items.into_iter().filter_map(|sync| sync.0.ok()).collect())
}
