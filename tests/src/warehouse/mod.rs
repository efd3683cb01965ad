//! Fakes of cloud warehouses: the program of `tests/fakes/warehouses`, with an account for each test.

mod process;
mod service;

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, ensure};
use backflow_core::code::Failure;
use backflow_core::plan::{
    AzureSql, AzureSqlCredential, BigQuery, Connection, Databricks, DatabricksCredential, DiffEngine, Server,
    Snowflake, SnowflakeCredential, SourcePlan, StateLocation, Tls, TlsMode,
};
use backflow_core::secret::{SecretRef, Secrets};
use reqwest::{Client, Method};
use secrecy::SecretString;
use serde_json::{Value, json};

pub use self::service::Service;
use crate::PATIENCE;

/// The Secret that holds the credential.
const SECRET: &str = "warehouse";
const KEY: &str = "credential";
/// Where the certificate of the authority is, of those that are reached encrypted.
const AUTHORITY: &str = "ca";

/// A fake with an account of its own.
pub struct FakeWarehouse {
    /// Which one.
    pub service: Service,
    /// Where it is, and the names and credentials that a client needs.
    told: Value,
    client: Client,
    _host: process::Host,
}

impl FakeWarehouse {
    /// Starts one that has run `seed`, in the service's dialect.
    ///
    /// # Errors
    /// There is no Python for it; what it says against the seed.
    pub async fn start(service: Service, seed: &str) -> anyhow::Result<Self> {
        Self::ask(service, json!({"seed": seed})).await
    }

    /// Starts one at another address of this machine, where pods reach it, as the service itself would be there: by HTTPS, and under its
    /// own name if it has one.
    ///
    /// # Errors
    /// As [`FakeWarehouse::start`].
    pub async fn start_at(address: IpAddr, service: Service, seed: &str) -> anyhow::Result<Self> {
        let place = json!({"host": address, "name": service.host()});
        Self::ask(service, json!({"seed": seed, "place": place, "tls": true})).await
    }

    async fn ask(service: Service, asked: Value) -> anyhow::Result<Self> {
        let (told, host) = process::ask(service, asked).await?;
        ensure!(told["error"].is_null(), "the fake refuses its seed: {}", told["error"]);
        for name in ["url", "address", "control"].iter().chain(service.tells()) {
            ensure!(told[name].is_string(), "the fake tells no {name}");
        }
        let client = Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build()?;
        Ok(Self { service, told, client, _host: host })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// It told no address.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.told("address").parse().with_context(|| format!("{} is no address", self.told("address")))
    }

    /// A name or credential that it told.
    #[must_use]
    pub fn told(&self, name: &str) -> &str {
        self.told[name].as_str().unwrap_or_default()
    }

    /// Where it listens, on this machine.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.told("url").rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    /// A Source that reads it, with its state in the schema or dataset of every default.
    #[must_use]
    pub fn source(&self) -> SourcePlan {
        let told = |name: &str| self.told(name).to_owned();
        let credential = SecretRef { name: SECRET.into(), key: KEY.into() };
        let endpoint = Some(told("url"));
        let (connection, schema) = match self.service {
            Service::Snowflake => {
                let snowflake = Snowflake {
                    account: told("account"),
                    user: told("user"),
                    warehouse: told("warehouse"),
                    database: told("database"),
                    schema: Some(told("schema")),
                    role: Some(told("role")),
                    credential: SnowflakeCredential::KeyPair { private_key: credential, passphrase: None },
                    endpoint,
                };
                (Connection::Snowflake(Box::new(snowflake)), "_BACKFLOW")
            }
            Service::BigQuery => {
                let bigquery = BigQuery {
                    project: told("project"),
                    location: told("location"),
                    dataset: Some(told("dataset")),
                    service_account_key: Some(credential),
                    impersonate: None,
                    maximum_bytes_billed: None,
                    endpoint,
                };
                (Connection::BigQuery(Box::new(bigquery)), "_backflow")
            }
            Service::Databricks => {
                let databricks = Databricks {
                    host: told("host"),
                    warehouse_id: told("warehouseId"),
                    catalog: Some(told("catalog")),
                    schema: Some(told("schema")),
                    credential: DatabricksCredential::Client { id: told("clientId"), secret: credential, tenant: None },
                    start_for_checks: false,
                    endpoint,
                };
                (Connection::Databricks(Box::new(databricks)), "_backflow")
            }
            Service::ClickHouse => {
                let server = Server {
                    host: "127.0.0.1".into(),
                    port: self.port(),
                    database: told("database"),
                    user: told("user"),
                    password: Some(credential),
                    tls: Tls { mode: TlsMode::Disable, ..Tls::default() },
                };
                (Connection::ClickHouse(Box::new(server)), "_backflow")
            }
            Service::AzureSql => {
                let azure = AzureSql {
                    host: told("host"),
                    port: self.port(),
                    database: told("database"),
                    credential: AzureSqlCredential::Login { user: told("user"), password: credential },
                    tls: Tls {
                        mode: TlsMode::VerifyFull,
                        ca: Some(SecretRef { name: SECRET.into(), key: AUTHORITY.into() }),
                        ..Tls::default()
                    },
                    authority: Some(told("authority")),
                };
                (Connection::AzureSql(Box::new(azure)), "_backflow")
            }
        };
        SourcePlan {
            name: "warehouse".into(),
            connection,
            state: StateLocation::Schema(schema.into()),
            diff: DiffEngine::Streaming,
        }
    }

