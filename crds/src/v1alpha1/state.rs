//! Where checkpoints live.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretValue;

/// Where checkpoints live: exactly one of schema, store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.schema), has(self.store)].exists_one(x, x)", "exactly one of schema, store must be set"))]
pub struct State {
    /// A schema of the warehouse that the Source's user may write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        extend("x-kubernetes-validations" = [{
            "rule": "self.matches('^[A-Za-z_][A-Za-z0-9_]*$')",
            "message": "must be a plain name of letters, digits and underscores",
        }])
    )]
    pub schema: Option<String>,
    /// A store outside of the warehouse, for a user that may only read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StateStore>,
}

impl Default for State {
    fn default() -> Self {
        Self { schema: Some("_backflow".into()), store: None }
    }
}

/// A store outside of the warehouse: exactly one of s3, gcs, azure, volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "[has(self.s3), has(self.gcs), has(self.azure), has(self.volume)].exists_one(x, x)",
    "exactly one of s3, gcs, azure, volume must be set"
))]
pub struct StateStore {
    /// A bucket of Amazon S3, or of anything that speaks its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Store>,
    /// A bucket of Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcs: Option<GcsStore>,
    /// A container of Azure Blob Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureStore>,
    /// A volume of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeStore>,
}

/// A bucket of Amazon S3. Without keys, the worker's own identity is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.accessKeyId) == has(self.secretAccessKey)",
    "accessKeyId and secretAccessKey must be set together"
))]
pub struct S3Store {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 63))]
    pub bucket: String,
    /// Put before the name of every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub prefix: Option<String>,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub region: Option<String>,
    /// URL of a server other than Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub endpoint: Option<String>,
    /// Key id; the worker's own identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<SecretValue>,
    /// Secret key of accessKeyId.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<SecretValue>,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcsStore {
    /// Name of the bucket.
    #[schemars(length(min = 3, max = 222))]
    pub bucket: String,
    /// Put before the name of every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub prefix: Option<String>,
    /// URL of a server other than Google's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub endpoint: Option<String>,
    /// JSON key of a service account; the worker's own identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_key: Option<SecretValue>,
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureStore {
    /// Name of the storage account.
    #[schemars(length(min = 3, max = 24))]
    pub account: String,
    /// Name of the container.
    #[schemars(length(min = 3, max = 63))]
    pub container: String,
    /// Put before the name of every object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub prefix: Option<String>,
    /// URL of a server other than Azure's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub endpoint: Option<String>,
    /// Key of the account; the worker's own identity when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_key: Option<SecretValue>,
}

/// A volume of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStore {
    /// Name of a PersistentVolumeClaim of this namespace.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}
