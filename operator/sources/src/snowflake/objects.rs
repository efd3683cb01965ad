//! The statements over the table of objects, as text.

use crate::diff::pushdown::dialects::snowflake::{dropped, is_definition, literal};
use crate::sql::quote;
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// The text of every statement.
pub(super) struct Sql {
    /// Quoted, with its database.
    pub(super) schema: String,
    /// Quoted.
    database: String,
    /// Of the schema, not quoted.
    pub(super) name: String,
    objects: String,
    turns: String,
}

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes";

impl Sql {
    pub(super) fn new(database: &str, schema: &str) -> Self {
        let (database, name) = (quote(database), schema.to_owned());
        let schema = format!("{database}.{}", quote(schema));
        let table = |name: &str| format!("{schema}.{}", quote(name));
        Self { objects: table("OBJECTS"), turns: table("TURNS"), schema, database, name }
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
        ["BEGIN TRANSACTION".to_owned(), self.turn(), self.add_unless_there(part), "COMMIT".to_owned()]
    }

    /// The same, only if nothing in the part's folder has its name or a later one, with these statements.
    pub(super) fn add_last(&self, part: &Part, statements: &[String]) -> Vec<String> {
        let last = format!("IFF(COALESCE(MAX(name), '') < {}, '1', MAX(name))", literal(&part.name));
        let mut changes = vec![self.add_unless_there(part)];
        changes.extend_from_slice(statements);
        self.transaction(&self.unless_later(&last, &part.name), &changes)
    }

    /// Statements of one transaction, if `newest` is the last by name in its folder. What is said of tables before any row changes runs
    /// before it, in the same turn of nobody else; what is dropped behind that is empty when the transaction ends, and goes then.
    pub(super) fn fenced(&self, newest: &str, statements: &[String]) -> Vec<String> {
        let check = self.is_newest(newest);
        let first = statements.iter().position(|sql| !is_definition(sql)).unwrap_or(statements.len());
        let (tables, changes) = statements.split_at(first);
        let mut all = Vec::new();
        if !tables.is_empty() {
            all.extend(self.transaction(&check, &[]));
            all.extend_from_slice(tables);
        }
        if !changes.is_empty() {
            all.extend(self.transaction(&check, changes));
        }
        all
    }

    fn transaction(&self, check: &str, statements: &[String]) -> Vec<String> {
        let (tables, changes): (Vec<&String>, Vec<&String>) = statements.iter().partition(|sql| is_definition(sql));
        let mut all = vec!["BEGIN TRANSACTION".to_owned(), self.turn(), check.to_owned()];
        all.extend(changes.into_iter().cloned());
        all.extend(tables.iter().filter_map(|sql| dropped(sql)).map(|table| format!("DELETE FROM {table}")));
        all.push("COMMIT".to_owned());
        all.extend(tables.into_iter().cloned());
        all
    }

    fn turn(&self) -> String {
        format!("UPDATE {} SET turn = turn + 1", self.turns)
    }

    /// Ends a transaction, by a text that is no number, unless `last` is one, said of the names in the folder of this one.
    fn unless_later(&self, last: &str, name: &str) -> String {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!(
            "SELECT TO_NUMBER({last}) FROM {} WHERE STARTSWITH(name, {})",
            self.objects,
            literal(&format!("{folder}/"))
        )
    }

    /// Fails unless this is the last by name in its folder.
    pub(super) fn is_newest(&self, name: &str) -> String {
        let last = format!("IFF(MAX(name) = {}, '1', COALESCE(MAX(name), 'none'))", literal(name));
        self.unless_later(&last, name)
    }

    fn add_unless_there(&self, part: &Part) -> String {
        let objects = &self.objects;
        let [name, writing, encoding, content] =
            [part.name.as_str(), &part.writing, part.encoding.as_str(), &part.content].map(literal);
        format!(
            "INSERT INTO {objects} ({COLUMNS}, written_at) SELECT {name}, {writing}, {}, {}, {encoding}, {content}, {}, CURRENT_TIMESTAMP() \
             WHERE NOT EXISTS (SELECT 1 FROM {objects} WHERE name = {name})",
            part.part, part.parts, part.bytes
        )
    }

    /// The elements of arrays that are stored under a name, as rows with the column `value`.
    pub(super) fn stored_rows(&self, name: &str) -> String {
        format!(
            "(SELECT f.value FROM {} AS o, LATERAL FLATTEN(INPUT => PARSE_JSON(o.content)) AS f WHERE o.name = {})",
            self.objects,
            literal(name)
        )
    }

    /// Removes everything whose name begins so.
    pub(super) fn remove_all(&self, prefix: &str) -> String {
        format!("DELETE FROM {} WHERE STARTSWITH(name, {})", self.objects, literal(prefix))
    }

    /// Tables and columns of the schema whose tables' names have this in them.
    pub(super) fn own_tables(&self, infix: &str) -> String {
        format!(
            "SELECT TABLE_NAME, COLUMN_NAME FROM {}.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = {} AND CONTAINS(TABLE_NAME, {}) \
             ORDER BY TABLE_NAME, ORDINAL_POSITION",
            self.database,
            literal(&self.name),
            literal(infix)
        )
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
        let statements =
            ["CREATE TABLE a (n NUMBER)".to_owned(), "DELETE FROM b".to_owned(), "DROP TABLE IF EXISTS c".to_owned()];
        all.extend(sql.fenced("growth_crm/head/1", &statements));
        all.extend(sql.add_last(&part, &statements[1..]));
        let moves = "growth_crm/moves/0a";
        all.extend([sql.own_tables("_00"), format!("SELECT * FROM {}", sql.stored_rows(moves)), sql.remove_all(moves)]);
        all.extend([sql.remove_others(), sql.names(), sql.folders(), sql.remove(3)]);
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
