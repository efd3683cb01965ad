//! The statements over the table of objects, as text.
//!
//! A column takes 65,535 bytes, so that a part is cut in pieces, which are rows.

use crate::diff::pushdown::dialects::redshift::literal;
use crate::sql::quote;
use crate::state_rows::SCHEMA_VERSION;
use crate::store::table::Part;

/// Bytes of a piece.
const PIECE: usize = 60_000;

/// The text of every statement.
pub(super) struct Sql {
    /// Quoted.
    pub(super) schema: String,
    name: String,
    objects: String,
    turns: String,
}

const COLUMNS: &str = "name, writing, part, parts, encoding, content, bytes, piece, pieces, written_at";

impl Sql {
    pub(super) fn new(schema: &str) -> Self {
        let table = |name: &str| format!("{}.{}", quote(schema), quote(name));
        Self { schema: quote(schema), name: schema.to_owned(), objects: table("objects"), turns: table("turns") }
    }

    /// How many schemas there are of the name, and how many of the two tables.
    pub(super) fn look(&self) -> [String; 2] {
        let name = literal(&self.name);
        [
            format!("SELECT COUNT(*) FROM pg_namespace WHERE nspname = {name}"),
            format!(
                "SELECT COUNT(*) FROM pg_class AS c JOIN pg_namespace AS n ON c.relnamespace = n.oid \
                 WHERE n.nspname = {name} AND c.relname IN ('objects', 'turns')"
            ),
        ]
    }

    pub(super) fn create_schema(&self) -> String {
        format!("CREATE SCHEMA {}", self.schema)
    }

    pub(super) fn create_tables(&self) -> [String; 3] {
        [
            format!(
                "CREATE TABLE IF NOT EXISTS {} (name VARCHAR(1024) NOT NULL, writing VARCHAR(64) NOT NULL, part INTEGER NOT NULL, \
                 parts INTEGER NOT NULL, encoding VARCHAR(16) NOT NULL, content VARCHAR(65535) NOT NULL, bytes BIGINT NOT NULL, \
                 piece INTEGER NOT NULL, pieces INTEGER NOT NULL, written_at TIMESTAMP NOT NULL)",
                self.objects
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {} (schema_version INTEGER NOT NULL, turn BIGINT NOT NULL)",
                self.turns
            ),
            format!(
                "INSERT INTO {0} (schema_version, turn) SELECT {SCHEMA_VERSION}, 0 WHERE NOT EXISTS (SELECT 1 FROM {0})",
                self.turns
            ),
        ]
    }

    pub(super) fn version(&self) -> String {
        format!("SELECT MAX(schema_version) FROM {}", self.turns)
    }

    /// Waits for all others that write, and is in the way of those that come.
    pub(super) fn lock(&self) -> String {
        format!("LOCK {}", self.turns)
    }

    pub(super) fn turn(&self) -> String {
        format!("UPDATE {} SET turn = turn + 1", self.turns)
    }

    pub(super) fn parts(&self, name: &str) -> String {
        format!(
            "SELECT writing, part, parts, encoding, content, bytes, piece, pieces FROM {} WHERE name = {} \
             ORDER BY written_at, writing, part, piece",
            self.objects,
            literal(name)
        )
    }

    /// The newest of the names that begin with `prefix`, if they sort by age.
    pub(super) fn newest(&self, prefix: &str) -> String {
        let length = prefix.chars().count();
        format!("SELECT MAX(name) FROM {} WHERE LEFT(name, {length}) = {}", self.objects, literal(prefix))
    }

    /// Whether this user may make tables there; of a schema that is not there, nothing.
    pub(super) fn may_create(&self) -> String {
        let name = literal(&self.name);
        format!("SELECT HAS_SCHEMA_PRIVILEGE(nspname, 'create') FROM pg_namespace WHERE nspname = {name}")
    }

