//! A Mapping of the table `customers` in a MariaDB, with a book of what is in it.

use std::sync::{Arc, Weak};

use backflow_core::plan::{ModelPlan, StateLocation};
use backflow_core::result::RunResult;
use backflow_tests::customers::{Customers, Dialect};
use backflow_tests::mariadb::MariaDb;
use backflow_tests::worker::{Ended, Scenario};
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
    pub(super) customers: Customers,
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
                "CREATE DATABASE {name}; GRANT SELECT ON {name}.* TO {name}; GRANT ALL ON `{name}\\_state`.* TO {name}"
            ))
            .unwrap();
        scenario.put_secret(&name, "password", &server.password(&name).unwrap()).unwrap();
        scenario.sync.source = server.source(&name, &name);
        scenario.sync.source.state = StateLocation::Schema(state);
        let customers = Customers::new(Dialect::MySql);
        let (query, primary_key) = (customers.query(), vec!["id".into()]);
        scenario.sync.model = ModelPlan { name: "customers".into(), query, primary_key };
        let mut shop = Self { server, scenario, name, customers };
        shop.sql(shop.customers.create());
        shop.add(1, rows);
        shop
    }

    pub(super) fn sql(&self, sql: &str) {
        self.server.exec(&format!("USE {};\n{sql}", self.name)).unwrap();
    }

    pub(super) fn add(&mut self, first: u32, last: u32) {
        let sql = self.customers.add(first, last);
        self.sql(&sql);
    }

    /// Gives them another name, and no score.
    pub(super) fn rename(&mut self, ids: &[u32], name: &str) {
        let sql = self.customers.rename(ids, name);
        self.sql(&sql);
    }

    /// Removes the customers `first..=last`.
    pub(super) fn remove(&mut self, first: u32, last: u32) {
        let sql = self.customers.remove(first, last);
        self.sql(&sql);
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
