//! The pushdown engine's way to a BigQuery.
//!
//! A delta is made by one job, which bills what the model reads: `maximumBytesBilled` holds for it. Everything else reads tables of the
//! engine alone.

use async_trait::async_trait;
use backflow_core::cell::{Cell, Column};
use backflow_core::code::{Code, Failure};
use backflow_core::state::Commit;

use super::api::Raw;
use super::objects::made;
use super::types::{Field, Wire};
use super::{BigQueryWarehouse, errors, rows};
use crate::diff::pushdown::dialect::Dialect as _;
use crate::diff::pushdown::dialects::bigquery::BigQuery;
use crate::diff::pushdown::statement::{Around, Statement};
use crate::diff::pushdown::transport::{Fence, Plain, Reading, Table, Transport};
use crate::diff::pushdown::typed::{KeyForm, Said, Typed};
use crate::model;
use crate::rest::compose::Composed;
use crate::rest::read::{self, Models as _};
use crate::rest::row::Wire as _;
use crate::rest::running::Running;
use crate::sql::Lexis;
use crate::state_rows::fenced;

/// Forms of key columns: class, SQL type, how it arrives. Of those that are text, two keys are the same text exactly when they are equal.
const FORMS: [(&str, &str, Wire); 12] = [
    ("bool", "BOOL", Wire::Bool),
    ("int", "INT64", Wire::Int),
    ("float", "STRING", Wire::Float),
    ("decimal", "BIGNUMERIC", Wire::Decimal),
    ("text", "STRING", Wire::Text),
    ("bytes", "BYTES", Wire::Bytes),
    ("date", "DATE", Wire::Date),
    ("time", "TIME", Wire::Clock),
    ("timestamp", "DATETIME", Wire::Clock),
    ("timestamptz", "TIMESTAMP", Wire::Instant),
    ("interval", "STRING", Wire::Interval),
    ("json", "STRING", Wire::Json),
];

fn form(class: &str) -> Option<KeyForm<Wire>> {
    FORMS.iter().find(|(name, ..)| *name == class).map(|(class, kind, wire)| KeyForm {
        class,
        kind,
        expression: String::new(),
        wire: *wire,
        said: Said::Itself,
        long: matches!(wire, Wire::Text | Wire::Bytes | Wire::Json),
    })
}

/// How a column of this type is said; `None` if its values have no known form.
fn typed(field: &Field) -> Option<Typed<Wire>> {
    let reading = field.reading_of("{}")?;
    let (read, wire) = (reading.expression, reading.wire);
    let text = format!("CAST({read} AS STRING)");
    // 0 is -0 then, as SQL has it.
    let float = format!("FORMAT('%.17g', {read} + 0.0)");
    let (tag, exact, class, key) = match wire {
        Wire::Bool => ('b', text, "bool", read.clone()),
        Wire::Int => ('i', text, "int", read.clone()),
        Wire::Float => ('f', float.clone(), "float", float),
        Wire::Decimal => ('n', text, "decimal", format!("CAST({read} AS BIGNUMERIC)")),
        // Byte by byte, whatever the column's collation.
        Wire::Text => ('t', read.clone(), "text", format!("COLLATE({read}, '')")),
        Wire::Bytes => ('y', format!("TO_BASE64({read})"), "bytes", read.clone()),
        Wire::Date => ('d', text, "date", read.clone()),
        Wire::Clock if field.kind == "TIME" => ('c', text, "time", read.clone()),
        Wire::Clock => ('c', text, "timestamp", read.clone()),
        Wire::Instant => ('u', format!("CAST(UNIX_MICROS({read}) AS STRING)"), "timestamptz", read.clone()),
        Wire::Interval => ('v', text.clone(), "interval", text),
        // The document that is sent has fewer digits.
        Wire::Json if field.is_place() => ('g', "ST_ASTEXT({})".to_owned(), "json", read.clone()),
        Wire::Json => ('j', read.clone(), "json", read.clone()),
    };
    let length = match wire {
        Wire::Text | Wire::Bytes => Some("BYTE_LENGTH({})".to_owned()),
        // Of what is read, which is text, it is a little more.
        Wire::Json if !field.is_range() => Some("BYTE_LENGTH(TO_JSON_STRING({}))".to_owned()),
        _ => None,
    };
    let read = if wire == Wire::Interval { key.clone() } else { read };
    let hash = format!("CONCAT('{tag}', {exact})");
    Some(Typed { name: field.name.clone(), read, wire, hash, length, key: KeyForm { expression: key, ..form(class)? } })
}

impl BigQueryWarehouse {
    /// Runs statements if the claim is still ours.
    async fn while_ours(&self, fence: Fence<'_>, statements: &[Statement]) -> Result<(), Failure> {
        let last = match fence.claim {
            Some(epoch) => Some(self.last_head(fence.state_key, epoch)?),
            None => None,
        };
        if self.table.run_steps(last.as_deref(), statements).await? {
            return Ok(());
        }
        // Nothing of what this claim made was handed out, and nobody else knows of it.
        for table in statements.iter().filter_map(|statement| made(&statement.sql)) {
            self.drop_own(table).await;
        }
        Err(fenced(fence.state_key))
    }

    fn last_head(&self, state_key: &str, epoch: u64) -> Result<String, Failure> {
        self.state.last_head(state_key, epoch).ok_or_else(|| fenced(state_key))
    }

