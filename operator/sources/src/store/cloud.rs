//! Objects in a bucket: S3, Google Cloud Storage, Azure Blob Storage.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{AzureState, GcsState, S3State};
use backflow_core::secret::{SecretRef, Secrets};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig,
};
use secrecy::ExposeSecret as _;

use super::cloud_errors::{Action, Vendor, failure};
use super::head::damaged;
use super::objects::{Found, LARGEST, Objects};

/// From the first packet to an open, encrypted connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One request with its answer: the largest partition over a slow line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that one call may take, with all its attempts.
const CALL_TIMEOUT: Duration = Duration::from_secs(180);
/// Attempts after the first: of a request that the server could not take (503, 429, no connection), and of a creation whose answer
/// was lost.
const RETRIES: usize = 6;
/// The first pause before another attempt, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A bucket and the part of it that is ours.
pub(super) struct Cloud {
    store: Arc<dyn ObjectStore>,
    vendor: Vendor,
    /// The bucket or container, for messages.
    bucket: String,
    prefix: String,
}

impl Cloud {
    pub(super) fn s3(plan: &S3State, secrets: &dyn Secrets) -> Result<Self, Failure> {
        let keys = plan.access_key_id.as_ref().zip(plan.secret_access_key.as_ref());
        let mut builder = match keys {
            // Nothing of the environment may mix with keys that were given: a session token there belongs to other keys.
            Some((id, secret)) => AmazonS3Builder::new()
                .with_access_key_id(read(secrets, id)?)
                .with_secret_access_key(read(secrets, secret)?),
            None => AmazonS3Builder::from_env(),
        };
        builder = builder
            .with_bucket_name(&plan.bucket)
            .with_retry(retry())
            .with_client_options(client(plan.endpoint.as_deref()));
        if let Some(region) = &plan.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &plan.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/')).with_virtual_hosted_style_request(false);
        }
        Self::of(Vendor::S3, &plan.bucket, plan.prefix.as_deref(), builder.build())
    }

    pub(super) fn gcs(plan: &GcsState, secrets: &dyn Secrets) -> Result<Self, Failure> {
        let mut builder = match &plan.service_account_key {
            Some(key) => GoogleCloudStorageBuilder::new().with_service_account_key(read(secrets, key)?),
            None => GoogleCloudStorageBuilder::from_env(),
        };
        builder = builder
            .with_bucket_name(&plan.bucket)
            .with_retry(retry())
            .with_client_options(client(plan.endpoint.as_deref()));
        if let Some(endpoint) = &plan.endpoint {
            builder = builder.with_base_url(endpoint.trim_end_matches('/'));
        }
        Self::of(Vendor::Gcs, &plan.bucket, plan.prefix.as_deref(), builder.build())
    }

    pub(super) fn azure(plan: &AzureState, secrets: &dyn Secrets) -> Result<Self, Failure> {
        let mut builder = match &plan.account_key {
            Some(key) => MicrosoftAzureBuilder::new().with_access_key(read(secrets, key)?),
            None => MicrosoftAzureBuilder::from_env(),
        };
        builder = builder
            .with_account(&plan.account)
            .with_container_name(&plan.container)
            .with_retry(retry())
            .with_client_options(client(plan.endpoint.as_deref()));
        if let Some(endpoint) = &plan.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let bucket = format!("{}/{}", plan.account, plan.container);
        Self::of(Vendor::Azure, &bucket, plan.prefix.as_deref(), builder.build())
    }

    fn of(
        vendor: Vendor,
        bucket: &str,
        prefix: Option<&str>,
        store: Result<impl ObjectStore, Error>,
    ) -> Result<Self, Failure> {
        let prefix = prefix.unwrap_or_default().trim_matches('/').to_owned();
        // The error may quote what it could not read: a key.
        let store = store.map_err(|_| {
            Failure::new(
                Code::AuthenticationFailed,
                format!(
                    "the settings of the state store {} cannot be used: check the form of endpoint, region, and of the key in its Secret",
                    vendor.place(bucket, &prefix)
                ),
            )
        })?;
        Ok(Self { store: Arc::new(store), vendor, bucket: bucket.to_owned(), prefix })
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    /// The name of an object below our prefix.
    fn name(&self, path: &Path) -> Option<String> {
        let text = path.as_ref();
        let inner = if self.prefix.is_empty() { text } else { text.strip_prefix(&self.prefix)?.strip_prefix('/')? };
        Some(inner.to_owned())
    }

    fn failure(&self, action: Action, error: &Error) -> Failure {
        failure(error, action, self.vendor, &self.bucket, &self.place())
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(CALL_TIMEOUT, work).await.unwrap_or_else(|_| {
            let message = format!(
                "{} did not answer within {} s; check the network, and that the server is well",
                self.place(),
                CALL_TIMEOUT.as_secs()
            );
            Err(Failure::new(Code::StateStoreUnavailable, message))
        })
    }

    async fn read(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        let found = match self.store.get(&self.path(name)).await {
            Ok(found) => found,
            Err(error @ Error::NotFound { .. }) => {
                let failure = self.failure(Action::Read, &error);
                return if failure.code == Code::StateStoreMissing { Err(failure) } else { Ok(None) };
            }
            Err(error) => return Err(self.failure(Action::Read, &error)),
        };
        if found.meta.size > LARGEST {
            return Err(damaged(&format!("{name} in {} has {} bytes", self.place(), found.meta.size)));
        }
        found.bytes().await.map(Some).map_err(|error| self.failure(Action::Read, &error))
    }

    async fn try_create(&self, name: &str, bytes: &Bytes) -> Result<bool, Failure> {
        let (mut pause, longest) = PAUSE;
        let mut attempts = 0;
        loop {
            let payload = PutPayload::from_bytes(bytes.clone());
            let put = self.store.put_opts(&self.path(name), payload, PutMode::Create.into()).await;
            let failure = match put {
                Ok(_) => return Ok(true),
                Err(error @ (Error::AlreadyExists { .. } | Error::Precondition { .. })) => {
                    match self.read(name).await? {
                        // Also if it is there because of an attempt whose answer did not arrive.
                        Some(found) => return Ok(found == *bytes),
                        // Another creation is under way, and nobody knows yet whether it comes through.
                        None => self.failure(Action::Write, &error),
                    }
                }
                Err(error) => self.failure(Action::Write, &error),
            };
            let passing = matches!(failure.code, Code::StateStoreUnavailable | Code::ConnectionFailed);
            if !passing || attempts == RETRIES {
                return Err(failure);
            }
            attempts += 1;
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(longest);
        }
    }
}

