//! Findings on paper.

use serde::Serialize;

use crate::args::Output;
use crate::console::Console;
use crate::manifests::Manifests;
use crate::problem::Problem;

/// What `validate -o json` prints.
#[derive(Serialize)]
struct Report<'a> {
    resources: usize,
    ignored: usize,
    errors: usize,
    warnings: usize,
    findings: &'a [Problem],
}

/// Prints all findings and a line that counts them.
pub(crate) fn show(manifests: &Manifests, problems: &[Problem], output: Output, console: &Console) {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let warnings = problems.len() - errors;
    let (resources, ignored) = (manifests.resources.len(), manifests.ignored);
    if output == Output::Json {
        console.json(&Report { resources, ignored, errors, warnings, findings: problems });
        return;
    }
    for problem in problems {
        console.print(problem);
    }
    let others = match ignored {
        0 => String::new(),
        _ => format!("; {} of other kinds not checked", counted(ignored, "document")),
    };
    let found = match (errors, warnings) {
        (0, 0) => "no findings".to_owned(),
        (0, _) => counted(warnings, "warning"),
        (_, 0) => counted(errors, "error"),
        _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    };
    console.print(format!("{}: {found}{others}", counted(resources, "resource")));
}

/// `1 error`, `2 errors`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
