//! Logs: one JSON object per line, on standard error.

use tracing_subscriber::EnvFilter;

/// Starts logging. `filter` is a level, or levels by module as `tracing` reads them.
///
/// # Errors
/// If the filter cannot be read, or logging was started before.
pub fn init(filter: &str) -> anyhow::Result<()> {
    let filter: EnvFilter = filter
        .parse()
        .map_err(|error| anyhow::anyhow!("--log \"{filter}\": {error}; use a level such as info, or module=level"))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}
