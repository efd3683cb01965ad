//! The Backflow API (backflow.dev/v1alpha1) as Rust types, and the CRDs made from them.
