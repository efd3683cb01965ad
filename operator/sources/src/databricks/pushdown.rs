//! The pushdown engine's way to a Databricks SQL warehouse, where each statement is a transaction of its own over one table.
//!
//! A commit moves the records, then the entries, and then creates the head. What a crash leaves:
//!
//! - after the records: the entries do not say that the changes are through. The delta is there, by which the next claim notes them as
//!   doubtful, in the records, too; they come again with their keys.
//! - after the entries: they say what was acknowledged, which is true. The head counts other known keys than there are; the fence of the
//!   entries has both numbers, so that the next run knows them for its own and goes on. Rejects and counters of that one commit are not in
//!   the lists for people.
//! - after the last entries, before the delta is dropped: as after a page. After the drop: every doubt of it is in the entries.
//! - after the head: all is done but tombstones that may go, which the next run sees to.
//!
//! Each statement may run twice, in whole: those over entries and records have the same effect then, a table that is there already was made
//! by the first of two, and a drop finds nothing. A claim that was replaced is stopped by the fence ([`Databricks`]) in all that others
//! read; its own delta it may drop only behind that, and a delta that it makes too late it takes away itself, or the next claim does.

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::{Code, Failure};
use backflow_core::failpoint;
use backflow_core::state::{Commit, StateStore as _};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::DatabricksWarehouse;
use super::errors;
use super::sql_error::{Failed, SqlError};
use super::statement::Statement as Asked;
use super::typed::{self, typed};
use super::types::Wire;
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::databricks::{Databricks, ROWS};
use crate::diff::pushdown::statement::{Around, Bind, Statement};
use crate::diff::pushdown::tables;
use crate::diff::pushdown::transport::{Fence, Plain, Reading, Table, Transport};
use crate::diff::pushdown::typed::{KeyForm, Typed};
use crate::model;
use crate::rest::compose::Composed;
use crate::rest::read;
use crate::rest::row::Wire as _;
use crate::sql::Lexis;
use crate::state_rows::fenced;

