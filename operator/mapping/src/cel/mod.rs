//! Fields in the Common Expression Language.
//!
//! An expression sees the columns that it names as members of `record`, and in `items.each` the `item`. Integers are CEL's `int`;
//! decimals are text, with all their digits, until `num()` makes numbers of them. `optional.none()` leaves the field out.

mod check;
mod functions;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use backflow_core::cell::Cell;
use cel::common::types::{CelMap, CelMapKey};
use cel::{Context, Env, ExecutionError, ParseErrors, Program, Value};

use crate::expression::{LONGEST, References};
use crate::json::{Json, Unreadable};

/// Brackets in each other, at most.
const BRACKETS: usize = 12;
/// Bytes that a parser may use; they are taken from the system as far as it does.
const STACK: usize = 64 << 20;

/// A field's expression.
#[derive(Debug)]
pub(crate) struct Expression(Program);

/// Compiles an expression and says what it refers to. `inside`: it stands in `items.each`.
///
/// # Errors
/// All mistakes, each a sentence with its place.
pub(crate) fn compile(source: &str, inside: bool) -> Result<(Expression, References), Vec<String>> {
    if source.chars().count() > LONGEST {
        return Err(vec![format!("it is longer than {LONGEST} characters; make the value in the Model's SQL")]);
    }
    if nesting(source) > BRACKETS {
        return Err(vec![format!(
            "it has more than {BRACKETS} brackets in each other; make the value in the Model's SQL"
        )]);
    }
    let language = language().map_err(|error| vec![error])?;
    on_a_deep_stack(|| {
        let program = language.compile(source).map_err(|errors| sentences(&errors))?;
        let references = check::check(&program, inside)?;
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

/// What expressions see of a row: the columns that any of them names. Each expression of a row shares it.
pub(crate) fn context<'v>(columns: impl Iterator<Item = (&'v str, &'v Cell)>) -> Result<Context<'v, 'v>, String> {
    let members = columns.map(|(name, cell)| Ok((CelMapKey::from(name), value::of_cell(cell)?)));
    let members =
        members.collect::<Result<HashMap<_, _>, Unreadable>>().map_err(|error| format!("a JSON column: {error}"))?;
    let mut context = Context::with_env(language()?);
    context.add_variable_as_val("record", Box::new(CelMap::from(members)));
    Ok(context)
}

impl Expression {
    /// The value, none for `optional.none()`; or, in words without any of the row's values, why there is none.
    pub(crate) fn evaluate(&self, context: &Context<'_, '_>, item: Option<&Json>) -> Result<Option<Json>, String> {
        let evaluated = |context: &Context<'_, '_>| {
            Value::resolve_val(self.0.expression(), context).and_then(|value| value::to_json(value.as_ref()))
        };
        match item {
            None => evaluated(context),
            Some(item) => {
                let mut scope = context.new_inner_scope();
                scope.add_variable_as_val("item", value::of_json(item.clone()));
                evaluated(&scope)
            }
        }
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

/// Names of functions.
#[cfg(test)]
pub(crate) fn functions() -> impl Iterator<Item = &'static str> {
    functions::signatures().map(|(name, ..)| name)
}

#[cfg(test)]
mod tests;
