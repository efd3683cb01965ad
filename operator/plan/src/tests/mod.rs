//! What users write, and what becomes of it.

mod fields;
mod findings;
mod fingerprints;
mod manifests;
mod runs;