type Parameters = Vec<(&'static str, String)>;

/// What of a head's document fences.
#[derive(Deserialize)]
struct Known {
    incarnation: String,
    rows: u64,
}

impl Known {
    fn read(document: &str) -> Result<Self, Failure> {
        serde_json::from_str(document).map_err(|_| internal("the state's document cannot be read"))
    }
}

fn internal(what: &str) -> Failure {
    Failure::new(Code::Internal, format!("{what}; this is an error of Backflow, please report it"))
}

/// Rows of values, each an object with a member for each column.
fn rows(binds: &[Bind]) -> String {
    let length = |bind: &Bind| match bind {
        Bind::Numbers(numbers) => numbers.len(),
        Bind::Texts(texts) => texts.len(),
    };
    let value = |bind: &Bind, at: usize| match bind {
        Bind::Numbers(numbers) => numbers.get(at).copied().map_or(Value::Null, Value::from),
        Bind::Texts(texts) => texts.get(at).and_then(Option::as_deref).map_or(Value::Null, Value::from),
    };
    let row = |at: usize| -> Value {
        binds
            .iter()
            .zip(1..)
            .map(|(bind, number)| (format!("c{number}"), value(bind, at)))
            .collect::<Map<_, _>>()
            .into()
    };
    (0..binds.first().map_or(0, length)).map(row).collect::<Value>().to_string()
}

impl DatabricksWarehouse {
    /// What statements of a claim are given, if this process still holds it. `after`: the known keys when they have run, where a head
    /// follows.
    fn parameters(&self, fence: Fence<'_>, after: Option<u64>) -> Result<Parameters, Failure> {
        let Some(epoch) = fence.claim else { return Ok(Vec::new()) };
        let claimed = self.state.claimed(fence.state_key, epoch).ok_or_else(|| fenced(fence.state_key))?;
        let known = Known::read(&claimed.head.document)?;
        let text = |number: Option<u64>| number.map_or_else(String::new, |number| number.to_string());
        Ok(vec![
            ("claim", claimed.number.to_string()),
            ("incarnation", known.incarnation),
            ("before", text(after.map(|_| known.rows))),
            ("after", text(after)),
        ])
    }

    /// Runs statements one after another.
    async fn run_all(
        &self,
        state_key: &str,
        statements: &[Statement],
        given: &[(&'static str, String)],
    ) -> Result<(), Failure> {
        for statement in statements {
            let named = |(name, _): &&(&'static str, String)| statement.sql.contains(&format!(":{name}"));
            let mut asked = Asked::own(statement.sql.clone()).with(given.iter().filter(named).cloned());
            if !statement.binds.is_empty() {
                asked = asked.with([(ROWS, rows(&statement.binds))]);
            }
            self.run(state_key, asked).await?;
            failpoint::hit("inside-apply");
        }
        Ok(())
    }

    async fn run(&self, state_key: &str, asked: Asked) -> Result<Vec<Vec<Option<String>>>, Failure> {
        match self.table.tried(asked).await {
            Err(Failed::Sql(error)) if error.is_there() => Ok(Vec::new()),
            other => other.map_err(|failed| failed.or_tell(|error| self.refused(state_key, error))),
        }
    }

    /// Why a statement over the tables of a state failed: a later claim drops the delta of an earlier one.
    fn refused(&self, state_key: &str, error: &SqlError) -> Failure {
        if error.is_fenced() || error.is_missing() {
            return fenced(state_key);
        }
        self.table.refused(error)
    }

    async fn rows_of(&self, state_key: &str, sql: String) -> Result<Vec<Vec<Option<String>>>, Failure> {
        self.run(state_key, Asked::own(sql)).await
    }
}

#[async_trait]
impl Transport for DatabricksWarehouse {
    type Dialect = Databricks;
    type Wire = Wire;

    fn dialect(&self) -> &Databricks {
        &Databricks
    }

    fn table(&self, name: &str) -> String {
        Databricks.table(self.table.schema(), name)
    }

    fn wire(&self, plain: Plain) -> Wire {
        match plain {
            Plain::Int => Wire::Int,
            Plain::Bool => Wire::Bool,
            Plain::Bytes => Wire::Hex,
            Plain::Text => Wire::Text,
        }
    }

    fn key_form(&self, class: &str) -> Option<KeyForm<Wire>> {
        typed::form(class)
    }

    async fn typed(&self, reading: Reading<'_>, columns: &[Column]) -> Result<Vec<Typed<Wire>>, Failure> {
        let Reading { model, filter } = reading;
        let described = read::columns(&self.api, model, filter).await?;
        let said = columns.iter().map(|column| {
            let Some(known) = described.iter().find(|known| known.name == column.name) else {
                return Err(model::unknown_column(
                    model,
                    &column.name,
                    described.iter().map(|known| known.name.as_str()),
                ));
            };
            typed(known).ok_or_else(|| read::unread(model, known))
        });
        said.collect()
    }

    async fn tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        self.table.own_tables(state_key).await?.ok_or_else(|| errors::without_information(&self.api))
    }

    async fn taken_over(&self, fence: Fence<'_>, found: Vec<Table>) -> Result<Vec<Table>, Failure> {
        let state_key = fence.state_key;
        let given = self.parameters(fence, None)?;
        let incarnation = given.iter().find(|(name, _)| *name == "incarnation").map(|(_, value)| value);
        let fenced_tables = [(tables::entries(state_key), "e"), (tables::held(state_key), "h")];
        let mut statements = Vec::new();
        let mut is_ours = false;
        for (name, alias) in &fenced_tables {
            if found.iter().all(|table| table.name != *name) {
                continue;
            }
            let table = Transport::table(self, name);
            let rows = self.rows_of(state_key, Databricks.incarnation(&table)).await?;
            let ours = rows.first().and_then(|row| row.first()).is_some_and(|value| value.as_ref() == incarnation);
            is_ours |= ours && *alias == "e";
            statements.push(if ours { Databricks.take(&table, alias) } else { Databricks.empty(&table, alias) });
        }
        let (kept, gone): (Vec<Table>, Vec<Table>) =
            found.into_iter().partition(|table| is_ours || fenced_tables.iter().any(|(name, _)| *name == table.name));
        // Before the entries are this incarnation's: what is left of another one would be taken for its doubts.
        let mut all: Vec<String> =
            gone.iter().map(|table| Databricks.drop(&Transport::table(self, &table.name))).collect();
        all.extend(statements);
        self.run_all(state_key, &all.into_iter().map(Statement::plain).collect::<Vec<_>>(), &given).await?;
        Ok(kept)
    }

    async fn fenced(&self, fence: Fence<'_>, statements: Vec<Statement>) -> Result<(), Failure> {
        let given = self.parameters(fence, None)?;
        self.run_all(fence.state_key, &statements, &given).await
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
        let composed = Composed::around(model, Lexis::Databricks, &around, filter)?;
        let given = self.parameters(fence, None)?;
        let plain = |statements: Vec<String>| statements.into_iter().map(Statement::plain).collect::<Vec<_>>();
        self.run_all(fence.state_key, &plain(first), &given).await?;
        match self.table.tried(Asked::model(composed.sql.clone())).await {
            Err(Failed::Sql(error)) if error.is_there() => {}
            other => {
                other.map_err(|failed| {
                    failed.or_tell(|error| match error.is_making_denied() {
                        true => self.table.refused(error),
                        false => errors::query(error, &model.name, &composed, &self.api),
                    })
                })?;
            }
        }
        self.run_all(fence.state_key, &plain(then), &given).await?;
        // The table is there before this looks, so that a claim which did not find it is found here. The caller drops it then.
        match fence.claim {
            Some(epoch) if !self.state.is_last(fence.state_key, epoch).await? => Err(fenced(fence.state_key)),
            _ => Ok(()),
        }
    }

    async fn numbers(&self, state_key: &str, sql: String) -> Result<Vec<Vec<i64>>, Failure> {
        let rows = self.rows_of(state_key, sql).await?;
        let read = |row: Vec<Option<String>>| -> Option<Vec<i64>> {
            row.into_iter().next()??.split(',').map(|number| number.parse().ok()).collect()
        };
        rows.into_iter().map(|row| read(row).ok_or_else(|| internal("numbers arrive in another form"))).collect()
    }

    async fn page(&self, state_key: &str, sql: String, wires: &[Wire]) -> Result<Vec<Vec<Cell>>, Failure> {
        let rows = self.rows_of(state_key, sql).await?;
        let cell = |(wire, value): (&Wire, Option<String>)| value.map_or(Some(Cell::Null), |text| wire.cell(&text));
        let read = |row: Vec<Option<String>>| -> Option<Vec<Cell>> {
            if row.len() != wires.len() {
                return None;
            }
            wires.iter().zip(row).map(cell).collect()
        };
        let unread = || internal("a page of changes arrives in a form that this version does not read");
        rows.into_iter().map(|row| read(row).ok_or_else(unread)).collect()
    }

    async fn commit(&self, commit: Commit<'_>, statements: &[Statement], _again: bool) -> Result<(), Failure> {
        let state_key = commit.state_key;
        let fence = Fence { state_key, claim: Some(commit.head.epoch) };
        let given = self.parameters(fence, Some(Known::read(&commit.head.document)?.rows))?;
        let moved = match self.run_all(state_key, statements, &given).await {
            Ok(()) => self.state.commit(commit).await,
            failed => failed,
        };
        if moved.is_err() {
            // What moved is not known: what this run would write next would count keys from a head that is not true any more.
            self.state.release(state_key);
        }
        moved
    }
}
