//! Columns and values as the services send them: every value as a text in a form of its type's own, or null.

use std::borrow::Cow;

use backflow_core::cell::Cell;
use backflow_core::code::{Code, Failure};
use backflow_core::encode::Encoder;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use crate::batch::{Batch, Outlet};

/// A column, as a service describes it.
pub(crate) trait Described: Send + Sync {
    /// How its values arrive.
    type Wire: Wire;

    /// Its name.
    fn name(&self) -> &str;

    /// The type's name as people write it.
    fn kind(&self) -> String;

    /// How it is read; `None` if values of its type have no known form.
    fn reading(&self) -> Option<Reading<Self::Wire>>;

    /// What to do in the SQL if it is not read.
    fn cure(&self) -> String {
        format!("cast it to {}", Self::Wire::TEXT)
    }
}

/// How a value arrives.
pub(crate) trait Wire: Copy + Send + Sync + 'static {
    /// The type that people cast to who want to have a text.
    const TEXT: &'static str;

    /// Writes a value's encoding; `None` if it is not in its type's form: then something may have been written.
    fn encode(self, text: &str, out: Encoder<'_>) -> Option<()>;

    /// The value by itself.
    fn cell(self, text: &str) -> Option<Cell> {
        let mut out = Vec::new();
        self.encode(text, Encoder::new(&mut out))?;
        Cell::decode(&mut out.as_slice())
    }
}

/// A column as it is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading<W> {
    pub(crate) expression: String,
    pub(crate) wire: W,
}

/// A value of a row.
#[derive(Debug)]
pub(crate) struct Value<'a>(pub(crate) Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Value<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or null")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Value(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Value(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Value(None))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// The values of a row that is an array: `["1", null]`.
pub(crate) fn values(row: &[u8]) -> Option<Vec<Value<'_>>> {
    // Of a row at once it is found out faster that it is text than of each value.
    serde_json::from_str(std::str::from_utf8(row).ok()?).ok()
}

/// Makes batches of rows.
pub(crate) struct Decoder<'a, W> {
    model: &'a str,
    columns: &'a [String],
    wires: &'a [W],
    batch: Batch,
    /// Batches that wait to be passed on.
    full: Vec<Batch>,
}

impl<'a, W: Wire> Decoder<'a, W> {
    /// For rows of these columns.
    pub(crate) fn new(model: &'a str, columns: &'a [String], wires: &'a [W]) -> Self {
        Self { model, columns, wires, batch: Batch::new(wires.len()), full: Vec::new() }
    }

    /// Takes a row; `None`: it has no form that could be read.
    pub(crate) fn row(&mut self, values: Option<Vec<Value<'_>>>) -> Result<(), Failure> {
        // A read without columns has one, which is NULL.
        let values = values.filter(|values| values.len() == self.wires.len().max(1));
        let values = values.ok_or_else(|| self.unreadable(None))?;
        fill(&mut self.batch, self.wires, &values).map_err(|at| self.unreadable(Some(at)))?;
        if self.batch.is_full() {
            self.full.push(self.batch.take());
        }
        Ok(())
    }

    /// Hands out the batches that are full.
    pub(crate) async fn pass_on(&mut self, out: &Outlet) {
        for batch in self.full.drain(..) {
            out.put(batch).await;
        }
    }

    /// What was not handed out.
    pub(crate) async fn rest(mut self, out: &Outlet) -> Batch {
        self.pass_on(out).await;
        self.batch
    }

    fn unreadable(&self, column: Option<usize>) -> Failure {
        let what = format!("arrives in a form that this version does not read; cast it to {} in the SQL", W::TEXT);
        self.unfit(column, &what)
    }

    /// That a value of a column, counted from 0, is no use: `what` is wrong with it, and the cure.
    pub(crate) fn unfit(&self, column: Option<usize>, what: &str) -> Failure {
        let column = column.and_then(|at| self.columns.get(at));
        let column = column.map_or_else(String::new, |column| format!(" of column \"{column}\""));
        Failure::new(Code::SqlError, format!("model \"{}\": a value{column} {what}", self.model))
    }
}

/// Appends a row; if one of its values is not in its type's form, says which, and appends nothing.
fn fill<W: Wire>(batch: &mut Batch, wires: &[W], values: &[Value<'_>]) -> Result<(), usize> {
    let mut row = batch.row();
    for (at, (wire, value)) in wires.iter().zip(values).enumerate() {
        match &value.0 {
            None => row.null(),
            Some(text) => row.push(|out| wire.encode(text, Encoder::new(out))).ok_or(at)?,
        }
    }
    row.finish();
    Ok(())
}