#[async_trait]
impl Objects for Cloud {
    fn place(&self) -> String {
        self.vendor.place(&self.bucket, &self.prefix)
    }

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        self.bounded(self.read(name)).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Failure> {
        self.bounded(self.try_create(name, &bytes)).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Failure> {
        let path = self.path(name);
        let put = async {
            let put = self.store.put(&path, PutPayload::from_bytes(bytes)).await;
            put.map(drop).map_err(|error| self.failure(Action::Write, &error))
        };
        self.bounded(put).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Found>, Failure> {
        let prefix = self.path(folder);
        let list = async {
            let mut found: Vec<Found> = self
                .store
                .list(Some(&prefix))
                .map_err(|error| self.failure(Action::List, &error))
                .try_filter_map(async |meta| Ok(self.name(&meta.location).map(|name| Found { name, bytes: meta.size })))
                .try_collect()
                .await?;
            found.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(found)
        };
        self.bounded(list).await
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let prefix = Path::from(self.prefix.as_str());
        let list = async {
            let listed = self.store.list_with_delimiter(Some(&prefix)).await;
            let listed = listed.map_err(|error| self.failure(Action::List, &error))?;
            let mut folders: Vec<String> =
                listed.common_prefixes.iter().filter_map(|folder| self.name(folder)).collect();
            folders.sort();
            Ok(folders)
        };
        self.bounded(list).await
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), Failure> {
        let paths: Vec<Path> = names.iter().map(|name| self.path(name)).collect();
        let remove = async {
            let mut removed = self.store.delete_stream(futures::stream::iter(paths.into_iter().map(Ok)).boxed());
            while let Some(removed) = removed.next().await {
                match removed {
                    Ok(_) => {}
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(self.failure(Action::Remove, &error)),
                }
            }
            Ok(())
        };
        self.bounded(remove).await
    }
}

fn read(secrets: &dyn Secrets, reference: &SecretRef) -> Result<String, Failure> {
    Ok(secrets.read(reference)?.expose_secret().to_owned())
}

fn client(endpoint: Option<&str>) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
        // Only where the user wrote it.
        .with_allow_http(endpoint.is_some_and(|url| url.starts_with("http://")))
}

fn retry() -> RetryConfig {
    let (first, longest) = PAUSE;
    RetryConfig {
        backoff: BackoffConfig { init_backoff: first, max_backoff: longest, base: 2.0 },
        max_retries: RETRIES,
        retry_timeout: CALL_TIMEOUT / 2,
    }
}
