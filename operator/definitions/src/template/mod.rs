//! Values of a definition: texts with expressions in them, conditions, and trees of both.
//!
//! A [`Template`] is a text; `${…}` in it holds an expression. Exactly one expression and nothing else gives its value as it is,
//! otherwise everything becomes one text. What an expression may name is decided where the definition is read, so nothing unknown is
//! left when it is evaluated.

mod allowed;
mod bound;
mod path;
mod scope;
mod split;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

use backflow_expressions::{Expression, Json, References, Values, encode};

pub(crate) use allowed::{Allowed, Promised};
pub use bound::{Bound, Envelope};
use path::{Found, Path};
pub use scope::{EvalError, RecordScope, Scope, Variable};
pub(crate) use split::{Piece as Split, split};
pub use tree::Tree;

/// A text with expressions in it.
#[derive(Debug)]
pub struct Template {
    source: String,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Without expressions: a text, or what the file has in its place (a number, `true`).
    Constant(Json),
    /// One expression and nothing else.
    Value(Arc<Leaf>),
    /// Texts and expressions, put together.
    Text(Vec<Piece>),
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Arc<Leaf>),
}

/// One expression.
#[derive(Debug)]
pub(crate) struct Leaf {
    path: Option<Path>,
    expression: Expression,
    references: References,
}

/// An expression that holds or not.
#[derive(Debug)]
pub struct Condition {
    source: String,
    leaf: Leaf,
}

impl Template {
    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value, if it is the same always.
    #[must_use]
    pub fn constant(&self) -> Option<&Json> {
        if let Body::Constant(value) = &self.body { Some(value) } else { None }
    }

    /// The value; none for `optional.none()`.
    ///
    /// # Errors
    /// An expression has no value here, or a part of a text is none.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Option<Json>, EvalError> {
        match &self.body {
            Body::Constant(value) => Ok(Some(value.clone())),
            Body::Value(leaf) => leaf.value(scope),
            Body::Text(pieces) => joined(pieces, scope).map(|text| Some(Json::Text(text))),
        }
    }

    /// The value as text; none for null and `optional.none()`.
    ///
    /// # Errors
    /// As [`Template::value`], and it is a list or an object.
    pub fn text(&self, scope: &Scope<'_>) -> Result<Option<String>, EvalError> {
        match self.value(scope)? {
            None | Some(Json::Null) => Ok(None),
            Some(value) => Ok(Some(value.text().ok_or_else(|| not_a_text(&self.source))?.into_owned())),
        }
    }

    /// The value as part of a URL's path: what expressions give is one segment each.
    ///
    /// # Errors
    /// As [`Template::text`]; and a part that is null, not there or empty, which would make another path.
    pub fn path(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let segment = |value: Option<Json>| match value.as_ref().and_then(Json::text) {
            Some(text) if !text.is_empty() => Ok(encode::segment(&text)),
            _ => Err(EvalError(format!("a part of the path {} is empty", self.source))),
        };
        match &self.body {
            Body::Constant(value) => Ok(value.text().unwrap_or_default().into_owned()),
            Body::Value(leaf) => segment(leaf.value(scope)?),
            Body::Text(pieces) => {
                let mut path = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => path.push_str(text),
                        Piece::Value(leaf) => path.push_str(&segment(leaf.value(scope)?)?),
                    }
                }
                Ok(path)
            }
        }
    }

    /// Whether it names a variable.
    #[must_use]
    pub fn names(&self, variable: Variable) -> bool {
        self.leaves().any(|leaf| leaf.references.names(variable.as_str()))
    }

    /// The members of a variable that it names, each with whether it must be there.
    pub(crate) fn members(&self, variable: Variable) -> impl Iterator<Item = (&str, bool)> {
        let members = self.leaves().filter_map(move |leaf| leaf.references.variables.get(variable.as_str()));
        members.flat_map(|members| &members.named).map(|(name, asked)| (name.as_str(), asked.must_be_there()))
    }

    fn leaves(&self) -> impl Iterator<Item = &Arc<Leaf>> {
        let (one, many) = match &self.body {
            Body::Constant(_) => (None, &[][..]),
            Body::Value(leaf) => (Some(leaf), &[][..]),
            Body::Text(pieces) => (None, &pieces[..]),
        };
        one.into_iter().chain(many.iter().filter_map(|piece| match piece {
            Piece::Value(leaf) => Some(leaf),
            Piece::Text(_) => None,
        }))
    }
}

impl Condition {
    /// As it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds. One that has no value does not.
    #[must_use]
    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        self.leaf.value(scope) == Ok(Some(Json::Bool(true)))
    }

    /// The members of a variable that it names; nothing if it looks at all of them.
    #[must_use]
    pub fn named(&self, variable: Variable) -> Option<Vec<&str>> {
        match self.leaf.references.variables.get(variable.as_str()) {
            Some(members) if members.whole => None,
            Some(members) => Some(members.named.keys().map(String::as_str).collect()),
            None => Some(Vec::new()),
        }
    }

    /// Whether it names a variable.
    #[must_use]
    pub fn names(&self, variable: Variable) -> bool {
        self.leaf.references.names(variable.as_str())
    }
}

impl Leaf {
    fn value(&self, scope: &Scope<'_>) -> Result<Option<Json>, EvalError> {
        if let Some(path) = &self.path {
            match path.find(scope) {
                Found::Value(value) => return Ok(Some(value)),
                Found::Nothing => return Ok(None),
                Found::Unclear => {}
            }
        }
        self.interpreted(&scope.values([&self.references])?)
    }

    fn interpreted(&self, values: &Values<'_>) -> Result<Option<Json>, EvalError> {
        self.expression.evaluate(values).map_err(EvalError)
    }
}

/// Texts and values as one text.
fn joined(pieces: &[Piece], scope: &Scope<'_>) -> Result<String, EvalError> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Value(leaf) => {
                let value = leaf.value(scope)?;
                let text = value.as_ref().and_then(Json::text);
                out.push_str(&text.ok_or_else(|| EvalError("a value inside of a text is none".to_owned()))?);
            }
        }
    }
    Ok(out)
}

fn not_a_text(source: &str) -> EvalError {
    EvalError(format!("{source} is a list or an object, where a text is needed"))
}
