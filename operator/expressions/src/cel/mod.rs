//! The Common Expression Language, bounded: what an expression may cost is known before it is evaluated.
//!
//! Integers are CEL's `int`; decimals are text, with all their digits, until `num()` makes numbers of them. `optional.none()` is no
//! value: it is left out of objects and lists.

mod check;
mod functions;
mod value;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use backflow_core::cell::Cell;
use cel::common::types::{CelMap, CelMapKey};
use cel::{Context, Env, ExecutionError, ParseErrors, Program, Value};

use crate::json::{Json, Unreadable};
use crate::references::{LONGEST, References};

/// Brackets in each other, at most.
const BRACKETS: usize = 12;
/// Bytes that a parser may use; they are taken from the system as far as it does.
const STACK: usize = 64 << 20;

/// What an expression may name, and how mistakes are explained to those who write it.
#[derive(Clone, Copy)]
pub struct Variables<'a> {
    /// The names of the variables.
    pub names: &'a [&'a str],
    /// What is wrong with another name: one sentence.
    pub unknown: &'a (dyn Fn(&str) -> String + Sync),
    /// What to do instead of a long or deep expression: the end of a sentence.
    pub simpler: &'a str,
}

/// An expression that was read and checked.
#[derive(Debug)]
pub struct Expression(Program);

/// Compiles an expression and says what it refers to.
///
/// # Errors
/// All mistakes, each a sentence with its place.
pub fn compile(source: &str, variables: &Variables<'_>) -> Result<(Expression, References), Vec<String>> {
    let simpler = variables.simpler;
    if source.chars().count() > LONGEST {
        return Err(vec![format!("it is longer than {LONGEST} characters; {simpler}")]);
    }
    if nesting(source) > BRACKETS {
        return Err(vec![format!("it has more than {BRACKETS} brackets in each other; {simpler}")]);
    }
    let language = language().map_err(|error| vec![error])?;
    on_a_deep_stack(|| {
        let program = language.compile(source).map_err(|errors| sentences(&errors))?;
        let references = check::check(&program, variables)?;
        Ok((Expression(program), references))
    })
}

/// The parser calls itself for each member of `a.b.c`, before anyone can count them: 4096 characters need more stack than a thread has.
fn on_a_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, Vec<String>> + Send) -> Result<T, Vec<String>> {
    let failed = |reason: &str| vec![format!("it could not be read: {reason}; this is an error of the program")];
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        thread.map_err(|error| failed(&error.to_string()))?.join().map_err(|_| failed("the parser panicked"))?
    })
}

/// What the variables of expressions are: made once, and shared by all that are evaluated over it.
pub struct Values<'v>(Context<'v, 'v>);

impl fmt::Debug for Values<'_> {
    /// The values may be anybody's: they are not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

impl<'v> Values<'v> {
    /// No variables yet.
    ///
    /// # Errors
    /// This program declares a function twice.
    pub fn new() -> Result<Self, String> {
        Ok(Self(Context::with_env(language()?)))
    }

    /// Adds a variable that is a document.
    pub fn add(&mut self, name: &str, value: Json) {
        self.0.add_variable_as_val(name, value::of_json(value));
    }

    /// Adds a variable whose members are cells of a row.
    ///
    /// # Errors
    /// A JSON column holds none.
    pub fn add_cells(&mut self, name: &str, cells: impl Iterator<Item = (&'v str, &'v Cell)>) -> Result<(), String> {
        let members = cells.map(|(name, cell)| Ok((CelMapKey::from(name), value::of_cell(cell)?)));
        let members = members
            .collect::<Result<HashMap<_, _>, Unreadable>>()
            .map_err(|error| format!("a JSON column: {error}"))?;
        self.0.add_variable_as_val(name, Box::new(CelMap::from(members)));
        Ok(())
    }
}

impl Expression {
    /// The value, none for `optional.none()`; or, in words without any of the values, why there is none.
    ///
    /// # Errors
    /// It has no value for these variables.
    pub fn evaluate(&self, values: &Values<'_>) -> Result<Option<Json>, String> {
        self.in_context(&values.0)
    }

    /// The same with one more variable.
    ///
    /// # Errors
    /// It has no value for these variables.
    pub fn evaluate_with(&self, values: &Values<'_>, name: &str, value: Json) -> Result<Option<Json>, String> {
        let mut scope = values.0.new_inner_scope();
        scope.add_variable_as_val(name, value::of_json(value));
        self.in_context(&scope)
    }

    fn in_context(&self, context: &Context<'_, '_>) -> Result<Option<Json>, String> {
        Value::resolve_val(self.0.expression(), context)
            .and_then(|value| value::to_json(value.as_ref()))
            .map_err(|error| reason(&error))
    }
}

/// How deep brackets stand in each other. Those in texts count, too: no expression needs that many.
fn nesting(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for char in source.chars() {
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn language() -> Result<Arc<Env>, String> {
    let declared = functions::LANGUAGE.as_ref();
    declared.map(Arc::clone).map_err(|error| format!("{error}; this is an error of the program"))
}

fn sentences(errors: &ParseErrors) -> Vec<String> {
    let most = 3;
    let sentence = |error: &cel::ParseError| {
        let message = error.msg.trim_start_matches("Syntax error: ");
        format!("at line {}, character {}: {message}", error.pos.0, error.pos.1)
    };
    errors.errors.iter().take(most).map(sentence).collect()
}

/// Why an expression has no value. The errors of the interpreter hold values of the row; names of functions and types do not.
fn reason(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(_) => {
            "it names a member that is not there; write .?member, or ask has() first".to_owned()
        }
        ExecutionError::NoSuchOverload(overload) => {
            let types = overload.argument_types().join(", ");
            let function = overload.function().trim_matches('_');
            format!(
                "\"{function}\" does not go with ({types}); num(x) makes numbers of texts, string(x) texts, coalesce(x, y) replaces null"
            )
        }
        ExecutionError::UnexpectedType { .. } | ExecutionError::UnsupportedTargetType { .. } => {
            "a value has a type that it cannot have there".to_owned()
        }
        ExecutionError::ValuesNotComparable(..) => {
            "two values of different types cannot be compared; num(x) makes numbers of texts".to_owned()
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number leaves the range of 64 bits".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => "a list has fewer items than it asks for; write list[?0]".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map names a key twice".to_owned(),
        ExecutionError::FunctionError { function, .. } => format!("{function}() cannot do it with this value"),
        _ => "it has no value for this row".to_owned(),
    }
}

/// The names of all functions, each once for every way that it is called.
pub fn functions() -> impl Iterator<Item = &'static str> {
    functions::signatures().map(|(name, ..)| name)
}

#[cfg(test)]
mod tests;
