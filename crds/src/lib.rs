//! The Backflow API (`backflow.dev/v1alpha1`) as Rust types, and the CRDs made from them.
//!
//! Depends on `kube`'s derive macros only: no client, no runtime, no sockets.

pub mod conditions;
pub mod manifest;
pub mod reasons;
pub mod reference;
// KubeSchema derives the schema from a hidden copy of the type, which is `pub` and reachable by nobody; and to clippy the
// members of two printer columns look like one attribute, written twice.
#[allow(unreachable_pub, clippy::duplicated_attributes)]
pub mod v1alpha1;
