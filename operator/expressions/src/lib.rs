//! The expression language of Mappings and of destination definitions: the Common Expression Language with functions of ours, and the
//! rules of texts, times, telephone numbers and hashes behind them.
//!
//! [`compile`] reads an expression, finds everything that is wrong with it, and says what it refers to; [`Values`] holds what its
//! variables are; [`Expression::evaluate`] gives a value as [`Json`], or in words without any of the values why there is none. Pure: no
//! clock, no network, no files.

mod cel;
pub mod encode;
pub mod hash;
pub mod json;
pub mod normalize;
pub mod raw;
mod references;
pub mod texts;
pub mod time;

pub use cel::{Expression, Values, Variables, compile, functions};
pub use json::Json;
pub use references::{Asked, LONGEST, Members, References};
