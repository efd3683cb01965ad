//! What users write, and what becomes of it.

mod cookbook;
mod fields;
mod findings;
mod fingerprints;
mod manifests;
mod runs;
