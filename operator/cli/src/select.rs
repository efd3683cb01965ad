//! What of the manifests a command is about.

use backflow_core::finding::hint;

use crate::console::Console;
use crate::exit;
use crate::manifests::{KINDS, Manifests, Resource};
use crate::problem::Problem;

/// What to say of manifests in which there is nothing of ours.
#[must_use]
pub(crate) fn nothing(manifests: &Manifests) -> String {
    let others = match manifests.ignored {
        0 => String::new(),
        count => format!(" (there are {count} documents of other kinds)"),
    };
    format!("none of {} here{others}; name the folder that holds your manifests", KINDS.join(", "))
}

/// The resources of a kind, or those with the given names.
///
/// # Errors
/// In a sentence: there is none, or none of this name, or one name stands for several namespaces.
pub(crate) fn named<'a>(manifests: &'a Manifests, kind: &str, names: &[String]) -> Result<Vec<&'a Resource>, String> {
    let all: Vec<&Resource> = manifests.of_kind(kind).collect();
    if all.is_empty() {
        let found = if manifests.resources.is_empty() {
            nothing(manifests)
        } else {
            format!("there is no {kind} in these manifests; add one, or name its file with another -f")
        };
        return Err(found);
    }
    if names.is_empty() {
        return Ok(all);
    }
    for name in names {
        match all.iter().filter(|resource| resource.name == *name).count() {
            1 => {}
            0 => {
                let known = hint(name, all.iter().map(|resource| &*resource.name));
                return Err(format!("there is no {kind} \"{name}\" in these manifests {known}"));
            }
            _ => {
                return Err(format!(
                    "there are several {kind}s \"{name}\" in these manifests; name the file of one with -f"
                ));
            }
        }
    }
    Ok(all.into_iter().filter(|resource| names.contains(&resource.name)).collect())
}

/// The one resource of a kind, or the one with this name.
///
/// # Errors
/// As [`named`], and if there are several to choose from.
pub(crate) fn one<'a>(manifests: &'a Manifests, kind: &str, name: Option<&String>) -> Result<&'a Resource, String> {
    let found = named(manifests, kind, name.map(std::slice::from_ref).unwrap_or_default())?;
    match found.as_slice() {
        [one] => Ok(one),
        several => {
            let names = several.iter().map(|resource| &*resource.name).collect::<Vec<_>>().join(", ");
            Err(format!("there are several {kind}s ({names}); say which with --{} NAME", kind.to_lowercase()))
        }
    }
}

/// Prints what stands in the way of a command, as far as it is about these resources or about no resource at all. Returns the exit code
/// if something does. `relevant`: none for everything.
#[must_use]
pub(crate) fn refused(problems: &[Problem], relevant: Option<&[&Resource]>, console: &Console) -> Option<u8> {
    let is_about = |resource: &Resource, problem: &Problem| {
        (resource.title() == problem.resource && resource.file == problem.file)
            || resource.definition().is_some_and(|definition| definition == problem.resource)
    };
    let concerns = |problem: &&Problem| match relevant {
        Some(resources) => problem.resource.is_empty() || resources.iter().any(|resource| is_about(resource, problem)),
        None => true,
    };
    let errors: Vec<&Problem> = problems.iter().filter(|problem| problem.is_error()).filter(concerns).collect();
    for error in &errors {
        console.error(error);
    }
    (!errors.is_empty()).then_some(exit::USAGE)
}

/// Why a command cannot be done as it was asked for.
pub(crate) enum Why {
    /// By its arguments.
    Usage(String),
    /// By a manifest.
    Manifest(Box<Problem>),
}

impl From<String> for Why {
    fn from(message: String) -> Self {
        Self::Usage(message)
    }
}

impl From<Box<Problem>> for Why {
    fn from(problem: Box<Problem>) -> Self {
        Self::Manifest(problem)
    }
}

/// Prints why a command cannot be done. A finding may be the reason why something was not found; it says more.
#[must_use]
pub(crate) fn stopped(why: Why, problems: &[Problem], console: &Console) -> u8 {
    if let Some(code) = refused(problems, None, console) {
        return code;
    }
    match why {
        Why::Usage(message) => usage(&message, console),
        Why::Manifest(problem) => {
            console.error(problem);
            exit::USAGE
        }
    }
}

/// Prints why a command cannot be done as it was asked for.
#[must_use]
pub(crate) fn usage(message: &str, console: &Console) -> u8 {
    console.error(format_args!("error: {message}"));
    exit::USAGE
}
