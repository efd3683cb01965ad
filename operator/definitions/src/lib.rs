//! What a destination definition is, the built-in ones, and the checks that they make possible.
//!
//! A [`Definition`] is data: it names a destination's settings, secrets, ways to authenticate, limits and actions, and says what goes
//! over the wire. So a manifest is checked without a network, and an engine delivers to tools that it has no code for. [`load()`] reads a
//! definition strictly: what it does not know is a [`Problem`] with its line, every expression is compiled, and what one part says of
//! another is checked. Checks of manifests return all findings at once, with paths from the piece that was checked (`settings.url`).
//!
//! [`Template`], [`Tree`] and [`Condition`] are what parts of a definition are when they depend on a record, a request or an answer:
//! they are evaluated over a [`Scope`]. A tree is bound to a run once ([`Tree::bind`]) and then writes JSON, for plain definitions by
//! copying text.

mod action;
mod auth;
mod builtin;
mod catalogue;
mod definition;
mod http;
mod language;
mod load;
mod planned;
mod problem;
mod request;
pub mod schema;
mod settings;
mod template;
#[cfg(test)]
mod tests;

pub use action::{Action, Batch as ActionBatch, DeliveryPromise, Ordering};
pub use auth::{
    Assertion, Auth, AuthKind, AuthMethod, AuthScheme, ClientAuth, Consent, Grant, Hmac, HmacAlgorithm, JwtAlgorithm,
    Need, OAuth1, OAuth2, SigV4, TokenPlace, TokenRequest,
};
pub use builtin::{builtin, builtin_ids};
pub use catalogue::{CATALOGUE_FOLDER, catalogue};
pub use definition::{Category, Definition, Delivery, Fact, Verification};
pub use http::{
    Check, Class, Concurrency, Discover, ErrorRule, Hosts, Http, LimitHeaders, Limits, Paginate, PaginateKind, Rate,
    RateMatch, Words, clean_code,
};
pub use language::{REFERENCE_FILE, SCHEMA_FILE, json_schema, reference_page, schema_text};
pub use load::{load, load_supplied};
pub use planned::planned;
pub use problem::{LoadError, Problem};
pub use request::{
    Asking, Batch, Csv, Dedupe, Encoding, Ensure, Failed, Job, JobResult, Lookup, OnFound, OnMissing, Operation, Poll,
    Request, Results, ResultsKind, ResultsMode, Succeeded, Unaccounted, UnaccountedRule, Verdict,
};
pub use schema::{RESERVED_HEADERS, Schema};
pub use settings::complete;
pub use template::{Bound, Condition, Envelope, EvalError, RecordScope, Scope, Template, Tree, Variable};
