//! The statements over the table of objects, as text.

use super::types::quote;
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// The text of every statement.
pub(super) struct Sql {
    /// Quoted, with its project.
    dataset: String,
    location: String,
    objects: String,
    turns: String,
}

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes";

impl Sql {
    pub(super) fn new(project: &str, dataset: &str, location: &str) -> Self {
        let dataset = format!("{}.{}", quote(project), quote(dataset));
        let table = |name: &str| format!("{dataset}.{}", quote(name));
        Self { objects: table("objects"), turns: table("turns"), dataset, location: location.to_owned() }
    }

    pub(super) fn create_dataset(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {} OPTIONS (location = {})", self.dataset, literal(&self.location))
    }

    pub(super) fn create_tables(&self) -> [String; 2] {
        [
            format!(
                "CREATE TABLE IF NOT EXISTS {} (name STRING NOT NULL, writing STRING NOT NULL, part INT64 NOT NULL, parts INT64 NOT NULL, \
                 encoding STRING NOT NULL, content STRING NOT NULL, bytes INT64 NOT NULL, written_at TIMESTAMP NOT NULL) CLUSTER BY name",
                self.objects
            ),
            format!("CREATE TABLE IF NOT EXISTS {} (schema_version INT64 NOT NULL, turn INT64 NOT NULL)", self.turns),
        ]
    }

    pub(super) fn first_turn(&self) -> String {
        let turns = &self.turns;
        format!(
            "INSERT INTO {turns} (schema_version, turn) SELECT {SCHEMA_VERSION}, 0 FROM (SELECT 1) WHERE NOT EXISTS (SELECT 1 FROM {turns})"
        )
    }

    pub(super) fn version(&self) -> String {
        format!("SELECT MAX(schema_version) FROM {}", self.turns)
    }

    /// One statement for each permission that a run needs.
    pub(super) fn uses(&self) -> [String; 2] {
        let objects = &self.objects;
        [
            format!("INSERT INTO {objects} ({COLUMNS}, written_at) SELECT {COLUMNS}, written_at FROM {objects}"),
            format!("UPDATE {} SET turn = turn + 1 WHERE TRUE", self.turns),
        ]
    }

    pub(super) fn parts(&self) -> String {
        format!(
            "SELECT writing, part, parts, encoding, content, bytes FROM {} WHERE name = ? ORDER BY written_at, writing, part",
            self.objects
        )
    }

    pub(super) fn add(&self) -> String {
        format!(
            "INSERT INTO {} ({COLUMNS}, written_at) VALUES (?, ?, CAST(? AS INT64), CAST(? AS INT64), ?, ?, CAST(? AS INT64), CURRENT_TIMESTAMP())",
            self.objects
        )
    }

    pub(super) fn add_first(&self, part: &Part) -> String {
        let objects = &self.objects;
        let [name, writing, encoding, content] =
            [part.name.as_str(), &part.writing, part.encoding.as_str(), &part.content].map(literal);
        let statements = [
            "BEGIN TRANSACTION".to_owned(),
            format!("UPDATE {} SET turn = turn + 1 WHERE TRUE", self.turns),
            format!(
                "INSERT INTO {objects} ({COLUMNS}, written_at) SELECT {name}, {writing}, {}, {}, {encoding}, {content}, {}, CURRENT_TIMESTAMP() \
                 FROM (SELECT 1) WHERE NOT EXISTS (SELECT 1 FROM {objects} WHERE name = {name})",
                part.part, part.parts, part.bytes
            ),
            "COMMIT TRANSACTION".to_owned(),
        ];
        statements.join(";\n")
    }

    pub(super) fn remove_others(&self) -> String {
        format!("DELETE FROM {} WHERE name = ? AND writing <> ?", self.objects)
    }

    pub(super) fn names(&self) -> String {
        format!("SELECT name, SUM(bytes) FROM {} WHERE STARTS_WITH(name, ?) GROUP BY name", self.objects)
    }

    pub(super) fn folders(&self) -> String {
        format!("SELECT DISTINCT SPLIT(name, '/')[SAFE_OFFSET(0)] FROM {}", self.objects)
    }

    pub(super) fn remove(&self, names: usize) -> String {
        let places = vec!["?"; names].join(", ");
        format!("DELETE FROM {} WHERE name IN ({places})", self.objects)
    }
}

/// A text as a string of SQL: JSON's escapes are among BigQuery's.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Encoding;

    #[test]
    fn every_statement() {
        let sql = Sql::new("my-project", "_backflow", "EU");
        let part = Part {
            name: "growth_crm/head/1".into(),
            writing: "0a".into(),
            part: 0,
            parts: 1,
            encoding: Encoding::Text,
            content: "{\"it's\": \"a\\n\"}\n".into(),
            bytes: 17,
        };
        let mut all = vec![sql.create_dataset()];
        all.extend(sql.create_tables());
        all.extend([sql.first_turn(), sql.version()]);
        all.extend(sql.uses());
        all.extend([sql.parts(), sql.add(), sql.add_first(&part)]);
        all.extend([sql.remove_others(), sql.names(), sql.folders(), sql.remove(3)]);
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
