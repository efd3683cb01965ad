//! A Mapping of the table `customers` in a MariaDB, with a model of what is in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use backflow_core::plan::{ModelPlan, ModelQuery, StateLocation};
use backflow_core::result::RunResult;
use backflow_tests::mariadb::MariaDb;
use backflow_tests::worker::{Ended, Scenario, Sent};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// One server for the tests that run at the same time; it ends with the last of them.
static SERVER: Mutex<Weak<MariaDb>> = Mutex::const_new(Weak::new());

pub(super) async fn server() -> Arc<MariaDb> {
    let mut shared = SERVER.lock().await;
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let started = Arc::new(MariaDb::start().await.unwrap());
    *shared = Arc::downgrade(&started);
    started
}

pub(super) struct Shop {
    pub(super) server: Arc<MariaDb>,
    pub(super) scenario: Scenario,
    /// Its database, its user, and before `_state` that of the state.
    pub(super) name: String,
    /// What the table holds.
    rows: BTreeMap<u32, Value>,
}

impl Shop {
    /// With customers numbered `1..=rows`.
    pub(super) async fn start(rows: u32) -> Self {
        let server = server().await;
        let mut scenario = Scenario::start().await.unwrap();
        let name = format!("d{:08x}", fastrand::u32(..));
        server.user(&name).unwrap();
        let state = format!("{name}_state");
        server
            .exec(&format!(
                "CREATE DATABASE {name}; GRANT SELECT ON {name}.* TO {name}; GRANT ALL ON `{name}\\_state`.* TO {name}; \
                 CREATE TABLE {name}.customers (id INT PRIMARY KEY, name VARCHAR(100) CHARACTER SET utf8mb4, plan TEXT, score BIGINT UNSIGNED)"
            ))
            .unwrap();
        scenario.put_secret(&name, "password", &server.password(&name).unwrap()).unwrap();
        scenario.sync.source = server.source(&name, &name);
        scenario.sync.source.state = StateLocation::Schema(state);
        let query = ModelQuery::Table("customers".into());
        scenario.sync.model = ModelPlan { name: "customers".into(), query, primary_key: vec!["id".into()] };
        let mut shop = Self { server, scenario, name, rows: BTreeMap::new() };
        shop.add(1, rows);
        shop
    }

    pub(super) fn sql(&self, sql: &str) {
        self.server.exec(&format!("USE {};\n{sql}", self.name)).unwrap();
    }

    pub(super) fn add(&mut self, first: u32, last: u32) {
        self.sql(&format!(
            "INSERT INTO customers SELECT seq, CONCAT('name ', seq), NULL, 7 FROM seq_{first}_to_{last}"
        ));
        for id in first..=last {
            self.rows.insert(id, json!({"id": id, "name": format!("name {id}"), "plan": null, "score": 7}));
        }
    }

    /// Gives them another name, and no score.
    pub(super) fn rename(&mut self, ids: &[u32], name: &str) {
        let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        self.sql(&format!("UPDATE customers SET name = '{name}', score = NULL WHERE id IN ({list})"));
        for id in ids {
            let row = self.rows.get_mut(id).unwrap();
            row["name"] = name.into();
            row["score"] = Value::Null;
        }
    }

    /// Removes the customers `first..=last`.
    pub(super) fn remove(&mut self, first: u32, last: u32) {
        self.sql(&format!("DELETE FROM customers WHERE id BETWEEN {first} AND {last}"));
        self.rows.retain(|id, _| !(first..=last).contains(id));
    }

    /// What should arrive for these.
    pub(super) fn upserts(&self, ids: impl IntoIterator<Item = u32>) -> Vec<Sent> {
        let sent = |id: u32| (id.to_string(), "upsert".to_owned(), self.rows[&id].clone());
        let mut all: Vec<Sent> = ids.into_iter().map(sent).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// What should arrive for all.
    pub(super) fn all(&self) -> Vec<Sent> {
        self.upserts(self.rows.keys().copied())
    }

    /// Runs a pod. Whatever becomes of it, no password is in what it says.
    pub(super) async fn run(&self, run: &str) -> Ended {
        let ended = self.scenario.run(run).await.unwrap();
        self.clean(&ended);
        ended
    }

    /// Runs a pod, which must succeed.
    pub(super) async fn succeed(&self, run: &str) -> RunResult {
        let ended = self.run(run).await;
        assert_eq!(ended.phase().unwrap(), "Succeeded", "{run}: {ended:?}");
        ended.result().unwrap()
    }

    pub(super) fn clean(&self, ended: &Ended) {
        let password = self.server.password(&self.name).unwrap();
        for (place, said) in [("stdout", &ended.stdout), ("stderr", &ended.stderr), ("result", &ended.message)] {
            assert!(!said.contains(&password), "a password is in {place}: {said}");
        }
    }
}

/// A customer that is gone.
pub(super) fn deletion(id: u32) -> Sent {
    (id.to_string(), "delete".to_owned(), json!({}))
}
