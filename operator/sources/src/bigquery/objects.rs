//! The statements over the table of objects, as text.

use super::types::quote;
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::bigquery::BigQuery;
use crate::diff::pushdown::statement::Statement;
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

const BEGIN: &str = "BEGIN TRANSACTION";
const COMMIT: &str = "COMMIT TRANSACTION";

/// What a script says that has found a later row.
pub(super) const NOT_LAST: &str = "backflow: a later claim has the state";

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
        [BEGIN, &self.take_turn(), &self.add_absent(part), COMMIT].join(";\n")
    }

    fn take_turn(&self) -> String {
        format!("UPDATE {} SET turn = turn + 1 WHERE TRUE", self.turns)
    }

    fn add_absent(&self, part: &Part) -> String {
        let objects = &self.objects;
        let [name, writing, encoding, content] =
            [part.name.as_str(), &part.writing, part.encoding.as_str(), &part.content].map(literal);
        format!(
            "INSERT INTO {objects} ({COLUMNS}, written_at) SELECT {name}, {writing}, {}, {}, {encoding}, {content}, {}, CURRENT_TIMESTAMP() \
             FROM (SELECT 1) WHERE NOT EXISTS (SELECT 1 FROM {objects} WHERE name = {name})",
            part.part, part.parts, part.bytes
        )
    }

    /// Adds a row as the last of its folder, and moves tables in the same transaction; or does nothing.
    pub(super) fn add_last(&self, part: &Part, with: &[Statement]) -> String {
        let steps = Steps::of(with);
        let last = self.proof("CONCAT(name, ' ', writing)", &part.name, &format!("{} {}", part.name, part.writing));
        let mut script = vec![BEGIN.to_owned(), self.take_turn(), self.add_absent(part), last];
        script.extend(steps.moves_and_ends());
        script.push(COMMIT.to_owned());
        script.extend(steps.drops);
        script.join(";\n")
    }

    /// Runs statements while the row of this name is the last of its folder; all that move rows do it in one transaction.
    pub(super) fn while_last(&self, name: &str, statements: &[Statement]) -> String {
        let steps = Steps::of(statements);
        let last = self.proof("name", name, name);
        let mut script = Vec::new();
        if !steps.makes.is_empty() {
            script.push(last.clone());
            script.extend(steps.makes.iter().cloned());
        }
        if steps.moves.is_empty() {
            script.push(last);
        } else {
            script.extend([BEGIN.to_owned(), self.take_turn(), last]);
            script.extend(steps.moves_and_ends());
            script.push(COMMIT.to_owned());
        }
        script.extend(steps.drops);
        script.join(";\n")
    }

    /// Fails with [`NOT_LAST`] unless the greatest of a folder is this.
    fn proof(&self, of: &str, name: &str, greatest: &str) -> String {
        let folder = name.rfind('/').map_or("", |at| &name[..=at]);
        format!(
            "SELECT IF((SELECT MAX({of}) FROM {} WHERE STARTS_WITH(name, {})) = {}, TRUE, ERROR({}))",
            self.objects,
            literal(folder),
            literal(greatest),
            literal(NOT_LAST)
        )
    }

    /// A table of this dataset.
    pub(super) fn table(&self, name: &str) -> String {
        BigQuery.table(&self.dataset, name)
    }

    /// Names of tables, with each of their columns.
    pub(super) fn columns(&self) -> String {
        format!(
            "SELECT table_name, column_name FROM {}.INFORMATION_SCHEMA.COLUMNS WHERE STRPOS(table_name, ?) > 0 \
             ORDER BY table_name, ordinal_position",
            self.dataset
        )
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

/// Statements in the order in which a script may have them: no transaction makes, changes or drops a table.
struct Steps {
    makes: Vec<String>,
    moves: Vec<String>,
    drops: Vec<String>,
}

impl Steps {
    fn of(statements: &[Statement]) -> Self {
        let mut steps = Self { makes: Vec::new(), moves: Vec::new(), drops: Vec::new() };
        for Statement { sql, .. } in statements {
            let step = match sql.split(' ').next() {
                Some("CREATE" | "ALTER") => &mut steps.makes,
                Some("DROP") => &mut steps.drops,
                _ => &mut steps.moves,
            };
            step.push(sql.clone());
        }
        steps
    }

    /// What moves, and empties the deltas that are dropped then: whoever finds one that is left finds nothing in it.
    fn moves_and_ends(&self) -> Vec<String> {
        let mut moves = self.moves.clone();
        for delta in self.drops.iter().filter_map(|drop| dropped_delta(drop)) {
            let emptied = format!("DELETE FROM {delta} WHERE TRUE");
            if !moves.contains(&emptied) {
                moves.push(emptied);
            }
        }
        moves
    }
}

/// The delta that a statement drops.
fn dropped_delta(statement: &str) -> Option<&str> {
    let table = statement.strip_prefix("DROP TABLE IF EXISTS ")?;
    let name = table.rsplit('`').nth(1)?;
    name.starts_with("delta_").then_some(table)
}

/// The table that a statement makes of a query.
pub(super) fn made(statement: &str) -> Option<&str> {
    statement.strip_prefix("CREATE TABLE ")?.split(' ').next().filter(|name| *name != "IF")
}

/// A text as a string of SQL: JSON's escapes are among BigQuery's.
pub(crate) fn literal(text: &str) -> String {
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
        all.extend([sql.remove_others(), sql.names(), sql.folders(), sql.remove(3), sql.columns()]);
        let statements =
            ["CREATE TABLE a (b INT64)", "DROP TABLE IF EXISTS `delta_c`", "UPDATE d SET e = 1 WHERE TRUE"];
        let statements = statements.map(|sql| Statement::plain(sql.into()));
        all.extend([sql.add_last(&part, &statements[1..]), sql.while_last(&part.name, &statements)]);
        all.push(sql.while_last(&part.name, &statements[..2]));
        insta::assert_snapshot!(all.join(";\n\n"));
    }
}
