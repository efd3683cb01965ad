//! The table `customers` of a warehouse: a book of what is in it, and the statements that make it so, in each warehouse's words. Each statement
//! must be run: the book has noted it.

use std::collections::BTreeMap;

use backflow_core::plan::ModelQuery;
use serde_json::{Value, json};

use crate::worker::Sent;

/// How a warehouse wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Dialect {
    Postgres,
    MySql,
    Snowflake,
    BigQuery,
    Databricks,
    ClickHouse,
    TransactSql,
}

/// What is in the table.
pub struct Customers {
    dialect: Dialect,
    rows: BTreeMap<u32, Value>,
}

impl Customers {
    /// No table yet.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, rows: BTreeMap::new() }
    }

    /// Makes the table.
    #[must_use]
    pub const fn create(&self) -> &'static str {
        match self.dialect {
            Dialect::Postgres => {
                "CREATE TABLE shop.customers (id bigint PRIMARY KEY, name text, plan text, score int);"
            }
            Dialect::MySql => {
                "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(100) CHARACTER SET utf8mb4, plan TEXT, \
                 score BIGINT UNSIGNED);"
            }
            Dialect::Snowflake => {
                "CREATE TABLE customers (id NUMBER(38,0) NOT NULL, name VARCHAR, plan VARCHAR, score NUMBER(38,0));"
            }
            Dialect::BigQuery => {
                "CREATE TABLE shop.customers (id INT64 NOT NULL, name STRING, plan STRING, score INT64);"
            }
            Dialect::Databricks => {
                "CREATE TABLE customers (id BIGINT NOT NULL, name STRING, plan STRING, score BIGINT);"
            }
            Dialect::ClickHouse => {
                "CREATE TABLE shop.customers (id UInt32, name Nullable(String), plan Nullable(String), score Nullable(Int64)) \
                 ENGINE = MergeTree ORDER BY id;"
            }
            Dialect::TransactSql => {
                "CREATE TABLE customers (id int NOT NULL, name nvarchar(50), plan varchar(20), score int);"
            }
        }
    }

    /// The table, as statements name it.
    #[must_use]
    pub const fn table(&self) -> &'static str {
        match self.dialect {
            Dialect::MySql | Dialect::Snowflake | Dialect::Databricks | Dialect::TransactSql => "customers",
            Dialect::Postgres | Dialect::BigQuery | Dialect::ClickHouse => "shop.customers",
        }
    }

    /// A Model of all, with names in lower case everywhere.
    #[must_use]
    pub fn query(&self) -> ModelQuery {
        match self.dialect {
            Dialect::Snowflake => ModelQuery::Sql(
                "SELECT id AS \"id\", name AS \"name\", plan AS \"plan\", score AS \"score\"\nFROM customers".into(),
            ),
            Dialect::TransactSql => {
                ModelQuery::Sql("WITH all_of_them AS (SELECT * FROM dbo.customers)\nSELECT * FROM all_of_them".into())
            }
            _ => ModelQuery::Table(self.table().into()),
        }
    }

    /// Adds the customers `first..=last`.
    #[must_use]
    pub fn add(&mut self, first: u32, last: u32) -> String {
        for id in first..=last {
            let row = json!({"id": id, "name": format!("name {id}"), "plan": null, "score": 7});
            self.rows.insert(id, row);
        }
        let (table, count) = (self.table(), last + 1 - first);
        match self.dialect {
            Dialect::Postgres => format!(
                "INSERT INTO {table} SELECT n, 'name ' || n, NULL, 7 FROM generate_series({first}, {last}) AS n;"
            ),
            Dialect::MySql => {
                format!("INSERT INTO {table} SELECT seq, CONCAT('name ', seq), NULL, 7 FROM seq_{first}_to_{last};")
            }
            Dialect::Snowflake => format!(
                "INSERT INTO {table} SELECT n, 'name ' || n, NULL, 7 \
                 FROM (SELECT SEQ4() + {first} AS n FROM TABLE(GENERATOR(ROWCOUNT => {count}))) AS numbers;"
            ),
            Dialect::BigQuery => format!(
                "INSERT INTO {table} SELECT n, CONCAT('name ', CAST(n AS STRING)), NULL, 7 \
                 FROM UNNEST(GENERATE_ARRAY({first}, {last})) AS n;"
            ),
            Dialect::Databricks => format!(
                "INSERT INTO {table} SELECT n, CONCAT('name ', CAST(n AS STRING)), NULL, 7 \
                 FROM (SELECT EXPLODE(SEQUENCE({first}, {last})) AS n) AS numbers;"
            ),
            Dialect::ClickHouse => format!(
                "INSERT INTO {table} SELECT number + {first}, concat('name ', toString(number + {first})), NULL, 7 \
                 FROM numbers({count});"
            ),
            Dialect::TransactSql => {
                let row = |n: u32| format!("({n}, N'name {n}', NULL, 7)");
                format!("INSERT INTO {table} VALUES {};", (first..=last).map(row).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Gives these another name, and no score.
    #[must_use]
    pub fn rename(&mut self, ids: &[u32], name: &str) -> String {
        for id in ids {
            if let Some(row) = self.rows.get_mut(id) {
                row["name"] = name.into();
                row["score"] = Value::Null;
            }
        }
        let list = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let set = format!("name = '{name}', score = NULL WHERE id IN ({list})");
        match self.dialect {
            Dialect::ClickHouse => format!("ALTER TABLE {} UPDATE {set} SETTINGS mutations_sync = 1;", self.table()),
            Dialect::TransactSql => {
                format!("UPDATE {} SET name = N'{name}', score = NULL WHERE id IN ({list});", self.table())
            }
            _ => format!("UPDATE {} SET {set};", self.table()),
        }
    }

    /// Removes the customers `first..=last`.
    #[must_use]
    pub fn remove(&mut self, first: u32, last: u32) -> String {
        self.rows.retain(|id, _| !(first..=last).contains(id));
        format!("DELETE FROM {} WHERE id BETWEEN {first} AND {last};", self.table())
    }

    /// What should arrive for these.
    #[must_use]
    pub fn upserts(&self, ids: impl IntoIterator<Item = u32>) -> Vec<Sent> {
        let row = |id: &u32| self.rows.get(id).cloned().unwrap_or_default();
        let mut all: Vec<Sent> = ids.into_iter().map(|id| (id.to_string(), "upsert".to_owned(), row(&id))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// What should arrive for all.
    #[must_use]
    pub fn all(&self) -> Vec<Sent> {
        self.upserts(self.rows.keys().copied())
    }
}

/// What should arrive for a customer that is gone.
#[must_use]
pub fn deletion(id: u32) -> Sent {
    (id.to_string(), "delete".to_owned(), json!({}))
}