    /// Columns of the tables that have this in their names.
    pub(super) fn columns(&self, infix: &str) -> String {
        format!(
            "SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_namespace AS n ON c.relnamespace = n.oid \
             JOIN pg_attribute AS a ON a.attrelid = c.oid \
             WHERE n.nspname = {} AND c.relkind = 'r' AND STRPOS(c.relname, {}) > 0 AND a.attnum > 0 AND NOT a.attisdropped \
             ORDER BY c.relname, a.attnum",
            literal(&self.name),
            literal(infix)
        )
    }

    pub(super) fn count(&self, name: &str) -> String {
        format!("SELECT COUNT(*) FROM {} WHERE name = {}", self.objects, literal(name))
    }

    /// The statements that write a part, if it is there or not.
    pub(super) fn add(&self, part: &Part) -> [String; 2] {
        let [name, writing, encoding] = [part.name.as_str(), &part.writing, part.encoding.as_str()].map(literal);
        let pieces = pieces(&part.content);
        let row = |(at, piece): (usize, &&str)| {
            let Part { part, parts, bytes, .. } = part;
            // The length of the part stands in its first row, so that a sum is right.
            let bytes = if at == 0 { *bytes } else { 0 };
            let (content, count) = (literal(piece), pieces.len());
            format!("({name}, {writing}, {part}, {parts}, {encoding}, {content}, {bytes}, {at}, {count}, SYSDATE)")
        };
        let rows: Vec<String> = pieces.iter().enumerate().map(row).collect();
        [
            format!(
                "DELETE FROM {} WHERE name = {name} AND writing = {writing} AND part = {}",
                self.objects, part.part
            ),
            format!("INSERT INTO {} ({COLUMNS}) VALUES {}", self.objects, rows.join(", ")),
        ]
    }

    pub(super) fn remove_others(&self, name: &str, writing: &str) -> String {
        format!("DELETE FROM {} WHERE name = {} AND writing <> {}", self.objects, literal(name), literal(writing))
    }

    pub(super) fn names(&self, prefix: &str) -> String {
        let length = prefix.chars().count();
        format!(
            "SELECT name, SUM(bytes) FROM {} WHERE LEFT(name, {length}) = {} GROUP BY name",
            self.objects,
            literal(prefix)
        )
    }

    pub(super) fn folders(&self) -> String {
        format!("SELECT DISTINCT SPLIT_PART(name, '/', 1) FROM {}", self.objects)
    }

    pub(super) fn remove(&self, names: &[String]) -> String {
        let names = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ");
        format!("DELETE FROM {} WHERE name IN ({names})", self.objects)
    }
}

/// A text in pieces that a column takes; an empty one is one piece.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > PIECE {
        let mut end = PIECE;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, next) = rest.split_at(end);
        pieces.push(piece);
        rest = next;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Encoding;

    #[test]
    fn every_statement() {
        let sql = Sql::new("_back\"flow");
        let part = Part {
            name: "growth_crm/head/1".into(),
            writing: "0a".into(),
            part: 0,
            parts: 1,
            encoding: Encoding::Text,
            content: "{\"it's\": \"a\\n\"}\n".into(),
            bytes: 17,
        };
        let mut all = sql.look().to_vec();
        all.push(sql.create_schema());
        all.extend(sql.create_tables());
        all.extend([sql.version(), sql.lock(), sql.turn(), sql.parts("a'b"), sql.count("a")]);
        all.extend([sql.newest("growth_crm/head/"), sql.may_create(), sql.columns("_00")]);
        all.extend(sql.add(&part));
        all.extend([
            sql.remove_others("a", "b"),
            sql.names("a/"),
            sql.folders(),
            sql.remove(&["a".into(), "b".into()]),
        ]);
        insta::assert_snapshot!(all.join(";\n\n"));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(pieces(""), [""]);
        let text = "é".repeat(PIECE);
        let text = format!("a{text}");
        let cut = pieces(&text);
        assert_eq!((cut.len(), cut.concat().len()), (3, 2 * PIECE + 1));
        assert!(cut.iter().all(|piece| piece.len() <= PIECE));
    }
}
