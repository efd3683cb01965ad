//! Compiles a Mapping's fields once and renders changes into records.
