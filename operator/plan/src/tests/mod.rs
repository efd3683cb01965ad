//! What users write, and what becomes of it.

mod cloud;
mod cookbook;
mod definitions;
mod fields;
mod findings;
mod fingerprints;
mod manifests;
mod postgres;
mod runs;
mod servers;
