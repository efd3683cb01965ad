//! What a command says while it works: one line per step, with the seconds it took.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

/// Width of the step's name before its seconds.
const WIDTH: usize = 44;

/// Where it is said instead of on standard output: the log of a test suite.
static LOG: Mutex<Option<File>> = Mutex::new(None);

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
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let _closed_pipe = match log.as_mut() {
        Some(file) => file.write_all(text.as_bytes()),
        None => {
            let mut stdout = std::io::stdout();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        }
    };
}

/// Does some work while everything it says goes to a log.
pub fn logged<T>(log: File, work: impl FnOnce() -> T) -> T {
    let set = |log: Option<File>| std::mem::replace(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner), log);
    let before = set(Some(log));
    let result = work();
    set(before);
    result
}
