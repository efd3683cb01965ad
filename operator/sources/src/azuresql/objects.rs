//! The statements over the table of objects, as text.

use std::fmt::Write as _;

use super::product::Kind;
use super::types::quote;
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// The text of every statement.
pub(super) struct Sql {
    /// Quoted.
    pub(super) schema: String,
    objects: String,
    turns: String,
    name: String,
    kind: Kind,
}

/// What the server calls it when a claim is not the last one: the first number that it leaves to others.
pub(super) const FENCED: u32 = 50_001;

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes";

impl Sql {
    pub(super) fn new(schema: &str, kind: Kind) -> Self {
        let quoted = quote(schema);
        let table = |name: &str| format!("{quoted}.{}", quote(name));
        Self { objects: table("objects"), turns: table("turns"), schema: quoted, name: schema.to_owned(), kind }
    }

    /// Must be a batch of its own.
    pub(super) fn create_schema(&self) -> String {
        format!("CREATE SCHEMA {}", self.schema)
    }

    /// A pool enforces no keys, and columnstores take no long texts; a warehouse of Fabric has neither keys nor national types.
    pub(super) fn create_tables(&self) -> [String; 2] {
        let (collation, content, key, options, small) = match self.kind {
            Kind::Server => ("Latin1_General_BIN2", "nvarchar", ", PRIMARY KEY (name, writing, part)", "", ""),
            Kind::Pool => (
                "Latin1_General_BIN2",
                "nvarchar",
                "",
                " WITH (HEAP, DISTRIBUTION = HASH(name))",
                " WITH (HEAP, DISTRIBUTION = ROUND_ROBIN)",
            ),
            Kind::Fabric => ("Latin1_General_100_BIN2_UTF8", "varchar", "", "", ""),
        };
        [
            format!(
                "CREATE TABLE {} (name varchar(400) COLLATE {collation} NOT NULL, writing varchar(32) COLLATE {collation} NOT NULL, \
                 part int NOT NULL, parts int NOT NULL, encoding varchar(16) NOT NULL, content {content}(max) NOT NULL, bytes bigint NOT NULL, \
                 written_at datetime2(6) NOT NULL{key}){options}",
                self.objects
            ),
            format!("CREATE TABLE {} (schema_version int NOT NULL, turn bigint NOT NULL){small}", self.turns),
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

    /// How many schemas of the name can be seen, and how many of the tables.
    pub(super) fn found(&self) -> String {
        let name = literal(&self.name);
        format!(
            "SELECT 1 AS place, COUNT(*) AS found FROM sys.schemas WHERE name = {name} UNION ALL \
             SELECT 2 AS place, COUNT(*) AS found FROM sys.tables AS t INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
             WHERE s.name = {name} AND t.name IN ('objects', 'turns') ORDER BY place"
        )
    }

    /// Whether the user has each grant that a run needs: 1 or 0.
    pub(super) fn uses(&self) -> String {
        let may = |table: &str, grant: &str| format!("HAS_PERMS_BY_NAME({}, 'OBJECT', '{grant}')", literal(table));
        let (objects, turns) = (&self.objects, &self.turns);
        let all = [
            may(objects, "SELECT"),
            may(objects, "INSERT"),
            may(objects, "DELETE"),
            may(turns, "SELECT"),
            may(turns, "UPDATE"),
        ];
        format!("SELECT {}", all.join(", "))
    }

    /// Whether the user may make tables, and may put them into the schema, or may make that.
    pub(super) fn may_create(&self, schema: bool) -> String {
        let place = if schema {
            format!("HAS_PERMS_BY_NAME({}, 'SCHEMA', 'ALTER')", literal(&self.schema))
        } else {
            "HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CREATE SCHEMA')".to_owned()
        };
        format!("SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'CREATE TABLE'), {place}")
    }

    pub(super) fn parts(&self, name: &str) -> String {
        format!(
            "SELECT writing, part, parts, encoding, content, bytes FROM {} WHERE name = {} ORDER BY written_at, writing, part",
            self.objects,
            ascii(name)
        )
    }

    fn values(&self, part: &Part) -> String {
        let content = if self.kind == Kind::Fabric { ascii(&part.content) } else { literal(&part.content) };
        format!(
            "SELECT {}, {}, {}, {}, {}, {content}, {}, SYSUTCDATETIME()",
            ascii(&part.name),
            ascii(&part.writing),
            part.part,
            part.parts,
            ascii(part.encoding.as_str()),
            part.bytes
        )
    }

    pub(super) fn add(&self, part: &Part) -> String {
        format!("INSERT INTO {} ({COLUMNS}, written_at) {}", self.objects, self.values(part))
    }

    /// Who creates an object first takes the turn, which no other writer gets before the transaction has ended, and looks then.
    pub(super) fn add_first(&self, part: &Part) -> String {
        let objects = &self.objects;
        format!(
            "BEGIN TRANSACTION; UPDATE {} SET turn = turn + 1; \
             INSERT INTO {objects} ({COLUMNS}, written_at) {} WHERE NOT EXISTS (SELECT 1 FROM {objects} WHERE name = {}); \
             COMMIT TRANSACTION",
            self.turns,
            self.values(part),
            ascii(&part.name)
        )
    }

    /// Statements that have their effect together, if no object after `last` is in its folder, or none at or after `part`, which becomes
    /// the last then. The turn is taken last: who makes an object waits for the check alone, and not for the statements. Neither: nobody
    /// else knows of what they are about.
    pub(super) fn moving(&self, statements: &[String], last: Option<&str>, part: Option<&Part>) -> String {
        let (objects, turns) = (&self.objects, &self.turns);
        let mut batch = "BEGIN TRY\nBEGIN TRANSACTION;\n".to_owned();
        for statement in statements {
            // As a text each is read when those before it have had their effect.
            let _ = writeln!(batch, "EXECUTE ({});", literal(statement));
        }
        if let Some((name, after)) = part.map(|part| (part.name.as_str(), ">=")).or(last.map(|last| (last, ">"))) {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let _ = writeln!(
                batch,
                "UPDATE {turns} SET turn = turn + 1;\nIF EXISTS (SELECT 1 FROM {objects} WHERE {} AND name {after} {}) \
                 THROW {FENCED}, N'another claim', 1;",
                begins_with(&format!("{folder}/")),
                ascii(name)
            );
        }
        if let Some(part) = part {
            let _ = writeln!(batch, "INSERT INTO {objects} ({COLUMNS}, written_at) {};", self.values(part));
        }
        // A text that cannot be read ends nothing but itself, unless it is caught.
        batch.push_str(
            "COMMIT TRANSACTION;\nEND TRY\nBEGIN CATCH\nIF XACT_STATE() <> 0 ROLLBACK TRANSACTION;\nTHROW;\nEND CATCH",
        );
        batch
    }

    /// The columns of all tables of the schema that have this in their names: the table's name, and the column's.
    pub(super) fn columns_of(&self, infix: &str) -> String {
        format!(
            "SELECT t.name AS name, c.name AS part FROM sys.tables AS t INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id \
             INNER JOIN sys.columns AS c ON c.object_id = t.object_id WHERE s.name = {} AND t.name LIKE {} ESCAPE '!' \
             ORDER BY t.name, c.column_id",
            literal(&self.name),
            literal(&format!("%{}%", escaped(infix)))
        )
    }

    pub(super) fn remove_others(&self, name: &str, writing: &str) -> String {
        format!("DELETE FROM {} WHERE name = {} AND writing <> {}", self.objects, ascii(name), ascii(writing))
    }

    pub(super) fn names(&self, prefix: &str) -> String {
        format!("SELECT name, SUM(bytes) AS bytes FROM {} WHERE {} GROUP BY name", self.objects, begins_with(prefix))
    }

    pub(super) fn folders(&self) -> String {
        format!("SELECT DISTINCT LEFT(name, CHARINDEX('/', name) - 1) AS folder FROM {}", self.objects)
    }

    pub(super) fn remove(&self, names: &[String]) -> String {
        let names: Vec<String> = names.iter().map(|name| ascii(name)).collect();
        format!("DELETE FROM {} WHERE name IN ({})", self.objects, names.join(", "))
    }
}

/// Which names begin so.
fn begins_with(prefix: &str) -> String {
    format!("name LIKE {} ESCAPE '!'", ascii(&format!("{}%", escaped(prefix))))
}

/// A text for a pattern that means itself.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('_', "!_").replace('%', "!%").replace('[', "![")
}

/// A text as a string of SQL that holds any character.
pub(crate) fn literal(text: &str) -> String {
    format!("N{}", ascii(text))
}

/// A text as a string of SQL in the database's own encoding. A backslash at the end of a line goes away with that end: both stand twice.
fn ascii(text: &str) -> String {
    let text = text.replace('\'', "''").replace("\\\r\n", "\\\\\r\n\r\n").replace("\\\n", "\\\\\n\n");
    format!("'{text}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Encoding;

    #[test]
    fn a_backslash_at_the_end_of_a_line_stays() {
        assert_eq!(literal("a\\\nb\\\r\nc\\ \n"), "N'a\\\\\n\nb\\\\\r\n\r\nc\\ \n'");
    }

    #[test]
    fn every_statement() {
        let part = Part {
            name: "growth_crm/head/1".into(),
            writing: "0a".into(),
            part: 0,
            parts: 1,
            encoding: Encoding::Text,
            content: "{\"it's\": \"a\\n\"}\n".into(),
            bytes: 17,
        };
        let sql = Sql::new("_back]flow", Kind::Server);
        let name = part.name.as_str();
        let mut all = vec![sql.create_schema()];
        all.extend(
            [Kind::Server, Kind::Pool, Kind::Fabric].map(|kind| Sql::new("_backflow", kind).create_tables()).concat(),
        );
        all.extend([
            sql.first_turn(),
            sql.version(),
            sql.found(),
            sql.uses(),
            sql.may_create(true),
            sql.may_create(false),
        ]);
        all.extend([
            sql.parts(name),
            sql.add(&part),
            Sql::new("_backflow", Kind::Fabric).add(&part),
            sql.add_first(&part),
        ]);
        all.extend([sql.remove_others(name, "0a"), sql.names("growth_crm!2e/[a]%"), sql.folders()]);
        all.push(sql.remove(&["it's".into(), "b".into()]));
        let moves = ["DELETE FROM t WHERE name = N'it''s'".to_owned(), "DROP TABLE t".to_owned()];
        let next = "growth_crm/head/00000000000000000002";
        all.push(sql.moving(&moves, Some(next), Some(&Part { name: next.into(), ..part.clone() })));
        all.extend([sql.moving(&moves[..1], None, None), sql.columns_of("_00")]);
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
