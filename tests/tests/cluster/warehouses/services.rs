//! The warehouses: a server or a fake of each at the node's address, and the Source that a user writes for it.

use backflow_core::plan::ModelQuery;
use backflow_tests::cluster::Scene;
use backflow_tests::cluster::manifests::{MODEL, SOURCE, key_of, object, secret};
use backflow_tests::customers::{Customers, Dialect};
use backflow_tests::mariadb::MariaDb;
use backflow_tests::postgres::ServerTls;
use backflow_tests::redshift::RedshiftGuard;
use backflow_tests::tunnel::Tunnel;
use backflow_tests::warehouse::{FakeWarehouse, Service};
use serde_json::{Value, json};

/// The Secret of the Source, and what it holds beside the scene's password.
const SECRET: &str = "warehouse";
const CREDENTIAL: &str = "credential";
const AUTHORITY: &str = "authority";

/// A warehouse that a Source can be of.
pub(super) struct Warehouse {
    /// The member of the Source's spec.
    pub(super) kind: &'static str,
    /// How the server's name and version begin.
    pub(super) server: &'static str,
    pub(super) customers: Customers,
    /// The Source's spec.
    spec: Value,
    service: Running,
}

enum Running {
    /// The scene's own server.
    Postgres,
    Redshift(RedshiftGuard),
    MariaDb(Box<MariaDb>),
    Fake(Box<FakeWarehouse>),
    /// One that workers only know by the service's name.
    Cloud(Box<FakeWarehouse>, Tunnel),
}

impl Warehouse {
    pub(super) async fn postgres(scene: &Scene) -> Self {
        let spec = scene.source()["spec"].clone();
        Self::of_scene(scene, "postgres", "PostgreSQL 1", spec, Running::Postgres).await
    }

    /// The scene's server behind a guard.
    pub(super) async fn redshift(scene: &Scene) -> Self {
        let guard = RedshiftGuard::start_at(scene.namespace.cluster.host, scene.server.port()).await.unwrap();
        let mut redshift = scene.source()["spec"]["postgres"].clone();
        redshift["port"] = json!(guard.port());
        let spec = json!({"redshift": redshift});
        Self::of_scene(scene, "redshift", "Redshift 1.", spec, Running::Redshift(guard)).await
    }

    async fn of_scene(scene: &Scene, kind: &'static str, server: &'static str, spec: Value, service: Running) -> Self {
        scene.sql("CREATE SCHEMA shop").await.unwrap();
        Self { kind, server, customers: Customers::new(Dialect::Postgres), spec, service }
    }

    /// A MariaDB with TLS and the grants of the guide.
    pub(super) async fn mysql(scene: &Scene) -> Self {
        let server = MariaDb::start_at(scene.namespace.cluster.host, ServerTls::Good).await.unwrap();
        let user = "backflow";
        server.user(user).unwrap();
        let grants = "GRANT SELECT ON shop.* TO backflow; CREATE DATABASE _backflow; \
                      GRANT CREATE, SELECT, INSERT, DELETE ON `\\_backflow`.* TO backflow";
        server.exec(grants).unwrap();
        let (plan, password) = (server.plan(user, "shop"), server.password(user).unwrap());
        keep(scene, &[(CREDENTIAL, &password), (AUTHORITY, server.authority().certificate())]).await;
        let spec = json!({"mysql": {
            "host": plan.host, "port": plan.port, "database": plan.database, "user": user,
            "password": key_of(SECRET, CREDENTIAL), "tls": {"mode": "VerifyCa", "ca": key_of(SECRET, AUTHORITY)},
        }});
        let customers = Customers::new(Dialect::MySql);
        Self { kind: "mysql", server: "MariaDB 1", customers, spec, service: Running::MariaDb(Box::new(server)) }
    }

