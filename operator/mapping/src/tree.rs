//! The shape of a record, ready to be written as text.

use std::sync::Arc;

use backflow_core::cell::write_string;
use backflow_core::plan::OnNull;
use backflow_core::record::Rejection;

use crate::compute::{Computed, List};
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
    /// A column as it is: what nearly all fields are.
    Column {
        /// Position in [`crate::Compiled::used_columns`].
        used: usize,
        on_null: OnNull,
        /// The field's path, for rejections.
        field: String,
    },
    /// Everything else that is one value.
    Computed(Arc<Computed>),
    List(Arc<List>),
}

impl Node {
    /// Whether it has a value in every record that is not rejected.
    pub(crate) fn is_sure(&self) -> bool {
        match self {
            Self::Constant(json) => json != "null",
            Self::Column { on_null, .. } => *on_null == OnNull::Reject,
            Self::Computed(computed) => computed.is_sure(),
            Self::Object(_) | Self::List(_) => false,
        }
    }
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

    /// The names of its members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|member| member.name.as_str())
    }

    /// The member of this name.
    pub(crate) fn member(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|member| member.name == name).map(|member| &member.value)
    }

    /// What is at a path, if it is one value.
    pub(crate) fn leaf(&self, path: &[String]) -> Option<&Node> {
        let (name, rest) = path.split_first()?;
        match (&self.0.iter().find(|member| member.name == *name)?.value, rest) {
            (Node::Object(object), [_, ..]) => object.leaf(rest),
            (leaf @ (Node::Constant(_) | Node::Column { .. } | Node::Computed(_)), []) => Some(leaf),
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
        // Without a row everything else is left out, and nothing is rejected.
        let _ = self.write(&mut |_, _| Ok(false), &mut out);
        if out.is_empty() { "{}".to_owned() } else { out }
    }

    /// Appends the object if it has any member, and says whether it has. `leaf` does the same for what depends on a row.
    pub(crate) fn write<L>(&self, leaf: &mut L, out: &mut String) -> Result<bool, Rejection>
    where
        L: FnMut(&Node, &mut String) -> Result<bool, Rejection>,
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
                Node::Object(object) => object.write(leaf, out)?,
                value => leaf(value, out)?,
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
