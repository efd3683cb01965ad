//! The pushdown engine's way to a Snowflake.
//!
//! A request holds at most one transaction, and a statement about a table is a transaction of its own. So what moves rows goes into one
//! transaction with the head, in the turn of the state's other writers, and tables are dropped after it:
//!
//! | killed | what is there then |
//! |---|---|
//! | before the transaction ends | nothing of it |
//! | after it, before tables are dropped | they are empty, and say nothing of what may have been sent; the next claim drops them |
//! | while a delta is made | no delta |
//! | after it, before the claim was looked at | a delta of which nothing was handed out. If a later claim is through already, the next one takes its changes for sent: they come again, as after every crash |
//!
//! Tables that were made and that nothing uses yet are made once more by nobody: `IF NOT EXISTS`.

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::{Code, Failure};
use backflow_core::state::Commit;

use super::SnowflakeWarehouse;
use super::api::Statement as Own;
use super::errors::{self, Failed};
use super::typed::{form, typed};
use super::types::Wire;
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::snowflake::{Snowflake, literal, made};
use crate::diff::pushdown::statement::{Around, Bind, Statement};
use crate::diff::pushdown::transport::{Fence, Plain, Reading, Table, Transport};
use crate::diff::pushdown::typed::{KeyForm, Typed};
use crate::model;
use crate::rest::compose::Composed;
use crate::rest::read;
use crate::rest::row::Wire as _;
use crate::rest::running::Running;
use crate::sql::Lexis;
use crate::state_rows::fenced;
use crate::store::table::{Encoding, ObjectTable as _, Part};

/// Bytes of rows that are given within a request's statements, as they stand there: it has a megabyte at most. More are stored first.
const INLINE: usize = 600_000;

/// Bytes of rows that are stored in one piece.
const PIECE: usize = 384 * 1024;

impl SnowflakeWarehouse {
    /// The head that is the newest while nobody else claims the state; `None` in a DryRun.
    fn head(&self, fence: Fence<'_>) -> Result<Option<String>, Failure> {
        let Fence { state_key, claim } = fence;
        let newest = claim.map(|epoch| self.state.last_head(state_key, epoch).ok_or_else(|| fenced(state_key)));
        newest.transpose()
    }

    /// Statements with the rows that they are given.
    async fn filled(&self, head: Option<&str>, statements: &[Statement]) -> Result<Vec<String>, Failure> {
        let given: Vec<Option<Vec<&str>>> = statements.iter().map(given).collect();
        let inline: Vec<Option<String>> =
            given.iter().map(|rows| rows.as_ref().map(|rows| literal(&array(rows)))).collect();
        let fits = inline.iter().flatten().map(String::len).sum::<usize>() <= INLINE;
        // In a folder of the state's, which its Forget empties; a DryRun has none.
        let folder = match head.and_then(|head| head.split_once("/head/")) {
            Some((folder, _)) => folder.to_owned(),
            None => format!("!dry/{:016x}", fastrand::u64(..)),
        };
        let folder = format!("{folder}/moves/");
        let mut filled = Vec::new();
        for ((statement, rows), inline) in statements.iter().zip(given).zip(inline) {
            let (Some(rows), Some(inline)) = (rows, inline) else {
                filled.push(statement.sql.clone());
                continue;
            };
            let from = if fits {
                format!("TABLE(FLATTEN(INPUT => PARSE_JSON({inline})))")
            } else {
                self.stored(&folder, &rows).await?
            };
            filled.push(statement.sql.replacen("FROM $1 AS f", &format!("FROM {from} AS f"), 1));
        }
        if !fits {
            filled.push(self.table.sql.remove_all(&folder));
        }
        Ok(filled)
    }

    /// Stores rows, to be read by a later statement.
    async fn stored(&self, folder: &str, rows: &[&str]) -> Result<String, Failure> {
        let pieces = pieces(rows);
        let writing = format!("{:032x}", fastrand::u128(..));
        let name = format!("{folder}{writing}");
        for (part, content) in pieces.iter().enumerate() {
            self.table
                .add(&Part {
                    name: name.clone(),
                    writing: writing.clone(),
                    part,
                    parts: pieces.len(),
                    encoding: Encoding::Text,
                    bytes: content.len(),
                    content: content.clone(),
                })
                .await?;
        }
        Ok(self.table.sql.stored_rows(&name))
    }

    /// What failed over tables of a state; that they are gone means that a later claim dropped them.
    fn gone(&self, failed: Failed, state_key: &str) -> Failure {
        match failed {
            Failed::Sql(error) if error.is_missing() || error.is_no_number() => fenced(state_key),
            other => self.table.failure(other),
        }
    }

    async fn drop_made(&self, around: &Around) {
        let Some(table) = made(&around.before) else { return };
        if let Err(failed) = self.table.long(&[Snowflake.drop(table)]).await {
            let failure = self.table.failure(failed);
            tracing::warn!(code = %failure.code, message = failure.message, "A delta of a run that was replaced was not dropped.");
        }
    }
}

/// The rows that a statement is given, as JSON; `None` if it takes none.
fn given(statement: &Statement) -> Option<Vec<&str>> {
    match statement.binds.as_slice() {
        [Bind::Texts(rows)] => Some(rows.iter().flatten().map(AsRef::as_ref).collect()),
        _ => None,
    }
}

/// Rows of JSON as one array.
fn array(rows: &[&str]) -> String {
    format!("[{}]", rows.join(","))
}

