//! The Backflow API (`backflow.dev/v1alpha1`) as Rust types, and the CRDs made from them.
//!
//! Depends on `kube`'s derive macros only: no client, no runtime, no sockets.

pub mod manifest;
// KubeSchema derives the schema from a hidden copy of the type, which is `pub` and reachable by nobody.
#[allow(unreachable_pub)]
pub mod v1alpha1;
