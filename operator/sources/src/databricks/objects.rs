//! The statements over the table of objects, as text.
//!
//! A row of the table that is no object has the name `turn`: its `part` is the version of the table, its `parts` counts who created an
//! object. See [`super::state`].

use super::types::quote;
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// The text of every statement.
pub(super) struct Sql {
    /// Quoted, with its catalog if there is one.
    pub(super) schema: String,
    objects: String,
    information: String,
}

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes";
const VALUES: &str = ":writing, CAST(:part AS INT), CAST(:parts AS INT), :encoding, :content, CAST(:bytes AS BIGINT), current_timestamp()";

impl Sql {
    pub(super) fn new(catalog: Option<&str>, schema: &str) -> Self {
        let catalog = catalog.map(|catalog| quote(catalog) + ".").unwrap_or_default();
        let schema = format!("{catalog}{}", quote(schema));
        Self {
            information: format!("{catalog}information_schema"),
            objects: format!("{schema}.{}", quote("objects")),
            schema,
        }
    }

    pub(super) fn create_schema(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema)
    }

    pub(super) fn create_table(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (name STRING NOT NULL, writing STRING NOT NULL, part INT NOT NULL, parts INT NOT NULL, \
             encoding STRING NOT NULL, content STRING NOT NULL, bytes BIGINT NOT NULL, written_at TIMESTAMP NOT NULL) USING DELTA \
             CLUSTER BY (name) TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')",
            self.objects
        )
    }

    pub(super) fn first_turn(&self) -> String {
        let objects = &self.objects;
        format!(
            "INSERT INTO {objects} ({COLUMNS}, written_at) SELECT 'turn', '', {SCHEMA_VERSION}, 0, 'turn', '', 0, current_timestamp() \
             WHERE NOT EXISTS (SELECT 1 FROM {objects} WHERE name = 'turn')"
        )
    }

    pub(super) fn version(&self) -> String {
        format!("SELECT MAX(part) FROM {} WHERE name = 'turn'", self.objects)
    }

    /// One statement for each grant that a run needs; they read and change nothing.
    pub(super) fn uses(&self) -> [String; 2] {
        let objects = &self.objects;
        [format!("SELECT {COLUMNS} FROM {objects} LIMIT 0"), format!("DELETE FROM {objects} WHERE name = ''")]
    }

    pub(super) fn parts(&self) -> String {
        format!(
            "SELECT writing, part, parts, encoding, content, bytes FROM {} WHERE name = :name ORDER BY written_at, writing, part",
            self.objects
        )
    }

    /// Reads nothing, so that no other writer is in its way. One that comes twice is harmless: [`Sql::names`] counts it once.
    pub(super) fn add(&self) -> String {
        format!("INSERT INTO {} ({COLUMNS}, written_at) SELECT :name, {VALUES}", self.objects)
    }

    pub(super) fn add_first(&self) -> String {
        format!(
            "MERGE INTO {} AS o USING (SELECT :name AS name UNION ALL SELECT 'turn' AS name) AS s ON o.name = s.name \
             WHEN MATCHED AND s.name = 'turn' THEN UPDATE SET parts = o.parts + 1 \
             WHEN NOT MATCHED AND s.name <> 'turn' THEN INSERT ({COLUMNS}, written_at) VALUES (s.name, {VALUES})",
            self.objects
        )
    }

    pub(super) fn remove_others(&self) -> String {
        format!("DELETE FROM {} WHERE name = :name AND writing <> :writing", self.objects)
    }

    pub(super) fn names(&self) -> String {
        format!(
            "SELECT name, SUM(bytes) FROM (SELECT DISTINCT name, writing, part, bytes FROM {} WHERE STARTSWITH(name, :prefix)) AS o \
             GROUP BY name",
            self.objects
        )
    }

    pub(super) fn folders(&self) -> String {
        format!("SELECT DISTINCT SPLIT_PART(name, '/', 1) FROM {} WHERE name <> 'turn'", self.objects)
    }

    /// The columns of tables with this in their names.
    pub(super) fn own_columns(&self) -> String {
        format!(
            "SELECT c.table_name, c.column_name FROM {}.columns AS c WHERE c.table_schema = :schema AND contains(c.table_name, :infix) \
             ORDER BY c.table_name, c.ordinal_position",
            self.information
        )
    }

    /// The names stand in the statement: how many parameters one may have is not documented.
    pub(super) fn remove(&self, names: &[String]) -> String {
        let names = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
        format!("DELETE FROM {} WHERE name IN ({names})", self.objects)
    }
}

/// What `:name` and the others stand for.
pub(super) fn binds(part: &Part) -> [(&'static str, String); 7] {
    [
        ("name", part.name.clone()),
        ("writing", part.writing.clone()),
        ("part", part.part.to_string()),
        ("parts", part.parts.to_string()),
        ("encoding", part.encoding.as_str().to_owned()),
        ("content", part.content.clone()),
        ("bytes", part.bytes.to_string()),
    ]
}

/// A text as Databricks reads it in single quotes: backslashes escape there.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement() {
        let sql = Sql::new(Some("main"), "_back`flow");
        assert_eq!(Sql::new(None, "_backflow").schema, "`_backflow`");
        let mut all = vec![sql.create_schema(), sql.create_table(), sql.first_turn(), sql.version()];
        all.extend(sql.uses());
        all.push(sql.own_columns());
        all.extend([sql.parts(), sql.add(), sql.add_first(), sql.remove_others(), sql.names(), sql.folders()]);
        all.push(sql.remove(&["growth_crm/head/1".into(), "it's\\".into()]));
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
