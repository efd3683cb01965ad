//! One run: plan in, rows out, result back.
