//! The statements over the table of objects, as text.

use crate::sql::quote;
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// The text of every statement.
pub(super) struct Sql {
    /// Quoted, with its database.
    pub(super) schema: String,
    objects: String,
    turns: String,
}

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes";

impl Sql {
    pub(super) fn new(database: &str, schema: &str) -> Self {
        let schema = format!("{}.{}", quote(database), quote(schema));
        let table = |name: &str| format!("{schema}.{}", quote(name));
        Self { objects: table("OBJECTS"), turns: table("TURNS"), schema }
    }

    pub(super) fn create_schema(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema)
    }

    pub(super) fn create_tables(&self) -> [String; 2] {
        [
            format!(
                "CREATE TRANSIENT TABLE IF NOT EXISTS {} (name VARCHAR NOT NULL, writing VARCHAR NOT NULL, part NUMBER(10, 0) NOT NULL, \
                 parts NUMBER(10, 0) NOT NULL, encoding VARCHAR NOT NULL, content VARCHAR NOT NULL, bytes NUMBER(18, 0) NOT NULL, \
                 written_at TIMESTAMP_LTZ NOT NULL)",
                self.objects
            ),
            format!(
                "CREATE TRANSIENT TABLE IF NOT EXISTS {} (schema_version NUMBER(10, 0) NOT NULL, turn NUMBER(18, 0) NOT NULL)",
                self.turns
            ),
        ]
    }

    pub(super) fn first_turn(&self) -> String {
        let turns = &self.turns;
        format!(
            "INSERT INTO {turns} (schema_version, turn) SELECT {SCHEMA_VERSION}, 0 WHERE NOT EXISTS (SELECT 1 FROM {turns})"
        )
    }

    pub(super) fn version(&self) -> String {
        format!("SELECT MAX(schema_version) FROM {}", self.turns)
    }

    pub(super) fn show(&self) -> String {
        format!("SHOW TABLES LIKE 'TURNS' IN SCHEMA {}", self.schema)
    }

    /// One statement for each grant that a run needs.
    pub(super) fn uses(&self) -> [String; 4] {
        let (objects, turns) = (&self.objects, &self.turns);
        [
            format!("SELECT {COLUMNS} FROM {objects}"),
            format!("INSERT INTO {objects} ({COLUMNS}, written_at) SELECT {COLUMNS}, written_at FROM {objects}"),
            format!("DELETE FROM {objects} WHERE name = ''"),
            format!("UPDATE {turns} SET turn = turn + 1"),
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
            "INSERT INTO {} ({COLUMNS}, written_at) SELECT ?, ?, TO_NUMBER(?), TO_NUMBER(?), ?, ?, TO_NUMBER(?), CURRENT_TIMESTAMP()",
            self.objects
        )
    }

    /// Several statements take no binds.
    pub(super) fn add_first(&self, part: &Part) -> [String; 4] {
        let objects = &self.objects;
        let [name, writing, encoding, content] =
            [part.name.as_str(), &part.writing, part.encoding.as_str(), &part.content].map(literal);
        [
            "BEGIN TRANSACTION".to_owned(),
            format!("UPDATE {} SET turn = turn + 1", self.turns),
            format!(
                "INSERT INTO {objects} ({COLUMNS}, written_at) SELECT {name}, {writing}, {}, {}, {encoding}, {content}, {}, CURRENT_TIMESTAMP() \
                 WHERE NOT EXISTS (SELECT 1 FROM {objects} WHERE name = {name})",
                part.part, part.parts, part.bytes
            ),
            "COMMIT".to_owned(),
        ]
    }

    pub(super) fn remove_others(&self) -> String {
        format!("DELETE FROM {} WHERE name = ? AND writing <> ?", self.objects)
    }

    pub(super) fn names(&self) -> String {
        format!("SELECT name, SUM(bytes) FROM {} WHERE STARTSWITH(name, ?) GROUP BY name", self.objects)
    }

    pub(super) fn folders(&self) -> String {
        format!("SELECT DISTINCT SPLIT_PART(name, '/', 1) FROM {}", self.objects)
    }

    pub(super) fn remove(&self, names: usize) -> String {
        let places = vec!["?"; names].join(", ");
        format!("DELETE FROM {} WHERE name IN ({places})", self.objects)
    }
}

/// A text as Snowflake reads it in single quotes: backslashes escape there.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Encoding;

    #[test]
    fn every_statement() {
        let sql = Sql::new("ANALYTICS", "_BACK\"FLOW");
        let part = Part {
            name: "growth_crm/head/1".into(),
            writing: "0a".into(),
            part: 0,
            parts: 1,
            encoding: Encoding::Text,
            content: "{\"it's\": \"a\\n\"}\n".into(),
            bytes: 17,
        };
        let mut all = vec![sql.create_schema()];
        all.extend(sql.create_tables());
        all.extend([sql.first_turn(), sql.version(), sql.show()]);
        all.extend(sql.uses());
        all.extend([sql.parts(), sql.add()]);
        all.extend(sql.add_first(&part));
        all.extend([sql.remove_others(), sql.names(), sql.folders(), sql.remove(3)]);
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
