//! The shape of a record, ready to be written as text.

use std::sync::Arc;

use backflow_core::cell::{Cell, write_string};
use backflow_core::change::Memory;
use backflow_core::plan::OnNull;
use backflow_core::record::Rejection;

use crate::compile::Leaf;
use crate::path::escape;

/// An object and its members, in the order they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(pub(crate) Vec<Member>);

#[derive(Clone, Debug)]
pub(crate) struct Member {
    name: String,
    /// `,"name":`; the first member of an object leaves the comma out.
    prefix: String,
    value: Node,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Object(Object),
    /// JSON text.
    Constant(String),
    Column {
        /// Position in [`crate::Compiled::used_columns`].
        used: usize,
        on_null: OnNull,
        /// The field's path, for rejections.
        field: String,
    },
}

/// The path of the field that is in the way of another one.
#[derive(Debug)]
pub(crate) struct InTheWay(pub(crate) String);

impl Object {
    /// Puts `leaf` at `path`, making the objects on the way.
    pub(crate) fn insert(&mut self, path: &[String], leaf: Node) -> Result<(), InTheWay> {
        let [name, rest @ ..] = path else { return Ok(()) };
        let found = self.0.iter().position(|member| member.name == *name);
        match (found.map(|at| &mut self.0[at].value), rest) {
            (None, []) => self.push(name, leaf),
            (None, rest) => {
                let mut object = Self::default();
                object.insert(rest, leaf)?;
                self.push(name, Node::Object(object));
            }
            (Some(Node::Object(object)), [_, ..]) => {
                return object.insert(rest, leaf).map_err(|inner| InTheWay(format!("{}.{}", escape(name), inner.0)));
            }
            (Some(Node::Object(object)), []) => {
                let below = object.0.first().map_or_else(String::new, |member| format!(".{}", escape(&member.name)));
                return Err(InTheWay(format!("{}{below}", escape(name))));
            }
            (Some(_), _) => return Err(InTheWay(escape(name))),
        }
        Ok(())
    }

    /// The value at a path, if it is one value.
    pub(crate) fn leaf(&self, path: &[String]) -> Option<Leaf> {
        let (name, rest) = path.split_first()?;
        match (&self.0.iter().find(|member| member.name == *name)?.value, rest) {
            (Node::Constant(json), []) => Some(Leaf::Constant(json.clone())),
            (Node::Column { used, .. }, []) => Some(Leaf::Column(*used)),
            (Node::Object(object), [_, ..]) => object.leaf(rest),
            _ => None,
        }
    }

    fn push(&mut self, name: &str, value: Node) {
        let mut prefix = String::from(",");
        write_string(name, &mut prefix);
        prefix.push(':');
        self.0.push(Member { name: name.to_owned(), prefix, value });
    }

    /// The JSON text of the constants alone.
    pub(crate) fn constants(&self) -> String {
        let mut out = String::new();
        // Without cells every column is left out, and nothing is rejected.
        let _ = self.write(&mut |_, _, _| Ok(false), &mut out);
        if out.is_empty() { "{}".to_owned() } else { out }
    }

    /// Appends the object if it has any member, and says whether it has.
    fn write<C>(&self, column: &mut C, out: &mut String) -> Result<bool, Rejection>
    where
        C: FnMut((usize, OnNull), &str, &mut String) -> Result<bool, Rejection>,
    {
        let start = out.len();
        out.push('{');
        let mut any = false;
        for member in &self.0 {
            let before = out.len();
            out.push_str(if any { &member.prefix } else { &member.prefix[1..] });
            let written = match &member.value {
                Node::Constant(json) => {
                    out.push_str(json);
                    true
                }
                Node::Column { used, on_null, field } => column((*used, *on_null), field, out)?,
                Node::Object(object) => object.write(column, out)?,
            };
            if written {
                any = true;
            } else {
                out.truncate(before);
            }
        }
        if any {
            out.push('}');
        } else {
            out.truncate(start);
        }
        Ok(any)
    }
}

/// Writes records from rows whose columns come in one known order.
#[derive(Clone, Debug)]
pub struct Renderer {
    pub(crate) root: Arc<Object>,
    /// Of each used column, its position in a row.
    pub(crate) positions: Vec<usize>,
    /// Bytes that a small record takes, to reserve them at once.
    pub(crate) size: usize,
    pub(crate) match_by: Option<Leaf>,
    pub(crate) group_by: Option<Leaf>,
}

impl Renderer {
    /// Whether records are known by more than the primary key.
    #[must_use]
    pub fn identifies(&self) -> bool {
        self.match_by.is_some() || self.group_by.is_some()
    }

    /// What a later deletion of the row's record will have to go by: the values that it is matched and grouped by, `None` where NULL.
    #[must_use]
    pub fn memory(&self, row: &[Cell]) -> Memory {
        let value = |leaf: &Option<Leaf>| match leaf.as_ref()? {
            Leaf::Constant(json) => Some(json.as_str().into()).filter(|json: &Box<str>| &**json != "null"),
            Leaf::Column(used) => {
                let cell = self.positions.get(*used).and_then(|at| row.get(*at)).filter(|cell| !cell.is_null())?;
                let mut json = String::new();
                cell.write_json(&mut json);
                Some(json.into())
            }
        };
        Memory { match_key: value(&self.match_by), group_key: value(&self.group_by), remote_id: None }
    }

    /// The record's data: the text of one JSON object. `row`: the cells in the order of the columns that this was bound to.
    ///
    /// # Errors
    /// `NULL_NOT_ALLOWED` with the field, if a field says `onNull: Reject` and its column is NULL.
    pub fn render(&self, row: &[Cell]) -> Result<String, Rejection> {
        let mut out = String::with_capacity(self.size);
        let mut column = |(used, on_null): (usize, OnNull), field: &str, out: &mut String| {
            let cell = self.positions.get(used).and_then(|at| row.get(*at));
            let Some(cell) = cell else {
                let message = "the row has fewer columns than the model; this is an error of the program";
                return Err(Rejection::new("ROW_TOO_SHORT", Some(field), message));
            };
            if cell.is_null() {
                match on_null {
                    OnNull::Send => {}
                    OnNull::Omit => return Ok(false),
                    OnNull::Reject => {
                        let message = format!("the column of field {field} is NULL, and the field says onNull: Reject");
                        return Err(Rejection::new("NULL_NOT_ALLOWED", Some(field), message));
                    }
                }
            }
            cell.write_json(out);
            Ok(true)
        };
        if !self.root.write(&mut column, &mut out)? {
            out.push_str("{}");
        }
        Ok(out)
    }
}
