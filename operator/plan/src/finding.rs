//! What is wrong with a manifest.

pub use backflow_crds::v1alpha1::Finding;

/// The most findings that a status holds; more are counted in a last line.
const MAX: usize = 50;

/// Collects findings.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one: `path` as in the manifest (`spec.fields.id`), `code` a reason's name, `message` what, where and the cure.
    pub fn add(&mut self, path: impl Into<String>, code: &str, message: impl Into<String>) {
        self.0.push(Finding { path: path.into(), code: code.to_owned(), message: message.into() });
    }

    /// Adds a finding for something that this version does not do yet.
    pub fn not_supported(&mut self, path: impl Into<String>, instead: &str) {
        let path = path.into();
        let message = format!("{path} is not supported by this version; {instead}");
        self.add(path, "NotSupported", message);
    }

    /// Adds what a part found, whose paths begin at `root`.
    pub fn extend_at(&mut self, root: &str, found: impl IntoIterator<Item = backflow_core::finding::Finding>) {
        for finding in found {
            self.add(format!("{root}.{}", finding.path), finding.code, finding.message);
        }
    }

    /// `value` if nothing was found, else everything that was, cut to what a status holds.
    ///
    /// # Errors
    /// The findings.
    pub fn finish<T>(mut self, value: T) -> Result<T, Vec<Finding>> {
        if self.0.is_empty() {
            return Ok(value);
        }
        if self.0.len() > MAX {
            let more = self.0.len() - MAX;
            self.0.truncate(MAX);
            self.add("spec", "MoreFindings", format!("and {more} more findings; mend these first"));
        }
        Err(self.0)
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
