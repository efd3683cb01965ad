//! What is wrong with a manifest.

use backflow_core::code::cut;
pub use backflow_crds::v1alpha1::Finding;

/// The most findings that a status holds, and the most bytes of them: with its conditions, a status has at most 16 KiB.
const MOST: usize = 50;
const MOST_BYTES: usize = 7 * 1024;
/// The longest path and message of a finding in a status.
const PATH: usize = 768;
const MESSAGE: usize = 1024;
/// What JSON adds to a finding.
const AROUND: usize = 48;

/// Collects findings.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one: `path` as in the manifest (`spec.fields.id`), `code` a reason's name, `message` what, where and the cure.
    pub fn add(&mut self, path: impl Into<String>, code: &str, message: impl Into<String>) {
        self.0.push(Finding { path: path.into(), code: code.to_owned(), message: message.into() });
    }

    /// Adds a finding for a value of a field that this version does not know what to do with yet.
    pub fn value_not_supported(&mut self, path: &str, value: &str, instead: &str) {
        self.add(path, "NotSupported", format!("{path}: {value} is not supported by this version; {instead}"));
    }

    /// Adds what a part found, whose paths begin at `root`.
    pub fn extend_at(&mut self, root: &str, found: impl IntoIterator<Item = backflow_core::finding::Finding>) {
        for finding in found {
            self.add(format!("{root}.{}", finding.path), finding.code, finding.message);
        }
    }

    /// `value` if nothing was found, else everything that was.
    ///
    /// # Errors
    /// The findings.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<Finding>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Cuts findings to what a status holds, and counts the rest in a last one.
#[must_use]
pub fn fit(findings: Vec<Finding>) -> Vec<Finding> {
    let all = findings.len();
    let mut left = MOST_BYTES;
    let mut kept: Vec<Finding> = findings
        .into_iter()
        .take(MOST)
        .map(|finding| Finding { path: cut(finding.path, PATH), message: cut(finding.message, MESSAGE), ..finding })
        .map_while(|finding| {
            left = left.checked_sub(finding.path.len() + finding.code.len() + finding.message.len() + AROUND)?;
            Some(finding)
        })
        .collect();
    if kept.len() < all {
        let message = format!("and {} more findings; mend these first", all - kept.len());
        kept.push(Finding { path: "spec".into(), code: "MoreFindings".into(), message });
    }
    kept
}
