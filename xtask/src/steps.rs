//! One progress line per step, with the seconds it took.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;

/// Width of the step's name before its seconds.
const WIDTH: usize = 44;

/// Runs one step: its name appears at once, its seconds when it is done.
///
/// # Errors
/// The step's own.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    print!("  {name:<WIDTH$}");
    flush();
    let start = Instant::now();
    let result = work();
    match &result {
        Ok(_) => println!("{:>7.1} s", start.elapsed().as_secs_f64()),
        Err(_) => println!(" failed"),
    }
    result
}

/// Shows what was printed without a line end; a closed pipe is no reason to stop working.
pub fn flush() {
    let _closed_pipe = std::io::stdout().flush();
}
