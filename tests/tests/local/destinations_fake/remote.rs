//! The fakes of another process, by their plain requests.

use std::collections::BTreeMap;

use backflow_tests::destinations::{Account, Credentials, Ledger, Script};
use reqwest::Client;
use serde_json::{Value, json};

#[derive(Clone)]
pub(crate) struct Remote {
    url: String,
    client: Client,
    pub(crate) credentials: BTreeMap<String, Credentials>,
}

impl Remote {
    pub(crate) async fn new(url: String) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let credentials = client.get(format!("{url}/accounts")).send().await.unwrap().json().await.unwrap();
        Self { url, client, credentials }
    }

    /// Waits until the fakes have answered.
    pub(crate) async fn round_trip(&self) {
        self.client.get(&self.url).send().await.unwrap();
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        self.client.get(format!("{}/ledger", self.url)).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn account(&self, definition: &str) -> Account {
        self.ledger().await.vendors.remove(definition).unwrap_or_default()
    }

    async fn post(&self, path: &str, body: Value) {
        let answer = self.client.post(format!("{}/{path}", self.url)).json(&body).send().await.unwrap();
        answer.error_for_status().unwrap();
    }

    pub(crate) async fn script(&self, definition: &str, script: &Script) {
        self.post(&format!("script/{definition}"), json!(script)).await;
    }

    pub(crate) async fn clear(&self, definition: &str) {
        self.post(&format!("clear/{definition}"), json!({})).await;
    }
}