/// The same in pieces.
fn pieces(rows: &[&str]) -> Vec<String> {
    let mut pieces = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        if bytes + row.len() > PIECE && at > from {
            pieces.push(array(&rows[from..at]));
            (from, bytes) = (at, 0);
        }
        bytes += row.len() + 1;
    }
    pieces.push(array(&rows[from..]));
    pieces
}

#[async_trait]
impl Transport for SnowflakeWarehouse {
    type Dialect = Snowflake;
    type Wire = Wire;

    fn dialect(&self) -> &Snowflake {
        &Snowflake
    }

    fn table(&self, name: &str) -> String {
        Snowflake.table(&self.table.sql.schema, name)
    }

    fn wire(&self, plain: Plain) -> Wire {
        match plain {
            Plain::Int => Wire::Number,
            Plain::Bool => Wire::Bool,
            Plain::Bytes => Wire::Hex,
            Plain::Text => Wire::Text,
        }
    }

    fn key_form(&self, class: &str) -> Option<KeyForm<Wire>> {
        form(class)
    }

    async fn typed(&self, reading: Reading<'_>, columns: &[Column]) -> Result<Vec<Typed<Wire>>, Failure> {
        let Reading { model, filter } = reading;
        let described = read::columns(&self.api, model, filter).await?;
        let said = columns.iter().map(|column| {
            let names = described.iter().map(|known| known.name.as_str());
            let known = described.iter().find(|known| known.name == column.name);
            let known = known.ok_or_else(|| model::unknown_column(model, &column.name, names))?;
            typed(known).ok_or_else(|| read::unread(model, known))
        });
        said.collect()
    }

    async fn tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        self.table.own_tables(state_key).await
    }

    async fn fenced(&self, fence: Fence<'_>, statements: Vec<Statement>) -> Result<(), Failure> {
        let head = self.head(fence)?;
        let statements = self.filled(head.as_deref(), &statements).await?;
        let all = match &head {
            Some(head) => self.table.sql.fenced(head, &statements),
            None => statements,
        };
        if all.is_empty() {
            return Ok(());
        }
        self.table.long(&all).await.map(drop).map_err(|failed| self.gone(failed, fence.state_key))
    }

    async fn make(
        &self,
        fence: Fence<'_>,
        reading: Reading<'_>,
        first: Vec<String>,
        around: Around,
        then: Vec<String>,
    ) -> Result<(), Failure> {
        let Reading { model, filter } = reading;
        let head = self.head(fence)?;
        let composed = Composed::around(model, Lexis::Snowflake, &around, filter)?;
        let gone = |failed: Failed| self.gone(failed, fence.state_key);
        if !first.is_empty() {
            self.table.long(&first).await.map_err(gone)?;
        }
        let comparing = async { Running::start(&self.api, Own::model(composed.sql.clone())).await?.output().await };
        comparing.await.map_err(|failed| {
            failed.or_tell(|error| {
                if error.is_denied_on(&self.table.sql.name) {
                    errors::state_denied(&self.table.sql.schema, &self.api.plan)
                } else {
                    errors::query(error, &model.name, &composed, &self.api.plan)
                }
            })
        })?;
        if !then.is_empty() {
            self.table.long(&then).await.map_err(gone)?;
        }
        if let Some(head) = &head
            && let Err(failed) = self.table.long(&[self.table.sql.is_newest(head)]).await
        {
            self.drop_made(&around).await;
            return Err(gone(failed));
        }
        Ok(())
    }

    async fn numbers(&self, state_key: &str, sql: String) -> Result<Vec<Vec<i64>>, Failure> {
        let rows = self.table.long(&[sql]).await.map_err(|failed| self.gone(failed, state_key))?;
        let numbers = |row: &Vec<Option<String>>| serde_json::from_str(row.first()?.as_deref()?).ok();
        rows.iter().map(numbers).collect::<Option<_>>().ok_or_else(unreadable)
    }

    async fn page(&self, state_key: &str, sql: String, wires: &[Wire]) -> Result<Vec<Vec<Cell>>, Failure> {
        let rows = self.table.long(&[sql]).await.map_err(|failed| self.gone(failed, state_key))?;
        let cells = |row: Vec<Option<String>>| -> Option<Vec<Cell>> {
            (row.len() == wires.len()).then_some(())?;
            let cell = |(wire, value): (&Wire, Option<String>)| match value {
                Some(text) => wire.cell(&text),
                None => Some(Cell::Null),
            };
            wires.iter().zip(row).map(cell).collect()
        };
        rows.into_iter().map(cells).collect::<Option<_>>().ok_or_else(unreadable)
    }

    async fn commit(&self, commit: Commit<'_>, statements: &[Statement], _again: bool) -> Result<(), Failure> {
        let head = self.head(Fence { state_key: commit.state_key, claim: Some(commit.head.epoch) })?;
        let statements = self.filled(head.as_deref(), statements).await?;
        let statements: Vec<Statement> = statements.into_iter().map(Statement::plain).collect();
        self.state.commit_with(commit, &statements).await
    }
}

fn unreadable() -> Failure {
    Failure::new(
        Code::Internal,
        "a page of changes arrives in a form that this version does not read; please report it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_stored_in_pieces_of_a_bounded_size() {
        let row = format!("[{}]", "1".repeat(PIECE / 2 - 10));
        let rows = [row.as_str(); 5];
        let made = pieces(&rows);
        assert_eq!(made.len(), 3);
        assert!(made.iter().all(|piece| piece.len() <= PIECE + 2 && piece.starts_with("[[") && piece.ends_with("]]")));
        assert_eq!(pieces(&rows[..1]), [array(&rows[..1])]);
        assert_eq!(pieces(&["x".repeat(PIECE * 2).as_str(); 2]).len(), 2);
    }
}
