//! The delivery engine: batches, retries, outcomes.