    /// Drops a table that only this claim knows of. If it cannot, the table expires.
    async fn drop_own(&self, table: &str) {
        let dropped = self.table.run_steps(None, &[Statement::plain(BigQuery.drop(table))]).await;
        if let Err(failure) = dropped {
            tracing::warn!(code = %failure.code, message = failure.message, "What an overtaken run had made was not removed.");
        }
    }

    /// Rows of tables of the engine. They are gone if a later claim has dropped them.
    async fn read(&self, state_key: &str, sql: String) -> Result<Raw, Failure> {
        self.table.read(sql).await?.ok_or_else(|| fenced(state_key))
    }
}

fn unreadable() -> Failure {
    Failure::new(
        Code::Internal,
        "a page of changes arrives in a form that this version does not read; please report it",
    )
}

/// The cells of a row.
fn cells(row: &[u8], wires: &[Wire]) -> Option<Vec<Cell>> {
    let values = rows::values(row).filter(|values| values.len() == wires.len())?;
    let cell = |(value, wire): (&crate::rest::row::Value<'_>, &Wire)| match &value.0 {
        None => Some(Cell::Null),
        Some(text) => wire.cell(text),
    };
    values.iter().zip(wires).map(cell).collect()
}

/// The numbers of a row, which is a JSON array.
fn numbers(row: &[u8]) -> Option<Vec<i64>> {
    let [value] = <[_; 1]>::try_from(rows::values(row)?).ok()?;
    let numbers: Vec<serde_json::Value> = serde_json::from_str(&value.0?).ok()?;
    // Those that JSON cannot have arrive as texts.
    numbers.iter().map(|number| number.as_i64().or_else(|| number.as_str()?.parse().ok())).collect()
}

#[async_trait]
impl Transport for BigQueryWarehouse {
    type Dialect = BigQuery;
    type Wire = Wire;

    fn dialect(&self) -> &BigQuery {
        &BigQuery
    }

    fn table(&self, name: &str) -> String {
        self.table.table(name)
    }

    fn wire(&self, plain: Plain) -> Wire {
        match plain {
            Plain::Int => Wire::Int,
            Plain::Bool => Wire::Bool,
            Plain::Bytes => Wire::Bytes,
            Plain::Text => Wire::Text,
        }
    }

    fn key_form(&self, class: &str) -> Option<KeyForm<Wire>> {
        form(class)
    }

    async fn typed(&self, reading: Reading<'_>, columns: &[Column]) -> Result<Vec<Typed<Wire>>, Failure> {
        let described = read::columns(&self.api, reading.model, reading.filter).await?;
        let said = columns.iter().map(|column| {
            let field = described.iter().find(|field| field.name == column.name).ok_or_else(|| {
                let names = described.iter().map(|field| field.name.as_str());
                model::unknown_column(reading.model, &column.name, names)
            })?;
            typed(field).ok_or_else(|| read::unread(reading.model, field))
        });
        said.collect()
    }

    async fn tables(&self, state_key: &str) -> Result<Vec<Table>, Failure> {
        self.table.check_making().await?;
        self.table.own_tables(state_key).await
    }

    async fn fenced(&self, fence: Fence<'_>, statements: Vec<Statement>) -> Result<(), Failure> {
        self.while_ours(fence, &statements).await
    }

    /// Made by a job of its own, so that the lines of its errors are those of the text; and proven to be ours afterwards, because no
    /// transaction makes a table.
    async fn make(
        &self,
        fence: Fence<'_>,
        reading: Reading<'_>,
        first: Vec<String>,
        around: Around,
        then: Vec<String>,
    ) -> Result<(), Failure> {
        let Reading { model, filter } = reading;
        let composed = Composed::around(model, Lexis::BigQuery, &around, filter)?;
        let plain = |statements: Vec<String>| statements.into_iter().map(Statement::plain).collect::<Vec<_>>();
        if !first.is_empty() {
            self.while_ours(fence, &plain(first)).await?;
        }
        let ran = match Running::start(&self.api, self.api.read(composed.sql.clone())).await {
            Ok(mut running) => running.output().await,
            Err(failed) => Err(failed),
        };
        ran.map_err(|failed| failed.or_tell(|error| errors::query(error, &model.name, &composed, &self.api)))?;
        if fence.claim.is_none() && then.is_empty() {
            return Ok(());
        }
        let ours = self.while_ours(fence, &plain(then)).await;
        if matches!(&ours, Err(failure) if failure.code == Code::Fenced)
            && let Some(table) = made(&around.before)
        {
            self.drop_own(table).await;
        }
        ours
    }

    async fn numbers(&self, state_key: &str, sql: String) -> Result<Vec<Vec<i64>>, Failure> {
        let rows = self.read(state_key, sql).await?;
        rows.iter().map(|row| numbers(row).ok_or_else(unreadable)).collect()
    }

    async fn page(&self, state_key: &str, sql: String, wires: &[Wire]) -> Result<Vec<Vec<Cell>>, Failure> {
        let rows = self.read(state_key, sql).await?;
        rows.iter().map(|row| cells(row, wires).ok_or_else(unreadable)).collect()
    }

    /// All of it is in one script, which is sent under one number: whether `again` or not, it runs once.
    async fn commit(&self, commit: Commit<'_>, statements: &[Statement], _again: bool) -> Result<(), Failure> {
        self.state.commit_with(commit, statements).await
    }
}
