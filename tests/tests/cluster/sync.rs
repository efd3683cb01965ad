//! From `kubectl apply` to rows at their destination: every kind of run, what is kept secret, and what kubectl shows.

mod changes;
mod modes;
mod secrecy;
mod transcripts;
