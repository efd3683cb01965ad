//! Named places where a test makes the process die, as `kill -9` would: nothing is flushed, closed or committed.
//!
//! `BACKFLOW_FAILPOINT=after-send` dies at the first hit, `after-send:3` at the third. Without the variable a hit costs one load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Armed {
    name: String,
    left: AtomicU32,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

fn armed() -> Option<&'static Armed> {
    ARMED
        .get_or_init(|| {
            let text = std::env::var("BACKFLOW_FAILPOINT").ok()?;
            let (name, hits) = text.split_once(':').unwrap_or((&text, "1"));
            Some(Armed { name: name.to_owned(), left: AtomicU32::new(hits.parse().unwrap_or(1)) })
        })
        .as_ref()
}

/// Dies here if the environment says so.
pub fn hit(name: &str) {
    if let Some(armed) = armed()
        && armed.name == name
        && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        std::process::abort();
    }
}
