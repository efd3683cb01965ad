//! The statements over the table of objects, as text.

use serde_json::json;

use super::types::{literal, quote};
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// The table's comment, before the version.
pub(super) const COMMENT: &str = "Backflow state, version ";

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes";

/// The text of every statement.
pub(super) struct Sql {
    database: String,
    objects: String,
}

impl Sql {
    pub(super) fn new(database: &str) -> Self {
        Self { objects: format!("{}.objects", quote(database)), database: database.to_owned() }
    }

    pub(super) fn create_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {}", quote(&self.database))
    }

    /// Of two inserts with one token, the table takes one: as long as the tokens of so many inserts are remembered.
    pub(super) fn create_table(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (name String, writing String, part UInt32, parts UInt32, encoding LowCardinality(String), \
             content String CODEC(ZSTD(1)), bytes UInt64, written_at DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = MergeTree \
             ORDER BY (name, writing, part) SETTINGS non_replicated_deduplication_window = 10000, replicated_deduplication_window = 10000, \
             replicated_deduplication_window_seconds = 604800 COMMENT {}",
            self.objects,
            literal(&format!("{COMMENT}{SCHEMA_VERSION}"))
        )
    }

    /// The comment of the table, if it is there.
    pub(super) fn version(&self) -> String {
        format!("SELECT comment FROM system.tables WHERE database = {} AND name = 'objects'", literal(&self.database))
    }

    /// Whether the database is there.
    pub(super) fn database(&self) -> String {
        format!("SELECT name FROM system.databases WHERE name = {}", literal(&self.database))
    }

    /// Whether the user has what a run needs.
    pub(super) fn may_use(&self) -> String {
        format!("CHECK GRANT SELECT, INSERT, ALTER DELETE ON {}", self.objects)
    }

    pub(super) fn may_create_table(&self) -> String {
        format!("CHECK GRANT CREATE TABLE, SELECT, INSERT, ALTER DELETE ON {}.*", quote(&self.database))
    }

    pub(super) fn may_create_database(&self) -> String {
        let database = quote(&self.database);
        format!("CHECK GRANT CREATE DATABASE, CREATE TABLE, SELECT, INSERT, ALTER DELETE ON {database}.*")
    }

    pub(super) fn parts(&self, name: &str) -> String {
        format!(
            "SELECT writing, part, parts, encoding, content, bytes FROM {} WHERE name = {} ORDER BY written_at, writing, part",
            self.objects,
            literal(name)
        )
    }

    /// Whether there is any part of an object.
    pub(super) fn exists(&self, name: &str) -> String {
        format!("SELECT 1 FROM {} WHERE name = {} LIMIT 1", self.objects, literal(name))
    }

    /// The statement and, behind it, the row.
    pub(super) fn add(&self, part: &Part) -> String {
        let Part { name, writing, part, parts, encoding, content, bytes } = part;
        let row = json!([name, writing, part, parts, encoding.as_str(), content, bytes]);
        format!("INSERT INTO {} ({COLUMNS}) FORMAT JSONCompactEachRow\n{row}\n", self.objects)
    }

    /// Whether there are rows that [`Sql::remove_others`] would remove: a removal rewrites parts of the table.
    pub(super) fn others(&self, name: &str, writing: &str) -> String {
        format!(
            "SELECT 1 FROM {} WHERE name = {} AND writing <> {} LIMIT 1",
            self.objects,
            literal(name),
            literal(writing)
        )
    }

    pub(super) fn remove_others(&self, name: &str, writing: &str) -> String {
        format!("DELETE FROM {} WHERE name = {} AND writing <> {}", self.objects, literal(name), literal(writing))
    }

    pub(super) fn names(&self, prefix: &str) -> String {
        let prefix = literal(prefix);
        format!("SELECT name, sum(bytes) FROM {} WHERE startsWith(name, {prefix}) GROUP BY name", self.objects)
    }

    pub(super) fn folders(&self) -> String {
        format!("SELECT DISTINCT substringIndex(name, '/', 1) FROM {}", self.objects)
    }

    pub(super) fn remove(&self, names: &[String]) -> String {
        let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
        format!("DELETE FROM {} WHERE name IN ({})", self.objects, names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Encoding;

    #[test]
    fn every_statement() {
        let sql = Sql::new("_backflow");
        let part = Part {
            name: "growth_crm/head/1".into(),
            writing: "0a".into(),
            part: 0,
            parts: 1,
            encoding: Encoding::Text,
            content: "{\"it's\": \"a\\n\"}\n".into(),
            bytes: 17,
        };
        let name = part.name.as_str();
        let all = [
            sql.create_database(),
            sql.create_table(),
            sql.version(),
            sql.database(),
            sql.may_use(),
            sql.may_create_table(),
            sql.may_create_database(),
            sql.parts(name),
            sql.exists(name),
            sql.add(&part),
            sql.others(name, "0a"),
            sql.remove_others(name, "0a"),
            sql.names("growth_crm/"),
            sql.folders(),
            sql.remove(&["it's".into(), "b\\".into()]),
        ];
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
