//! A Mapping of the table `customers` in a fake warehouse, with a model of what is in it.

use std::collections::BTreeMap;

use backflow_core::plan::{ModelPlan, ModelQuery};
use backflow_core::result::RunResult;
use backflow_tests::warehouse::{FakeWarehouse, Service};
use backflow_tests::worker::{Ended, Scenario, Sent};
use serde_json::{Value, json};

/// Statements that read the model, but not those that describe it.
pub(super) const READ: &str = r"^SELECT _m\.[^*].*AS _m(\s|$)|SELECT _m\.[^*].*FROM _m(\s|$)";

/// The table, and the rows numbered `first..=last`.
fn table(service: Service) -> &'static str {
    match service {
        Service::Snowflake => {
            "CREATE TABLE customers (id NUMBER(38,0) NOT NULL, name VARCHAR, plan VARCHAR, score NUMBER(38,0));"
        }
        Service::AzureSql => {
            "CREATE TABLE customers (id int NOT NULL, name nvarchar(50), plan varchar(20), score int);"
        }
        Service::BigQuery => "CREATE TABLE shop.customers (id INT64 NOT NULL, name STRING, plan STRING, score INT64);",
        Service::Databricks => "CREATE TABLE customers (id BIGINT NOT NULL, name STRING, plan STRING, score BIGINT);",
        Service::ClickHouse => {
            "CREATE TABLE shop.customers (id UInt32, name Nullable(String), plan Nullable(String), score Nullable(Int64)) \
             ENGINE = MergeTree ORDER BY id;"
        }
    }
}

fn insert(service: Service, first: u32, last: u32) -> String {
    match service {
        Service::Snowflake => format!(
            "INSERT INTO customers SELECT n, 'name ' || n, NULL, 7 \
             FROM (SELECT SEQ4() + {first} AS n FROM TABLE(GENERATOR(ROWCOUNT => {}))) AS numbers;",
            last + 1 - first
        ),
        Service::AzureSql => {
            let row = |n: u32| format!("({n}, N'name {n}', NULL, 7)");
            format!("INSERT INTO customers VALUES {};", (first..=last).map(row).collect::<Vec<_>>().join(", "))
        }
        Service::BigQuery => format!(
            "INSERT INTO shop.customers SELECT n, CONCAT('name ', CAST(n AS STRING)), NULL, 7 \
             FROM UNNEST(GENERATE_ARRAY({first}, {last})) AS n;"
        ),
        Service::Databricks => format!(
            "INSERT INTO customers SELECT n, CONCAT('name ', CAST(n AS STRING)), NULL, 7 \
             FROM (SELECT EXPLODE(SEQUENCE({first}, {last})) AS n) AS numbers;"
        ),
        Service::ClickHouse => format!(
            "INSERT INTO shop.customers SELECT number + {first}, concat('name ', toString(number + {first})), NULL, 7 \
             FROM numbers({});",
            last + 1 - first
        ),
    }
}

/// A seed with this many customers.
pub(super) fn customers(service: Service, rows: u32) -> String {
    format!("{}\n{}\n", table(service), insert(service, 1, rows))
}

/// The customers with names in lower case everywhere.
pub(super) fn model(service: Service) -> ModelPlan {
    let query = match service {
        Service::Snowflake => ModelQuery::Sql(
            "SELECT id AS \"id\", name AS \"name\", plan AS \"plan\", score AS \"score\"\nFROM customers".into(),
        ),
        Service::Databricks => ModelQuery::Table("customers".into()),
        Service::BigQuery | Service::ClickHouse => ModelQuery::Table("shop.customers".into()),
        Service::AzureSql => {
            ModelQuery::Sql("WITH all_of_them AS (SELECT * FROM dbo.customers)\nSELECT * FROM all_of_them".into())
        }
    };
    ModelPlan { name: "customers".into(), query, primary_key: vec!["id".into()] }
}

pub(super) struct Shop {
    pub(super) fake: FakeWarehouse,
    pub(super) scenario: Scenario,
    /// What the table holds.
    rows: BTreeMap<u32, Value>,
}

impl Shop {
    /// With customers numbered `1..=rows`.
    pub(super) async fn start(service: Service, rows: u32) -> Self {
        let fake = FakeWarehouse::start(service, &customers(service, rows)).await.unwrap();
        let mut scenario = Scenario::start().await.unwrap();
        let (name, key, value) = fake.secret();
        scenario.put_secret(name, key, &value).unwrap();
        for (key, value) in fake.more_secrets() {
            scenario.put_secret(name, key, &value).unwrap();
        }
        scenario.sync.source = fake.source();
        scenario.sync.model = model(service);
        let mut shop = Self { fake, scenario, rows: BTreeMap::new() };
        shop.note(1, rows);
        shop
    }

    fn note(&mut self, first: u32, last: u32) {
        for id in first..=last {
            let row = json!({"id": id, "name": format!("name {id}"), "plan": null, "score": 7});
            self.rows.insert(id, row);
        }
    }

    fn customers(&self) -> &'static str {
        match self.fake.service {
            Service::Snowflake | Service::Databricks | Service::AzureSql => "customers",
            Service::BigQuery | Service::ClickHouse => "shop.customers",
        }
    }

    pub(super) async fn add(&mut self, first: u32, last: u32) {
        self.fake.sql(&insert(self.fake.service, first, last)).await.unwrap();
        self.note(first, last);
    }

    /// Gives them another name, and no score.
    pub(super) async fn rename(&mut self, ids: &[u32], name: &str) {
        let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let set = format!("name = '{name}', score = NULL WHERE id IN ({list})");
        let sql = match self.fake.service {
            Service::ClickHouse => format!("ALTER TABLE {} UPDATE {set} SETTINGS mutations_sync = 1", self.customers()),
            Service::AzureSql => {
                format!("UPDATE {} SET name = N'{name}', score = NULL WHERE id IN ({list})", self.customers())
            }
            Service::Snowflake | Service::BigQuery | Service::Databricks => {
                format!("UPDATE {} SET {set}", self.customers())
            }
        };
        self.fake.sql(&sql).await.unwrap();
        for id in ids {
            let row = self.rows.get_mut(id).unwrap();
            row["name"] = name.into();
            row["score"] = Value::Null;
        }
    }

    /// Removes the customers `first..=last`.
    pub(super) async fn remove(&mut self, first: u32, last: u32) {
        let sql = format!("DELETE FROM {} WHERE id BETWEEN {first} AND {last}", self.customers());
        self.fake.sql(&sql).await.unwrap();
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

/// A customer that is gone.
pub(super) fn deletion(id: u32) -> Sent {
    (id.to_string(), "delete".to_owned(), json!({}))
}
