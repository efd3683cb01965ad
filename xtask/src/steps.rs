//! What a command says while it works: one line per step, with the seconds it took.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::Result;

/// Width of the step's name before its seconds.
const WIDTH: usize = 44;

thread_local! {
    /// Where this thread says it instead of on standard output: the log of a test suite.
    static LOG: RefCell<Option<File>> = const { RefCell::new(None) };
}

/// Runs one step: its name appears at once, its seconds when it is done.
///
/// # Errors
/// The step's own.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    write(&format!("  {name:<WIDTH$}"));
    let start = Instant::now();
    let result = work();
    match &result {
        Ok(_) => say(&format!("{:>7.1} s", start.elapsed().as_secs_f64())),
        Err(_) => say(" failed"),
    }
    result
}

/// Says one line.
pub fn say(line: &str) {
    write(&format!("{line}\n"));
}

/// Says part of a line, at once. A closed pipe is no reason to stop working.
pub fn write(text: &str) {
    let _closed_pipe = LOG.with_borrow_mut(|log| match log {
        Some(file) => file.write_all(text.as_bytes()),
        None => {
            let mut stdout = std::io::stdout();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        }
    });
}

/// Does some work while everything that it says on this thread goes to a log.
pub fn logged<T>(log: File, work: impl FnOnce() -> T) -> T {
    let before = LOG.replace(Some(log));
    let result = work();
    LOG.set(before);
    result
}
