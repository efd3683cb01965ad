//! A Mapping of the table `customers` in a fake warehouse, with a book of what is in it.

use backflow_core::plan::ModelPlan;
use backflow_core::result::RunResult;
use backflow_tests::customers::Customers;
use backflow_tests::warehouse::{FakeWarehouse, Service};
use backflow_tests::worker::{Ended, Scenario};
use serde_json::Value;

/// Statements that read the model, but not those that describe it.
pub(super) const READ: &str = r"^SELECT _m\.[^*].*AS _m(\s|$)|SELECT _m\.[^*].*FROM _m(\s|$)";

/// A table with this many customers: its book, and the seed that makes it.
pub(super) fn seeded(service: Service, rows: u32) -> (Customers, String) {
    let mut customers = Customers::new(service.dialect());
    let seed = format!("{}\n{}\n", customers.create(), customers.add(1, rows));
    (customers, seed)
}

pub(super) struct Shop {
    pub(super) fake: FakeWarehouse,
    pub(super) scenario: Scenario,
    /// What the table holds.
    pub(super) customers: Customers,
}

impl Shop {
    /// With customers numbered `1..=rows`.
    pub(super) async fn start(service: Service, rows: u32) -> Self {
        let (customers, seed) = seeded(service, rows);
        let fake = FakeWarehouse::start(service, &seed).await.unwrap();
        let mut scenario = Scenario::start().await.unwrap();
        let (name, key, value) = fake.secret();
        scenario.put_secret(name, key, &value).unwrap();
        for (key, value) in fake.more_secrets() {
            scenario.put_secret(name, key, &value).unwrap();
        }
        scenario.sync.source = fake.source();
        let (query, primary_key) = (customers.query(), vec!["id".into()]);
        scenario.sync.model = ModelPlan { name: "customers".into(), query, primary_key };
        Self { fake, scenario, customers }
    }

    pub(super) async fn add(&mut self, first: u32, last: u32) {
        self.fake.sql(&self.customers.add(first, last)).await.unwrap();
    }

    /// Gives them another name, and no score.
    pub(super) async fn rename(&mut self, ids: &[u32], name: &str) {
        self.fake.sql(&self.customers.rename(ids, name)).await.unwrap();
    }

    /// Removes the customers `first..=last`.
    pub(super) async fn remove(&mut self, first: u32, last: u32) {
        self.fake.sql(&self.customers.remove(first, last)).await.unwrap();
    }

    /// Runs a pod. Whatever becomes of it, no credential is in what it says.
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
        for text in self.fake.secret_texts() {
            for (place, said) in [("stdout", &ended.stdout), ("stderr", &ended.stderr), ("result", &ended.message)] {
                assert!(!said.contains(&text), "a credential is in {place}: {said}");
            }
        }
    }

    /// That nothing runs in the warehouse, and no table is there but the customers and those of the state.
    pub(super) async fn left_tidy(&self, when: &str) {
        assert_eq!(self.fake.running().await.unwrap(), Vec::<String>::new(), "{when}");
        let mut tables = self.fake.list("/tables").await.unwrap();
        let full =
            |table: &Value| table.as_str().unwrap().to_lowercase().rsplit('.').take(2).collect::<Vec<_>>().join(" of ");
        tables.sort_by_key(full);
        let tables: Vec<String> = tables.iter().map(full).collect();
        let place = match self.fake.service {
            Service::Snowflake => "public",
            Service::AzureSql => "dbo",
            Service::BigQuery | Service::Databricks | Service::ClickHouse => "shop",
        };
        let customers = format!("customers of {place}");
        let mut expected = vec![customers.as_str(), "objects of _backflow"];
        if self.fake.has_turns() {
            expected.push("turns of _backflow");
        }
        assert_eq!(tables, expected, "{when}");
    }
}
