//! Records of rows.

use std::cell::OnceCell;
use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::change::Memory;
use backflow_core::record::Rejection;
use backflow_core::selection::Operation;

use crate::compute::{Named, Row, Scope};
use crate::fit::Whole;
use crate::tree::{Node, Object};

/// Writes records from rows whose columns come in one known order.
#[derive(Clone, Debug)]
pub struct Renderer {
    pub(crate) root: Arc<Object>,
    /// Of each used column, its position in a row.
    pub(crate) positions: Vec<usize>,
    /// Bytes that a small record takes, to reserve them at once.
    pub(crate) size: usize,
    /// Columns that expressions see.
    pub(crate) record: Arc<[Named]>,
    pub(crate) match_by: Option<Node>,
    pub(crate) group_by: Option<Node>,
    /// What a whole record must have.
    pub(crate) whole: Option<Arc<Whole>>,
}

impl Renderer {
    /// Whether records are known by more than the primary key.
    #[must_use]
    pub fn identifies(&self) -> bool {
        self.match_by.is_some() || self.group_by.is_some()
    }

    /// What a later deletion of the row's record will have to go by: the values that it is matched and grouped by, `None` where NULL.
    ///
    /// # Errors
    /// One of them is an expression that fails for this row, or not what its field's `parse` reads.
    pub fn memory(&self, row: &[Cell]) -> Result<Memory, Rejection> {
        let values = OnceCell::new();
        let scope = Scope { row: self.row(row), values: &values, item: None };
        let value = |node: &Option<Node>| -> Result<Option<Box<str>>, Rejection> {
            let json = |cell: &Cell| {
                let mut json = String::new();
                cell.write_json(&mut json);
                json.into()
            };
            Ok(match node {
                Some(Node::Constant(text)) => (text != "null").then(|| text.as_str().into()),
                Some(Node::Column { used, .. }) => scope.row.cell(*used).filter(|cell| !cell.is_null()).map(json),
                Some(Node::Computed(computed)) => {
                    computed.value(&scope)?.filter(|cell| !cell.is_null()).map(|cell| json(&cell))
                }
                Some(Node::Object(_) | Node::List(_)) | None => None,
            })
        };
        Ok(Memory { match_key: value(&self.match_by)?, group_key: value(&self.group_by)?, remote_id: None })
    }

    /// The record's data, as the operation writes it: the text of one JSON object. `row`: the cells in the order of the columns that this
    /// was bound to.
    ///
    /// # Errors
    /// With the field and never with the row's values: `NULL_NOT_ALLOWED` if it says `onNull: Reject` and has no value,
    /// `MAPPING_ERROR` if its template or expression fails, `PARSE_FAILED` if its value is not what `parse` reads, `NOT_A_LIST` if there
    /// are no items, `INVALID_FIELD`, `MISSING_FIELD` and `TOO_LARGE` if it is not what the action's schema says.
    pub fn render(&self, row: &[Cell], op: Operation) -> Result<String, Rejection> {
        let mut out = String::with_capacity(self.size + row.iter().map(length).sum::<usize>());
        let values = OnceCell::new();
        let scope = Scope { row: self.row(row), values: &values, item: None };
        let mut leaf = |node: &Node, out: &mut String| match node {
            Node::Column { used, on_null, field } => scope.row.write(*used, *on_null, field, out),
            other => scope.write(other, out),
        };
        if !self.root.write(&mut leaf, &mut out)? {
            out.push_str("{}");
        }
        if let Some(whole) = &self.whole {
            whole.check(&out, op)?;
        }
        Ok(out)
    }

    fn row<'r>(&'r self, cells: &'r [Cell]) -> Row<'r> {
        Row { cells, positions: &self.positions, record: &self.record }
    }
}

/// Bytes that a value takes, about.
fn length(cell: &Cell) -> usize {
    match cell {
        Cell::Text(text) | Cell::Decimal(text) | Cell::Time(text) | Cell::Json(text) => text.len(),
        Cell::Bytes(bytes) => bytes.len() * 4 / 3,
        Cell::Null | Cell::Bool(_) | Cell::Int(_) | Cell::Float(_) => 8,
    }
}
