//! Compiles a Mapping's fields once and renders changes into records.
//!
//! [`check`] collects every finding, [`compile()`] makes a [`Compiled`] of a Mapping without any, [`Compiled::bind`] ties it to the order
//! in which a warehouse delivers columns, and [`Renderer::render`] writes the JSON text of one record.
//!
//! What a record is:
//! - A field's key is a dotted path: `a.b` is the member `b` of the object `a`; `\.` is a dot and `\\` a backslash in a name.
//! - SQL NULL becomes JSON null, unless the field says [`OnNull::Omit`] or [`OnNull::Reject`]. An object whose fields are all left out
//!   is left out too. The JSON document `null` in a column is a value, not NULL. Constants are sent as they are.
//! - A value goes through `parse`, `map` and `default` before it is asked whether it is NULL. A member that an item does not have is left
//!   out, unless there is a default or the field says `Reject`; what an expression leaves out (`optional.none()`) is left out always.
//! - `include` adds columns under their own names (dots in them stay), to the record or to the object `into`.
//! - What the action's schema says of a field is done last, behind everything the Mapping says: it is normalised and hashed, and a value
//!   of the wrong type rejects the record.
//! - A deleted row has no columns any more: its record holds the constants only ([`Compiled::deletion`]), its id says which it was.
//!
//! [`OnNull::Omit`]: backflow_core::plan::OnNull::Omit
//! [`OnNull::Reject`]: backflow_core::plan::OnNull::Reject

mod compile;
mod compute;
mod demands;
mod expression;
mod fields;
mod fit;
mod include;
mod path;
mod render;
mod steps;
mod template;
#[cfg(test)]
mod testing;
mod tree;

pub use compile::{Compiled, Target, check, compile};
pub use demands::on_null;
pub use render::Renderer;
