//! Version `v1alpha1`: the six kinds and the types that their fields share.
//!
//! Members of a union ("exactly one of") are optional fields, so that a controller that is older than an object still
//! decodes it: it sees no member that it knows, and says `NotSupported`. The accessors (`SourceSpec::warehouse`,
//! `Schedule::rule` …) answer `None` for such an object, and for one that names more than one member.

mod destination;
mod destination_definition;
mod field;
mod mapping;
mod model;
mod reference;
mod scalar;
mod schedule;
mod schema;
mod secret;
mod source;
mod state;
mod status;
mod sync;
mod sync_status;
mod tls;
mod warehouse;
mod worker;

pub use destination::*;
pub use destination_definition::*;
pub use field::*;
pub use mapping::*;
pub use model::*;
pub use reference::*;
pub use scalar::*;
pub use schedule::*;
pub use secret::*;
pub use source::*;
pub use state::*;
pub use status::*;
pub use sync::*;
pub use sync_status::*;
pub use tls::*;
pub use warehouse::*;
pub use worker::*;

/// The API group of all kinds.
pub const GROUP: &str = "backflow.dev";
/// The version that this module holds.
pub const VERSION: &str = "v1alpha1";
/// Annotation on a Mapping: any new value starts one run; the value is echoed in `status.lastHandledRequest`.
pub const REQUESTED_AT: &str = "backflow.dev/requestedAt";
