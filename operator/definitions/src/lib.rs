//! What a destination definition is, the built-in ones, and the checks that they make possible.
//!
//! A [`Definition`] is data: it names a destination's settings, secrets, ways to authenticate, limits and actions, and so lets a
//! manifest be checked without a network. How records go over the wire is the matter of `backflow-destinations`. Checks return all
//! findings at once, with paths from the piece that was checked (`settings.url`).

mod action;
mod definition;
mod settings;

pub use action::{Action, Batch, FieldChoice};
pub use definition::{AuthScheme, Definition, Limits, LoadError, Secret, builtin, builtin_ids, load};
pub use settings::{RESERVED_HEADERS, Setting, SettingKind};
