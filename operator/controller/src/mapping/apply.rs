//! What a Mapping does to the cluster: creates Syncs, and deletes those that are no longer kept.

use backflow_core::decide::{NewSync, Trigger};
use backflow_crds::v1alpha1::{self as api, Mapping, Sync};
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Resource as _, ResourceExt as _};

use crate::context::Context;
use crate::error::{Error, is_already_exists, is_not_found};
use crate::labels;
use crate::mapping::decide::incremental;

/// Creates a Sync. None: the name is taken.
///
/// # Errors
/// If the API server does not create it.
pub async fn create(context: &Context, mapping: &Mapping, new: &NewSync) -> Result<Option<Sync>, Error> {
    let sync = sync(mapping, new);
    match context.api::<Sync>(&mapping.namespace().unwrap_or_default()).create(&PostParams::default(), &sync).await {
        Ok(created) => Ok(Some(created)),
        Err(error) if is_already_exists(&error) => Ok(None),
        Err(source) => Err(Error::Api { call: "create of a Sync", source }),
    }
}

/// The Sync that has this name.
///
/// # Errors
/// If it cannot be read.
pub async fn present(context: &Context, namespace: &str, name: &str) -> Result<Option<Sync>, Error> {
    context.api::<Sync>(namespace).get_opt(name).await.map_err(Error::api("get of a Sync"))
}

/// The Sync of a slot or a request.
#[must_use]
pub fn sync(mapping: &Mapping, new: &NewSync) -> Sync {
    let name = mapping.name_any();
    let trigger = match new.trigger {
        Trigger::Schedule => api::Trigger::Schedule,
        Trigger::Manual => api::Trigger::Manual,
        Trigger::After => api::Trigger::After,
    };
    let mut sync = Sync::new(&new.name, incremental(&name, trigger));
    let mut owner = mapping.controller_owner_ref(&()).unwrap_or_default();
    // Deletion never waits for us.
    owner.block_owner_deletion = Some(false);
    sync.metadata.namespace = mapping.namespace();
    sync.metadata.owner_references = Some(vec![owner]);
    sync.metadata.labels = Some(labels::map([
        (labels::NAME, "backflow"),
        (labels::COMPONENT, "sync"),
        (labels::MANAGED_BY, labels::BACKFLOW),
        (labels::MAPPING, &name),
    ]));
    sync.metadata.annotations = new.slot.map(|slot| labels::map([(labels::SLOT, &slot.to_string())]));
    sync
}

/// Deletes a Sync, if it is still this one; its Job and pods go with it.
///
/// # Errors
/// If the API server does not delete it.
pub async fn delete(context: &Context, sync: &Sync) -> Result<(), Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: sync.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match context.api::<Sync>(&sync.namespace().unwrap_or_default()).delete(&sync.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(()),
        Err(source) => Err(Error::Api { call: "delete of a Sync", source }),
    }
}
