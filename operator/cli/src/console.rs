//! What goes to the terminal or the pipe. A reader that has gone away (`| head`) is no error.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

/// Standard output for results, standard error for everything around them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    /// Whether a person watches standard error: then there are progress bars.
    pub live: bool,
    /// Whether remarks are printed at all beside JSON.
    pub remarks: bool,
}

impl Console {
    /// The console of this process. `remarks`: whether lines around the results are wanted.
    #[must_use]
    pub(crate) fn new(remarks: bool) -> Self {
        Self { live: io::stderr().is_terminal(), remarks }
    }

    /// A line of the result.
    pub(crate) fn print(&self, line: impl Display) {
        let mut output = io::stdout().lock();
        let _ = writeln!(output, "{line}");
        let _ = output.flush();
    }

    /// A line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) {
        self.print(serde_json::to_string(value).unwrap_or_default());
    }

    /// A line beside the result.
    pub(crate) fn remark(&self, line: impl Display) {
        if self.remarks {
            self.error(line);
        }
    }

    /// A line about what went wrong: also beside JSON.
    pub(crate) fn error(&self, line: impl Display) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}
