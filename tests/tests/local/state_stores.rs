//! State outside of the warehouse: the conformance of every store.

mod directory;
mod s3;
