//! The table that is synchronised, its changes, and what SQL says should arrive.

use anyhow::Context as _;
use backflow_tests::postgres::PostgresServer;
use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row as _};

use crate::canonical;
use crate::taken::Taken;

/// The role that reads; it owns the database.
pub const ROLE: &str = "bench";

/// The table.
pub const TABLE: &str = "customers";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Digits.
    Number,
    /// A truth value.
    Bool,
    /// Text.
    Text,
    /// A time with its zone.
    Instant,
}

/// The columns in their order; the first is the key.
pub const COLUMNS: [(&str, Kind); 11] = [
    ("id", Kind::Number),
    ("first_name", Kind::Text),
    ("last_name", Kind::Text),
    ("email", Kind::Text),
    ("phone", Kind::Text),
    ("address", Kind::Text),
    ("plan", Kind::Text),
    ("mrr_cents", Kind::Number),
    ("active", Kind::Bool),
    ("score", Kind::Number),
    ("updated_at", Kind::Instant),
];

/// Values of a row `n`: some texts need escapes in JSON, some are not ASCII, some are NULL.
const VALUES: &str = "n::bigint AS id, CASE WHEN n % 1000 = 0 THEN E'O\"Bri\\\\en \\t\\n' || n WHEN n % 10 = 0 THEN 'Zoë ' || n \
     ELSE 'First ' || n END AS first_name, 'Last ' || md5(n::text) AS last_name, 'c' || n || '@example.com' AS email, \
     '+49 30 ' || n AS phone, 'Street ' || n || ', 10115 Berlin' AS address, \
     CASE n % 4 WHEN 0 THEN NULL ELSE 'plan ' || n % 4 END AS plan, (n * 17) % 100000 AS mrr_cents, n % 3 = 0 AS active, \
     n * 0.25::float8 AS score, timestamptz '2024-01-01Z' + n * interval '1 minute' AS updated_at";

/// A table of customers in a database of its own.
pub struct Customers<'a> {
    server: &'a PostgresServer,
    /// The database.
    pub database: String,
    /// Rows that it began with, numbered from 1.
    pub rows: u64,
    /// The greatest key.
    last: u64,
    /// How often it was changed.
    changes: u64,
}

impl<'a> Customers<'a> {
    /// Makes database and table.
    ///
    /// # Errors
    /// What the server says.
    pub async fn create(server: &'a PostgresServer, database: &str, rows: u64) -> anyhow::Result<Self> {
        if server.password(ROLE).is_none() {
            server.role(ROLE).await?;
        }
        server.exec("postgres", &format!("CREATE DATABASE {database} OWNER {ROLE}")).await?;
        let customers = Self { server, database: database.to_owned(), rows, last: rows, changes: 0 };
        // Nothing of the server's own works beside what is measured.
        customers
            .sql(&format!(
                "CREATE TABLE {TABLE} WITH (autovacuum_enabled = off) AS SELECT {VALUES} FROM generate_series(1, {rows}) AS n; \
                 ALTER TABLE {TABLE} ADD PRIMARY KEY (id)"
            ))
            .await?;
        customers.settle().await?;
        Ok(customers)
    }

    async fn sql(&self, sql: &str) -> anyhow::Result<()> {
        self.server.exec(&self.database, &format!("SET ROLE {ROLE}; {sql}")).await
    }

    /// Leaves the server nothing to clean up later.
    async fn settle(&self) -> anyhow::Result<()> {
        for sql in [format!("VACUUM (ANALYZE) {TABLE}"), "CHECKPOINT".to_owned()] {
            self.server.exec(&self.database, &sql).await?;
        }
        Ok(())
    }

    /// What arrives for all rows.
    ///
    /// # Errors
    /// What the server says.
    pub async fn all(&self) -> anyhow::Result<Vec<Taken>> {
        self.upserts("true").await
    }

    /// Adds, updates and deletes rows, spread over the table: so many of each thousand. Returns what arrives for them.
    ///
    /// # Errors
    /// What the server says.
    pub async fn change(&mut self, share: Share) -> anyhow::Result<Vec<Taken>> {
        let Share { added, updated, deleted } = share;
        let (rows, first) = (self.rows, self.last + 1);
        self.last += rows * added / 1000;
        // Of each 100 keys another one each time, so that what is updated was not deleted before.
        let (update, delete) = (self.changes % 50, 50 + self.changes % 50);
        self.changes += 1;
        let updates = format!("id <= {rows} AND id % {} = {update}", 1000 / updated);
        let deletes = format!("id <= {rows} AND id % {} = {delete}", 1000 / deleted);
        let gone = self.ids(&format!("SELECT id FROM {TABLE} WHERE {deletes}")).await?;
        self.sql(&format!(
            "DELETE FROM {TABLE} WHERE {deletes}; \
             UPDATE {TABLE} SET mrr_cents = mrr_cents + 1, updated_at = updated_at + interval '1 day' WHERE {updates}; \
             INSERT INTO {TABLE} SELECT {VALUES} FROM generate_series({first}, {}) AS n",
            self.last
        ))
        .await?;
        self.settle().await?;
        let mut expected = self.upserts(&format!("({updates}) OR id >= {first}")).await?;
        let nothing = canonical::hash("{}")?;
        for id in gone {
            expected.push(Taken::new(id, "delete", nothing));
        }
        Ok(expected)
    }

    /// Hashes of the keys of a query.
    ///
    /// # Errors
    /// What the server says.
    pub async fn ids(&self, sql: &str) -> anyhow::Result<Vec<u64>> {
        let rows = self.server.query(&self.database, &format!("SELECT to_json(id)::text FROM ({sql}) AS q")).await?;
        rows.into_iter().map(|row| Ok(canonical::hash(row[0].as_deref().context("a key")?)?)).collect()
    }

    /// What the server makes of the rows that a condition selects.
    async fn upserts(&self, condition: &str) -> anyhow::Result<Vec<Taken>> {
        let members: Vec<String> = COLUMNS
            .iter()
            .map(|(name, kind)| match kind {
                Kind::Instant => {
                    format!("'{name}', to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
                }
                _ => format!("'{name}', {name}"),
            })
            .collect();
        let sql = format!(
            "SELECT to_json(id)::text, json_build_object({})::text FROM {TABLE} WHERE {condition}",
            members.join(", ")
        );
        expected(self.server, &self.database, &sql, "upsert").await
    }
}

/// Rows of each thousand that are added, updated and deleted; the last two must divide a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// New rows.
    pub added: u64,
    /// Rows with another content.
    pub updated: u64,
    /// Rows that go.
    pub deleted: u64,
}

/// One per cent: 3k, 5k and 2k of a million.
pub const ONE_PERCENT: Share = Share { added: 3, updated: 5, deleted: 2 };

/// What arrives for the rows of a query with the columns key and payload, both the text of JSON.
///
/// # Errors
/// What the server says.
pub async fn expected(server: &PostgresServer, database: &str, sql: &str, op: &str) -> anyhow::Result<Vec<Taken>> {
    let mut connection = server.connect(database).await?;
    let mut expected = Vec::new();
    {
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut connection);
        while let Some(row) = rows.try_next().await? {
            let (id, data): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            expected.push(Taken::new(canonical::hash(id)?, op, canonical::hash(data)?));
        }
    }
    sqlx::Connection::close(connection).await?;
    Ok(expected)
}
