//! Values that are more than a column: templates, expressions, lists, and what `parse`, `map` and `default` make of a value.

use std::borrow::Cow;
use std::cell::OnceCell;

use backflow_core::cell::Cell;
use backflow_core::plan::OnNull;
use backflow_core::record::Rejection;
use backflow_expressions::json::BYTES;
use backflow_expressions::{Expression, Json, Values};

use crate::expression;
use crate::fit::Fit;
use crate::steps::Steps;
use crate::template::Template;
use crate::tree::{Node, Object};

/// One value of a record that takes some work.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) source: Source,
    pub(crate) steps: Steps,
    pub(crate) on_null: OnNull,
    /// The field's path, for rejections.
    pub(crate) field: String,
    /// What the action says of it.
    pub(crate) fit: Option<Fit>,
}

/// Where it comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Position in [`crate::Compiled::used_columns`].
    Column(usize),
    /// A member of the item.
    Member(String),
    Constant(Cell),
    /// With the columns that it refers to.
    Template(Template, Vec<Named>),
    Cel(Expression),
}

/// A column by its name, and its position in [`crate::Compiled::used_columns`].
pub(crate) type Named = (String, usize);

/// A list of objects.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) of: Computed,
    pub(crate) each: Object,
    /// What the action says of the list.
    pub(crate) fit: Option<Fit>,
}

/// A row, and where in it columns are.
#[derive(Clone, Copy)]
pub(crate) struct Row<'r> {
    pub(crate) cells: &'r [Cell],
    /// Of each used column, its position in the cells.
    pub(crate) positions: &'r [usize],
    /// Columns that any expression refers to.
    pub(crate) record: &'r [Named],
}

/// What a value is computed from. All expressions of a row share their values, which are made for the first of them.
pub(crate) struct Scope<'s, 'r> {
    pub(crate) row: Row<'r>,
    pub(crate) values: &'s OnceCell<Values<'r>>,
    pub(crate) item: Option<&'s Json>,
}

impl<'r> Row<'r> {
    #[inline(always)]
    pub(crate) fn cell(&self, used: usize) -> Option<&'r Cell> {
        self.positions.get(used).and_then(|at| self.cells.get(*at))
    }

    /// Appends a column; false if it is left out. Nearly all that is written are columns.
    #[inline(always)]
    pub(crate) fn write(&self, used: usize, on_null: OnNull, field: &str, out: &mut String) -> Result<bool, Rejection> {
        let Some(cell) = self.cell(used) else { return Err(too_short(field)) };
        if cell.is_null() && !null(on_null, field, "column")? {
            return Ok(false);
        }
        cell.write_json(out);
        Ok(true)
    }

    /// Columns by name.
    fn named<'n>(self, names: &'n [Named]) -> impl Iterator<Item = (&'n str, &'n Cell)> + Clone
    where
        'r: 'n,
    {
        names.iter().map(move |(name, used)| (name.as_str(), self.cell(*used).unwrap_or(&Cell::Null)))
    }
}

impl<'s, 'r> Scope<'s, 'r> {
    /// What expressions see.
    fn values(&self) -> Result<&'s Values<'r>, String> {
        if let Some(values) = self.values.get() {
            return Ok(values);
        }
        let made = expression::values(self.row.named(self.row.record))?;
        Ok(self.values.get_or_init(|| made))
    }

    /// Appends what a node is for this row; false if it is left out.
    #[inline(never)]
    pub(crate) fn write(&self, node: &Node, out: &mut String) -> Result<bool, Rejection> {
        match node {
            Node::Constant(json) => {
                out.push_str(json);
                Ok(true)
            }
            Node::Column { used, on_null, field } => self.row.write(*used, *on_null, field, out),
            Node::Computed(computed) => {
                let Some(cell) = computed.sent(self)? else { return Ok(false) };
                cell.write_json(out);
                Ok(true)
            }
            Node::List(list) => list.write(self, out),
            Node::Object(object) => object.write(&mut |node, out| self.write(node, out), out),
        }
    }
}

