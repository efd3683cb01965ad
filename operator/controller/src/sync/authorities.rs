//! The mount of a bundle of certificate authorities.

use backflow_core::authorities::{AUTHORITIES, BUNDLE, FOLDER_VARIABLE, ORIGIN_VARIABLE};
use backflow_crds::v1alpha1::{CaBundle, KeyRef};
use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, EnvVar, KeyToPath, SecretVolumeSource, Volume, VolumeMount};

const VOLUME: &str = "authorities";

/// The variables that go with the mount.
pub(super) fn variables(bundle: &CaBundle) -> Vec<EnvVar> {
    let Some((kind, key)) = origin(bundle) else { return Vec::new() };
    let origin = format!("key \"{}\" of {kind} \"{}\"", key.key, key.name);
    let variable = |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), value_from: None };
    vec![variable(ORIGIN_VARIABLE, origin), variable(FOLDER_VARIABLE, AUTHORITIES.into())]
}

/// The volume and where it is mounted. Optional, so that the worker can say what is missing: the kubelet would only wait.
pub(super) fn volume(bundle: &CaBundle) -> Option<(Volume, VolumeMount)> {
    let (_, key) = origin(bundle)?;
    let items = Some(vec![KeyToPath { key: key.key.clone(), path: BUNDLE.into(), mode: None }]);
    let mut volume = Volume { name: VOLUME.into(), ..Volume::default() };
    if bundle.secret_key_ref.is_some() {
        volume.secret = Some(SecretVolumeSource {
            secret_name: Some(key.name.clone()),
            optional: Some(true),
            default_mode: Some(0o440),
            items,
        });
    } else {
        volume.config_map =
            Some(ConfigMapVolumeSource { name: key.name.clone(), optional: Some(true), default_mode: None, items });
    }
    let mount = VolumeMount {
        name: VOLUME.into(),
        mount_path: AUTHORITIES.into(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Some((volume, mount))
}

fn origin(bundle: &CaBundle) -> Option<(&'static str, &KeyRef)> {
    let secret = bundle.secret_key_ref.as_ref().map(|key| ("Secret", key));
    secret.or_else(|| Some(("ConfigMap", bundle.config_map_key_ref.as_ref()?)))
}
