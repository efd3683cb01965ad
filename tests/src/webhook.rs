//! A webhook Destination for suites: plan, secrets that exist only in memory, and records.

use std::collections::BTreeMap;
use std::sync::Arc;

use backflow_core::code::Failure;
use backflow_core::guard::Deletes;
use backflow_core::plan::{DestinationLimits, DestinationPlan, MappingPlan, OnMappingChange, Retry};
use backflow_core::record::Record;
use backflow_core::secret::{SecretRef, Secrets};
use backflow_core::selection::{Operation, Selection, SyncMode};
use backflow_core::sink::Sink;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::receiver::Expect;

/// Stops a sink.
pub type Stopping = watch::Sender<Option<Failure>>;

/// A Destination, its secrets, and the Mapping that sends to it.
#[derive(Clone)]
pub struct Webhook {
    /// As a run is given it.
    pub destination: DestinationPlan,
    /// As a run is given it.
    pub mapping: MappingPlan,
    /// Values by key.
    pub secrets: BTreeMap<String, String>,
}

impl Secrets for Webhook {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        let value = self.secrets.get(&reference.key).ok_or_else(|| reference.key_not_found())?;
        Ok(SecretString::from(value.clone()))
    }
}

impl Webhook {
    /// Sends to `url`, without credentials.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let destination = DestinationPlan {
            name: "hook".into(),
            kind: "webhook".into(),
            definition: None,
            definition_version: 1,
            auth: "bearer".into(),
            settings: BTreeMap::from([("url".to_owned(), json!(url))]),
            secrets: BTreeMap::new(),
            limits: DestinationLimits::default(),
            allow_loopback: true,
        };
        let mapping = MappingPlan {
            name: "customers".into(),
            state_key: "shop/customers".into(),
            action: "send".into(),
            selection: Selection::SyncMode(SyncMode::Mirror),
            config: BTreeMap::new(),
            fields: BTreeMap::new(),
            match_by: None,
            group_by: None,
            include: None,
            filter: None,
            fingerprint: String::new(),
            on_change: OnMappingChange::Resend,
            identity: BTreeMap::new(),
            deletes: Deletes::default(),
            retry: Retry::default(),
            scratch_bytes: 0,
        };
        Self { destination, mapping, secrets: BTreeMap::new() }
    }

    /// Adds a plain setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: Value) -> Self {
        self.destination.settings.insert(name.to_owned(), value);
        self
    }

    /// Adds a secret.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        let reference = SecretRef { name: "hook".into(), key: name.to_owned() };
        self.destination.secrets.insert(name.to_owned(), reference);
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds what a receiver expects.
    #[must_use]
    pub fn expected(mut self, expect: &Expect) -> Self {
        for (name, value) in [("authToken", &expect.token), ("signingKey", &expect.signing_key)] {
            if let Some(value) = value {
                self = self.secret(name, value);
            }
        }
        self
    }

    /// Bounds retries.
    #[must_use]
    pub const fn retry(mut self, max_attempts: u32, window_seconds: u64) -> Self {
        self.mapping.retry = Retry { max_attempts, window_seconds };
        self
    }

    /// Opens the sink, and what stops it.
    ///
    /// # Errors
    /// As [`backflow_destinations::open`].
    pub fn open(&self) -> Result<(Arc<dyn Sink>, Stopping), Failure> {
        let (stop, asked) = watch::channel(None);
        Ok((backflow_destinations::open(&self.destination, &self.mapping, self, None, asked)?, stop))
    }

    /// Checks the Destination.
    ///
    /// # Errors
    /// As [`backflow_destinations::check`].
    pub async fn check(&self) -> Result<String, Failure> {
        backflow_destinations::check(&self.destination, self).await
    }
}

/// A credential that exists only in this process: `prefix`, then 24 random letters.
#[must_use]
pub fn random_secret(prefix: &str) -> String {
    (0..24).fold(prefix.to_owned(), |mut text, _| {
        text.push(fastrand::alphanumeric());
        text
    })
}

/// Records with the ids `ids`; their data names the id.
#[must_use]
pub fn records(ids: std::ops::Range<u64>, op: Operation) -> Vec<Record> {
    let record = |id: u64| Record {
        id: id.to_string(),
        op,
        memory: backflow_core::change::Memory::default(),
        data: if op == Operation::Delete {
            "{}".to_owned()
        } else {
            json!({"n": id, "name": format!("é \"{id}\"")}).to_string()
        },
        key: format!("key-{id:018}"),
    };
    ids.map(record).collect()
}
