//! The definition that a plan was made for.

use std::sync::{Mutex, PoisonError};

use backflow_core::code::{Code, Failure};
use backflow_core::plan::DestinationPlan;
use backflow_yaml::Node;
use serde_json::Value;

use crate::builtin::builtin;
use crate::definition::Definition;
use crate::load::load_supplied;

/// Definitions that came with plans. They live as long as the program, as the built-in ones do: a worker has one plan, and a command
/// as many definitions as its manifests hold.
static SUPPLIED: Mutex<Vec<(String, Value, &'static Definition)>> = Mutex::new(Vec::new());

/// The definition of a plan: the one that came with it, or the built-in one of its name.
///
/// # Errors
/// [`Code::PlanInvalid`]: this program has none of this name, or does not understand the one that came with the plan.
pub fn planned(plan: &DestinationPlan) -> Result<&'static Definition, Failure> {
    let invalid = |message: String| Failure::new(Code::PlanInvalid, message);
    let Some(spec) = &plan.definition else {
        return builtin(&plan.kind)
            .ok_or_else(|| invalid(format!("destination type \"{}\" is not known to this version", plan.kind)));
    };
    let mut supplied = SUPPLIED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, _, known)) = supplied.iter().find(|(name, known, _)| *name == plan.kind && known == spec) {
        return Ok(known);
    }
    let definition = load_supplied(&plan.kind, &Node::from(spec)).map_err(|error| {
        let first = error.0.into_iter().next().map(|problem| format!("{}: {}", problem.path, problem.message));
        invalid(format!("the definition \"{}\" cannot be used: {}", plan.kind, first.unwrap_or_default()))
    })?;
    let definition: &'static Definition = Box::leak(Box::new(definition));
    supplied.push((plan.kind.clone(), spec.clone(), definition));
    Ok(definition)
}