    /// A fake of a service.
    pub(super) async fn fake(scene: &Scene, service: Service) -> Self {
        let at = scene.namespace.cluster.host;
        let customers = Customers::new(service.dialect());
        let fake = Box::new(FakeWarehouse::start_at(at, service, "").await.unwrap());
        let (_, _, credential) = fake.secret();
        keep(scene, &[(CREDENTIAL, &credential), (AUTHORITY, fake.told("certificateAuthority"))]).await;
        let (told, credential) = (|name: &str| fake.told(name), key_of(SECRET, CREDENTIAL));
        let address = fake.address().unwrap();
        let (kind, server, source) = match service {
            Service::Snowflake => (
                "snowflake",
                "Snowflake ",
                json!({
                    "account": told("account"), "user": told("user"), "warehouse": told("warehouse"), "database": told("database"),
                    "schema": told("schema"), "role": told("role"), "privateKey": credential,
                }),
            ),
            Service::BigQuery => (
                "bigquery",
                "BigQuery",
                json!({"project": told("project"), "location": told("location"), "serviceAccountKey": credential}),
            ),
            Service::Databricks => (
                "databricks",
                "Databricks SQL",
                json!({
                    "host": told("host"), "httpPath": told("httpPath"), "catalog": told("catalog"), "schema": told("schema"),
                    "clientId": told("clientId"), "clientSecret": credential,
                }),
            ),
            Service::ClickHouse => (
                "clickhouse",
                "ClickHouse 2",
                json!({
                    "host": address.ip(), "port": address.port(), "database": told("database"), "user": told("user"),
                    "password": credential, "tls": {"ca": key_of(SECRET, AUTHORITY)},
                }),
            ),
            Service::AzureSql => (
                "azureSql",
                "Azure SQL Database",
                json!({
                    "host": told("host"), "port": address.port(), "database": told("database"), "user": told("user"),
                    "password": credential, "tls": {"ca": key_of(SECRET, AUTHORITY)},
                }),
            ),
        };
        let mut spec = json!({kind: source});
        let service = match service.host() {
            None => Running::Fake(fake),
            // Its authority is none that a Source could name: it is among the public ones.
            Some(name) => {
                let tunnel = Tunnel::start(at, name, address).await.unwrap();
                spec["worker"] = json!({
                    "env": [{"name": "HTTPS_PROXY", "value": tunnel.url()}], "caBundle": key_of(SECRET, AUTHORITY),
                });
                Running::Cloud(fake, tunnel)
            }
        };
        Self { kind, server, customers, spec, service }
    }

    /// Source and Model.
    pub(super) fn manifests(&self) -> [Value; 2] {
        let mut model = json!({"sourceRef": {"name": SOURCE}, "primaryKey": ["id"]});
        match self.customers.query() {
            ModelQuery::Sql(sql) => model["sql"] = json!(sql),
            ModelQuery::Table(table) => model["table"] = json!(table),
        }
        [object("Source", SOURCE, self.spec.clone()), object("Model", MODEL, model)]
    }

    /// Runs a statement, not as the Source's user where there is another.
    pub(super) async fn sql(&self, scene: &Scene, statement: &str) {
        match &self.service {
            Running::Postgres | Running::Redshift(_) => scene.sql(statement).await,
            Running::MariaDb(server) => server.exec(&format!("USE shop;\n{statement}")),
            Running::Fake(fake) | Running::Cloud(fake, _) => fake.sql(statement).await,
        }
        .unwrap();
    }

    /// What a worker wanted that is not there: statements that the service does not know, and hosts that are not its own.
    pub(super) fn refused(&self) -> Vec<String> {
        match &self.service {
            Running::Redshift(guard) => guard.refused(),
            Running::Cloud(_, tunnel) => tunnel.refused(),
            Running::Postgres | Running::MariaDb(_) | Running::Fake(_) => Vec::new(),
        }
    }
}

/// Puts what the Source refers to into its Secret.
async fn keep(scene: &Scene, entries: &[(&str, &str)]) {
    scene.namespace.apply(&[secret(SECRET, entries)]).await.unwrap();
}
