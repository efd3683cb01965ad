//! The statements over the table of objects, as text.

use super::types::quote;
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// The text of every statement.
pub(super) struct Sql {
    /// Quoted.
    database: String,
    objects: String,
    meta: String,
    name: String,
}

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes, first_of";

impl Sql {
    pub(super) fn new(database: &str) -> Self {
        let quoted = quote(database);
        let table = |name: &str| format!("{quoted}.{}", quote(name));
        Self { objects: table("objects"), meta: table("meta"), database: quoted, name: database.to_owned() }
    }

    pub(super) fn create_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {} CHARACTER SET utf8mb4", self.database)
    }

    /// `first_of` is the name of an object that nobody may create twice, and else NULL: of two rows with one name, the table takes one.
    pub(super) fn create_tables(&self) -> [String; 2] {
        let name = "VARCHAR(400) CHARACTER SET ascii COLLATE ascii_bin";
        [
            format!(
                "CREATE TABLE IF NOT EXISTS {} (name {name} NOT NULL, writing CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
                 part INT UNSIGNED NOT NULL, parts INT UNSIGNED NOT NULL, encoding VARCHAR(16) CHARACTER SET ascii NOT NULL, \
                 content LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, bytes BIGINT UNSIGNED NOT NULL, first_of {name} NULL, \
                 written_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), PRIMARY KEY (name, writing, part), \
                 UNIQUE KEY first_of (first_of)) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
                self.objects
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (schema_version INT UNSIGNED NOT NULL PRIMARY KEY) ENGINE = InnoDB",
                self.meta
            ),
        ]
    }

    pub(super) fn first_version(&self) -> String {
        format!("INSERT IGNORE INTO {} (schema_version) VALUES ({SCHEMA_VERSION})", self.meta)
    }

    pub(super) fn version(&self) -> String {
        format!("SELECT MAX(schema_version) FROM {}", self.meta)
    }

    /// Whether the database is there, and how many of the tables.
    pub(super) fn found(&self) -> String {
        let name = literal(&self.name);
        format!(
            "SELECT (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = {name}), \
             (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {name} AND table_name IN ('objects', 'meta'))"
        )
    }

    /// Statements that need each grant, and are planned only.
    pub(super) fn uses(&self) -> [String; 2] {
        let objects = &self.objects;
        [
            format!("EXPLAIN INSERT INTO {objects} ({COLUMNS}) SELECT {COLUMNS} FROM {objects}"),
            format!("EXPLAIN DELETE FROM {objects} WHERE name = ''"),
        ]
    }

    /// How many grants to create the user has, of his own.
    pub(super) fn may_create(&self) -> String {
        let grantee = "CONCAT('''', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - \
                       CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";
        format!(
            "SELECT (SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'CREATE' AND grantee = {grantee}) + \
             (SELECT COUNT(*) FROM information_schema.schema_privileges WHERE privilege_type = 'CREATE' AND grantee = {grantee} \
             AND {} LIKE table_schema)",
            literal(&self.name)
        )
    }

    pub(super) fn parts(&self, name: &str) -> String {
        format!(
            "SELECT writing, part, parts, encoding, content, bytes FROM {} WHERE name = {} ORDER BY written_at, writing, part",
            self.objects,
            literal(name)
        )
    }

    /// `first`: only one row of its name is taken of those that are added so.
    pub(super) fn add(&self, part: &Part, first: bool) -> String {
        let name = literal(&part.name);
        let first_of = if first { name.as_str() } else { "NULL" };
        format!(
            "INSERT INTO {} ({COLUMNS}) VALUES ({name}, {}, {}, {}, {}, {}, {}, {first_of})",
            self.objects,
            literal(&part.writing),
            part.part,
            part.parts,
            literal(part.encoding.as_str()),
            literal(&part.content),
            part.bytes
        )
    }

    pub(super) fn remove_others(&self, name: &str, writing: &str) -> String {
        format!("DELETE FROM {} WHERE name = {} AND writing <> {}", self.objects, literal(name), literal(writing))
    }

    pub(super) fn names(&self, prefix: &str) -> String {
        // What a pattern would take for more than itself.
        let prefix = prefix.replace('!', "!!").replace('_', "!_").replace('%', "!%");
        let prefix = literal(&format!("{prefix}%"));
        format!("SELECT name, SUM(bytes) FROM {} WHERE name LIKE {prefix} ESCAPE '!' GROUP BY name", self.objects)
    }

    pub(super) fn folders(&self) -> String {
        format!("SELECT DISTINCT SUBSTRING_INDEX(name, '/', 1) FROM {}", self.objects)
    }

    pub(super) fn remove(&self, names: &[String]) -> String {
        let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
        format!("DELETE FROM {} WHERE name IN ({})", self.objects, names.join(", "))
    }
}

/// A text as a string of SQL. Our sessions take backslashes for escapes.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\\' | '\'' => out.extend(['\\', c]),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
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
        let mut all = vec![sql.create_database()];
        all.extend(sql.create_tables());
        all.extend([sql.first_version(), sql.version(), sql.found()]);
        all.extend(sql.uses());
        all.extend([sql.may_create(), sql.parts(name), sql.add(&part, false), sql.add(&part, true)]);
        all.extend([sql.remove_others(name, "0a"), sql.names("growth_crm!2e/"), sql.folders()]);
        all.push(sql.remove(&["it's".into(), "b\\".into()]));
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
