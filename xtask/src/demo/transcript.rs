//! A demo's output with what differs from run to run replaced, so that two runs can be compared.

use std::fs;

use anyhow::{Context as _, Result};

use super::Stage;
use crate::workspace::Workspace;

/// The page that shows both demos.
const PAGE: &str = "docs/demo.md";

/// What differs from machine to machine (what had to be built, what ran already) comes before this.
const BEGIN: &str = "── ";

/// The committed transcript.
///
/// # Errors
/// The page or its part is not there.
pub fn committed(workspace: &Workspace, stage: Stage) -> Result<String> {
    let page = fs::read_to_string(workspace.root.join(PAGE)).context(PAGE)?;
    let part = page.split(heading(stage)).nth(1).and_then(|part| part.split("```text\n").nth(1));
    let text =
        part.and_then(|part| part.split("```").next()).with_context(|| format!("{PAGE} has no part for this"))?;
    Ok(text.to_owned())
}

/// Writes what both demos printed into the page.
///
/// # Errors
/// The page cannot be written.
pub fn record(workspace: &Workspace, local: &str, cluster: &str) -> Result<()> {
    let mut page = String::from(
        "# What the demo prints\n\nMade by `cargo xtask demo --record`, and compared with each run of `cargo xtask test`. \
         What is built and started first is left out.\n",
    );
    for (stage, printed) in [(Stage::Cluster, cluster), (Stage::Local, local)] {
        page.push_str(&format!("\n{}\n\n```text\n{}\n```\n", heading(stage), shown(printed).trim()));
    }
    Ok(fs::write(workspace.root.join(PAGE), page)?)
}

fn heading(stage: Stage) -> &'static str {
    match stage {
        Stage::Cluster => "## `cargo xtask demo`",
        Stage::Local => "## `cargo xtask demo --local`",
    }
}

/// Everything after the first chapter, which is about the machine.
fn shown(printed: &str) -> &str {
    let second = printed.match_indices(BEGIN).nth(1).map_or(0, |(at, _)| at);
    &printed[second..]
}

/// Replaces durations, times, ages, sizes, paths and random names by placeholders, and folds runs of blanks (columns are as wide as
/// their widest cell).
#[must_use]
pub fn normalize(text: &str) -> String {
    let text = if text.contains("── The parts") { shown(text) } else { text };
    let lines = text.lines().map(|line| line.split_whitespace().map(word).collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n") + "\n"
}

/// One word: as it is, or its placeholder.
fn word(word: &str) -> String {
    let core = word.trim_matches(|c: char| matches!(c, '(' | ')' | ',' | '"' | '.' | ':'));
    if is_number(core) && word.contains('.') {
        return "<number>".into();
    }
    let value = core.split_once('=').map_or(core, |(_, value)| value);
    if value.starts_with("~/") || value.starts_with('/') {
        return "<path>".into();
    }
    if is_duration(core) {
        return word.replace(core, "<time>");
    }
    if is_timestamp(core) {
        return word.replace(core, "<timestamp>");
    }
    match core.rsplit_once('-') {
        // A run's name ends with the minute of its slot, or with a hash.
        Some((name, end)) if end.len() == 8 && end.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) => {
            word.replace(core, &format!("{name}-<run>"))
        }
        _ => word.to_owned(),
    }
}

fn is_number(word: &str) -> bool {
    word.contains('.') && word.parse::<f64>().is_ok()
}

/// `3s`, `1m12s`, `2h`, `120ms`, `4d`.
fn is_duration(word: &str) -> bool {
    let mut rest = word;
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        if digits == 0 || !matches!(&rest[digits..digits + unit], "ms" | "s" | "m" | "h" | "d") {
            return false;
        }
        rest = &rest[digits + unit..];
    }
    true
}

/// `2026-11-21T03:04:05Z`, with or without fractions.
fn is_timestamp(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[7] == b'-' && bytes[10] == b'T' && word.ends_with('Z')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_runs_is_replaced_and_counts_are_not() {
        let one = "customers-to-crm-29384756   Succeeded   10000   5   2.4s   73s\n  start  12.3 s\n";
        let two = "customers-to-crm-29384999  Succeeded  10000  5  31s  1m3s\n  start   1.9 s\n";
        assert_eq!(normalize(one), normalize(two));
        assert_ne!(normalize(one), normalize(&one.replace("10000", "9999")));
        assert_ne!(normalize(one), normalize(&one.replace("Succeeded", "Failed")));
        let paths = ["export KUBECONFIG=~/.cache/kubeconfig", "export KUBECONFIG=/elsewhere/kubeconfig", "export ~/x"];
        assert_eq!(paths.map(normalize), ["export <path>\n"; 3], "the cache may be anywhere");
        assert_eq!(normalize("at 2026-11-21T03:04:05Z"), "at <timestamp>\n");
    }
}
