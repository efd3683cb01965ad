//! Everything that can be said about manifests without a cluster, a warehouse or a destination.

mod parts;
mod references;
mod rules;
mod shape;
mod show;

pub(crate) use show::show;

use crate::args::Input;
use crate::files;
use crate::manifests::Manifests;
use crate::problem::Problem;
use crate::secrets::Given;

/// Reads manifests and finds all that is wrong with them, by file and line.
#[must_use]
pub(crate) fn load(input: &Input, given: &Given) -> (Manifests, Vec<Problem>) {
    let mut problems = Vec::new();
    let files = files::read(&input.files, input.recursive, &mut problems);
    let manifests = Manifests::read(files, &input.namespace, &mut problems);
    found(&manifests, given, &mut problems);
    problems.sort_by_cached_key(|problem| {
        (input.rank(&problem.file), problem.file.clone(), problem.line, problem.column, problem.severity)
    });
    problems.dedup();
    (manifests, problems)
}

/// Finds all that is wrong with manifests.
fn found(manifests: &Manifests, given: &Given, problems: &mut Vec<Problem>) {
    for resource in &manifests.resources {
        let mut found = Vec::new();
        shape::check(resource, &mut found);
        parts::check(manifests, resource, &mut found);
        problems.extend(found);
    }
    references::check(manifests, given, problems);
}

#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod tests;