impl Computed {
    /// The value, NULL included; nothing where there is none.
    ///
    /// # Errors
    /// The expression fails, or the value is not what `parse` reads.
    pub(crate) fn value<'c, 'r: 'c>(&'c self, scope: &Scope<'_, 'r>) -> Result<Option<Cow<'c, Cell>>, Rejection> {
        let found = self.source.value(scope, &self.field)?;
        // What `optional.none()` leaves out has no default.
        if found.is_none() && self.omits() {
            return Ok(None);
        }
        let reject =
            |reason| Rejection::new("PARSE_FAILED", Some(&self.field), format!("field {}: {reason}", self.field));
        let found = self.steps.apply(found).map_err(reject)?;
        match (&self.fit, found) {
            (Some(fit), Some(cell)) => fit.apply(cell, &self.field).map(Some),
            (_, found) => Ok(found),
        }
    }

    /// The value, NULL only where the field sends it; nothing where the field is left out.
    fn sent<'c, 'r: 'c>(&'c self, scope: &Scope<'_, 'r>) -> Result<Option<Cow<'c, Cell>>, Rejection> {
        let found = self.value(scope)?;
        let sent = match &found {
            Some(cell) => !cell.is_null() || null(self.on_null, &self.field, "value")?,
            None => self.omits() || null(self.on_null, &self.field, "value")?,
        };
        Ok(found.filter(|_| sent))
    }

    /// Whether it has a value in every record that is not rejected.
    pub(crate) fn is_sure(&self) -> bool {
        self.on_null == OnNull::Reject && !self.omits()
    }

    fn omits(&self) -> bool {
        matches!(self.source, Source::Cel(_))
    }
}

impl Source {
    fn value<'c, 'r: 'c>(&'c self, scope: &Scope<'_, 'r>, field: &str) -> Result<Option<Cow<'c, Cell>>, Rejection> {
        let failed = |reason: String| mapping_error(field, &reason);
        Ok(match self {
            Self::Column(used) => Some(Cow::Borrowed(scope.row.cell(*used).ok_or_else(|| too_short(field))?)),
            Self::Constant(cell) => Some(Cow::Borrowed(cell)),
            Self::Member(name) => match scope.item {
                Some(Json::Object(members)) => members.get(name).map(|member| Cow::Owned(member.clone().into_cell())),
                _ => return Err(mapping_error(field, "an item of the list is no object; use cel with item")),
            },
            Self::Template(template, names) => {
                Some(Cow::Owned(template.render(scope.row.named(names), scope.item).map_err(failed)?))
            }
            Self::Cel(expression) => {
                let values = scope.values().map_err(failed)?;
                let value = match scope.item {
                    None => expression.evaluate(values),
                    Some(item) => expression.evaluate_with(values, "item", item.clone()),
                };
                let value = value.map_err(failed)?;
                let cell = value.map(Json::into_cell);
                let long = matches!(&cell, Some(Cell::Text(text) | Cell::Json(text)) if text.len() > BYTES);
                if long {
                    return Err(mapping_error(field, &format!("the value is longer than {BYTES} bytes")));
                }
                cell.map(Cow::Owned)
            }
        })
    }
}

impl List {
    /// Appends the list; false if it is left out.
    fn write(&self, scope: &Scope<'_, '_>, out: &mut String) -> Result<bool, Rejection> {
        let Some(found) = self.of.sent(scope)? else { return Ok(false) };
        let field = &self.of.field;
        let items = match &*found {
            Cell::Null => Json::Null,
            Cell::Json(text) => Json::parse(text).map_err(|error| mapping_error(field, &error.to_string()))?,
            _ => return Err(no_list(field)),
        };
        let items = match items {
            Json::List(items) => items,
            // One thing where there may be several.
            object @ Json::Object(_) => vec![object],
            Json::Null if null(self.of.on_null, field, "value")? => {
                out.push_str("null");
                return Ok(true);
            }
            Json::Null => return Ok(false),
            _ => return Err(no_list(field)),
        };
        let start = out.len();
        out.push('[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            let inner = Scope { row: scope.row, values: scope.values, item: Some(item) };
            if !self.each.write(&mut |node, out| inner.write(node, out), out)? {
                out.push_str("{}");
            }
        }
        out.push(']');
        if let Some(fit) = &self.fit {
            let list = Cell::Json(out.split_off(start).into());
            fit.apply(Cow::Owned(list), field)?.write_json(out);
        }
        Ok(true)
    }
}

/// Whether NULL is sent.
fn null(on_null: OnNull, field: &str, what: &str) -> Result<bool, Rejection> {
    match on_null {
        OnNull::Send => Ok(true),
        OnNull::Omit => Ok(false),
        OnNull::Reject => {
            let message = format!("the {what} of field {field} is NULL, and the field takes none (onNull: Reject)");
            Err(Rejection::new("NULL_NOT_ALLOWED", Some(field), message))
        }
    }
}

#[cold]
fn too_short(field: &str) -> Rejection {
    let message = "the row has fewer columns than the model; this is an error of the program";
    Rejection::new("ROW_TOO_SHORT", Some(field), message)
}

fn mapping_error(field: &str, reason: &str) -> Rejection {
    Rejection::new("MAPPING_ERROR", Some(field), format!("field {field}: {reason}"))
}

fn no_list(field: &str) -> Rejection {
    let message = format!("field {field}: the value is no list; a text with JSON in it needs parse: Json");
    Rejection::new("NOT_A_LIST", Some(field), message)
}

#[cfg(test)]
#[path = "compute_tests.rs"]
mod tests;