    /// Whether its state has a table of turns beside that of objects.
    #[must_use]
    pub fn has_turns(&self) -> bool {
        matches!(self.service, Service::Snowflake | Service::BigQuery | Service::AzureSql)
    }

    /// The credential of [`FakeWarehouse::source`]: name and key of its Secret, and the value.
    #[must_use]
    pub fn secret(&self) -> (&'static str, &'static str, String) {
        let value = match self.service {
            Service::Snowflake => self.told("privateKey").to_owned(),
            Service::BigQuery => self.told["serviceAccountKey"].to_string(),
            Service::Databricks => self.told("clientSecret").to_owned(),
            Service::ClickHouse => self.told("password").to_owned(),
            Service::AzureSql => self.told("password").to_owned(),
        };
        (SECRET, KEY, value)
    }

    /// What else [`FakeWarehouse::source`] reads of the same Secret: the keys, and the values.
    #[must_use]
    pub fn more_secrets(&self) -> Vec<(&'static str, String)> {
        let told = |name: &str| self.told(name).to_owned();
        match self.service {
            Service::AzureSql => vec![
                (AUTHORITY, told("certificateAuthority")),
                ("client-secret", told("clientSecret")),
                ("wrong", "none of it".into()),
            ],
            Service::Snowflake | Service::BigQuery | Service::Databricks | Service::ClickHouse => Vec::new(),
        }
    }

    /// Texts that nobody may see: parts of every credential, and of every token that is made with one.
    #[must_use]
    pub fn secret_texts(&self) -> Vec<String> {
        let pem = match self.service {
            Service::Snowflake => self.told("privateKey"),
            Service::BigQuery => self.told["serviceAccountKey"]["private_key"].as_str().unwrap_or_default(),
            Service::Databricks => "",
            Service::ClickHouse => return vec![self.told("password").to_owned()],
            Service::AzureSql => {
                let given = ["password", "clientSecret", "podToken"].map(|name| self.told(name).to_owned());
                return given.into_iter().chain(["eyJ0eXAi".to_owned()]).collect();
            }
        };
        let mut texts: Vec<String> = pem.lines().filter(|line| line.len() == 64).map(str::to_owned).collect();
        // How each token begins that is signed here, or given to a service principal; and every link to rows has.
        texts.extend(["eyJ".into(), "X-Amz-Signature".into()]);
        texts.extend(
            ["accessToken", "oauthToken", "token", "clientSecret", "entraSecret"]
                .iter()
                .filter_map(|name| self.told[name].as_str())
                .map(str::to_owned),
        );
        texts
    }

    /// Asks its control endpoint.
    ///
    /// # Errors
    /// It refuses, with its reason.
    pub async fn control(&self, method: Method, path: &str, value: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.client.request(method, format!("{}{path}", self.told("control")));
        if let Some(value) = value {
            request = request.json(&value);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    async fn post(&self, path: &str, value: Value) -> anyhow::Result<()> {
        self.control(Method::POST, path, Some(value)).await.map(drop)
    }

    /// Arms a fault.
    ///
    /// # Errors
    /// There is none like it.
    pub async fn fault(&self, fault: Value) -> anyhow::Result<()> {
        self.post("/faults", json!([fault])).await
    }

    /// How often each armed fault struck.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn struck(&self) -> anyhow::Result<Vec<u64>> {
        let faults = self.control(Method::GET, "/faults", None).await?;
        let faults = faults.as_array().context("the faults are no list")?;
        Ok(faults.iter().filter_map(|fault| fault["struck"].as_u64()).collect())
    }

    /// Disarms all faults and empties the ledger.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn calm(&self) -> anyhow::Result<()> {
        for path in ["/faults", "/ledger"] {
            self.control(Method::DELETE, path, None).await?;
        }
        Ok(())
    }

    /// Changes settings.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn settings(&self, settings: Value) -> anyhow::Result<()> {
        self.post("/settings", settings).await
    }

    /// Keeps statements that match running, for so many looks at them or until [`FakeWarehouse::release`].
    ///
    /// # Errors
    /// It does not answer.
    pub async fn hold(&self, statement: &str, polls: Option<u32>) -> anyhow::Result<()> {
        self.post("/holds", json!({"statement": statement, "polls": polls})).await
    }

    /// Lets all of them run.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn release(&self) -> anyhow::Result<()> {
        self.control(Method::DELETE, "/holds", None).await.map(drop)
    }

    /// Runs SQL with all rights.
    ///
    /// # Errors
    /// What the fake says.
    pub async fn sql(&self, statements: &str) -> anyhow::Result<()> {
        self.post("/sql", json!({"statements": statements})).await
    }

    /// Its requests, statements or tables, as JSON.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let found = self.control(Method::GET, path, None).await?;
        Ok(found.as_array().with_context(|| format!("{path} is no list"))?.clone())
    }

    /// The SQL of statements that have not ended.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn running(&self) -> anyhow::Result<Vec<String>> {
        let statements = self.list("/statements").await?;
        let running = statements.iter().filter(|statement| statement["state"] == "RUNNING");
        Ok(running.map(|statement| statement["sql"].to_string()).collect())
    }
}

impl Secrets for FakeWarehouse {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        let (name, key, value) = self.secret();
        let mut all = vec![(key, value)];
        all.extend(self.more_secrets());
        let found = all.into_iter().find(|(key, _)| reference.name == name && reference.key == *key);
        found.map(|(_, value)| value.into()).ok_or_else(|| reference.not_found())
    }
}
