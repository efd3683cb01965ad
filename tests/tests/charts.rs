//! The charts and everything in `deploy/`, rendered by Helm and kustomize and read as the objects that they become.
//!
//! Needs `helm` and `kubectl`, and so the feature `charts`: `cargo xtask test` turns it on and brings both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "charts/controller.rs"]
mod controller;
#[path = "charts/manifests.rs"]
mod manifests;
#[path = "charts/monitoring.rs"]
mod monitoring;
#[path = "charts/permissions.rs"]
mod permissions;
#[path = "charts/render.rs"]
mod render;
#[path = "charts/samples.rs"]
mod samples;
#[path = "charts/values.rs"]
mod values;
