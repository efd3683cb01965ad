//! The vendors, the warehouse and the manifests of the twenty.

use std::net::{IpAddr, SocketAddr};

use backflow_tests::cluster::manifests::{MODEL, SOURCE, key_of, object, secret};
use backflow_tests::destinations::{Account, Fakes, definitions};
use backflow_tests::postgres::{PostgresServer, ServerTls};
use serde_json::{Value, json};

use super::route::Route;
use super::table;

/// Role, and database.
const DATABASE: &str = "shop";
/// The ConfigMap with the certificate of the fakes' authority, and its key.
pub(super) const BUNDLE: (&str, &str) = ("corporate-ca", "ca.crt");

pub(super) struct World {
    pub(super) host: IpAddr,
    pub(super) server: PostgresServer,
    pub(super) fakes: Fakes,
    pub(super) routes: Vec<Route>,
}

/// Manifests: of where the rows are, and the others.
pub(super) struct Manifests {
    pub(super) rows: Vec<Value>,
    pub(super) others: Vec<Value>,
}

impl World {
    /// Vendors and tables, without rows.
    pub(super) async fn new(host: IpAddr, actions: &[(&'static str, &str)]) -> Self {
        let fakes = Fakes::bind(SocketAddr::from((host, 0)), &definitions()).await.unwrap();
        let server = PostgresServer::start_at(host, ServerTls::Off).await.unwrap();
        server.role(DATABASE).await.unwrap();
        server.exec("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {DATABASE}")).await.unwrap();
        let routes: Vec<Route> = actions.iter().map(|(definition, action)| Route::new(definition, action)).collect();
        routes.iter().for_each(|route| fakes.script(route.name, route.calm()));
        let columns: Vec<String> =
            routes.iter().flat_map(Route::columns).map(|name| format!("\"{name}\" text")).collect();
        let world = Self { host, server, fakes, routes };
        world.sql(&format!("CREATE TABLE {MODEL} (id int PRIMARY KEY, plan text, {})", columns.join(", "))).await;
        world.sql(table::SQL).await;
        world
    }

    async fn sql(&self, sql: &str) {
        self.server.exec(DATABASE, &format!("SET ROLE {DATABASE}; {sql}")).await.unwrap();
    }

    /// Writes rows in this version.
    pub(super) async fn write(&self, rows: impl IntoIterator<Item = usize>, version: usize) {
        let mut sql = String::new();
        for n in rows {
            let (mut columns, mut values) = (String::from("id, plan"), format!("{n}, '{}'", table::plan(n, version)));
            for (column, value) in self.routes.iter().flat_map(|route| route.values(n, version)) {
                columns.push_str(&format!(", \"{column}\""));
                values.push_str(&format!(", '{}'", value.to_string().replace('\'', "''")));
            }
            sql.push_str(&format!(
                "DELETE FROM {MODEL} WHERE id = {n}; INSERT INTO {MODEL} ({columns}) VALUES ({values});"
            ));
        }
        self.sql(&sql).await;
    }

    /// Changes what only this vendor gets of row `n`.
    pub(super) async fn change(&self, route: &Route, n: usize) {
        let set =
            |(column, value): (&str, Value)| format!("\"{column}\" = '{}'", value.to_string().replace('\'', "''"));
        let sets: Vec<String> = route.values(n, 1).into_iter().map(set).collect();
        self.sql(&format!("UPDATE {MODEL} SET {} WHERE id = {n}", sets.join(", "))).await;
    }

    /// Removes a row.
    pub(super) async fn remove(&self, n: usize) {
        self.sql(&format!("DELETE FROM {MODEL} WHERE id = {n}")).await;
    }

    /// What a vendor saw.
    pub(super) fn account(&self, name: &str) -> Account {
        self.fakes.ledger().vendors.remove(name).unwrap_or_default()
    }

    /// What the table's ledger says.
    pub(super) async fn noted(&self) -> Vec<String> {
        self.server.query(DATABASE, table::LEDGER).await.unwrap().into_iter().flatten().flatten().collect()
    }

    /// All manifests.
    pub(super) fn manifests(&self) -> Manifests {
        let authority = std::fs::read_to_string(self.fakes.authority()).unwrap();
        let (bundle, key) = BUNDLE;
        let bundle = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": bundle}, "data": {key: authority},
        });
        let (host, port) = (self.host.to_string(), self.server.port());
        let postgres = json!({
            "host": host, "port": port, "database": DATABASE, "user": DATABASE,
            "password": key_of(SOURCE, "password"), "tls": {"mode": "Disable"},
        });
        let model = json!({"sourceRef": {"name": SOURCE}, "table": MODEL, "primaryKey": ["id"]});
        let rows = vec![
            object("Source", SOURCE, json!({"postgres": postgres, "maxConcurrentSyncs": 32})),
            object("Model", MODEL, model),
        ];
        let password = self.server.password(DATABASE).unwrap();
        let password = secret(SOURCE, &[("password", &password)]);
        let mut others = vec![bundle, password, table::mapping(), table::destination(&host, port, DATABASE)];
        let credentials = self.fakes.credentials();
        for route in &self.routes {
            let account = &credentials[route.name];
            let entries: Vec<_> = account.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            others.extend([secret(route.name, &entries), route.mapping(), route.destination(account)]);
        }
        Manifests { rows, others }
    }
}
