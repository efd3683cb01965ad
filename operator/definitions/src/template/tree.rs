//! Objects and lists with templates in them.

use backflow_expressions::Json;

use super::bound::Bound;
use super::scope::{EvalError, Scope, Variable};
use super::{Condition, Template};

/// Any value of a definition, texts in it being templates.
#[derive(Debug)]
pub enum Tree {
    /// A value.
    Leaf(Template),
    /// The list of a request's items.
    Items,
    /// A list.
    List(Vec<Tree>),
    /// An object.
    Object {
        /// Objects whose members are put in: of two that give the same member the later counts.
        spread: Vec<Template>,
        /// Members by their names, which may be templates of settings and config. Those that are
        /// there count more than those that are spread.
        members: Vec<(Template, Tree)>,
    },
}

impl Tree {
    /// Prepares it for one run: whatever depends on settings and config alone is computed once.
    ///
    /// # Errors
    /// A name or a value has none with these settings and this config.
    pub fn bind(&self, constants: &Scope<'_>) -> Result<Bound, EvalError> {
        Bound::new(self, constants)
    }

    /// Whether the items stand in it.
    #[must_use]
    pub fn holds_items(&self) -> bool {
        match self {
            Self::Leaf(_) => false,
            Self::Items => true,
            Self::List(items) => items.iter().any(Self::holds_items),
            Self::Object { members, .. } => members.iter().any(|(_, member)| member.holds_items()),
        }
    }

    /// Whether any template in it names a variable.
    #[must_use]
    pub fn names(&self, variable: Variable) -> bool {
        self.templates().into_iter().any(|template| template.names(variable))
    }

    /// Every template in it, those of names too.
    pub(crate) fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Leaf(template) => vec![template],
            Self::Items => Vec::new(),
            Self::List(items) => items.iter().flat_map(Self::templates).collect(),
            Self::Object { spread, members } => {
                let members = members.iter().flat_map(|(name, member)| std::iter::once(name).chain(member.templates()));
                spread.iter().chain(members).collect()
            }
        }
    }

    /// The value; none if it is left out. The items have no value here.
    ///
    /// # Errors
    /// A template has no value.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Option<Json>, EvalError> {
        match self {
            Self::Leaf(template) => template.value(scope),
            Self::Items => Ok(None),
            Self::List(items) => {
                let items = items.iter().filter_map(|item| item.value(scope).transpose());
                items.collect::<Result<_, _>>().map(|items| Some(Json::List(items)))
            }
            Self::Object { spread, members } => {
                let mut object = std::collections::BTreeMap::new();
                for template in spread {
                    match template.value(scope)? {
                        None | Some(Json::Null) => {}
                        Some(Json::Object(members)) => object.extend(members),
                        Some(_) => return Err(EvalError(format!("{} is no object", template.source()))),
                    }
                }
                for (name, member) in members {
                    let name = name.text(scope)?.ok_or_else(|| EvalError("the name of a member is none".to_owned()))?;
                    if let Some(value) = member.value(scope)? {
                        object.insert(name, value);
                    }
                }
                Ok(Some(Json::Object(object)))
            }
        }
    }
}

impl Template {
    /// Whether it is the same for all records of a run.
    pub(super) fn constant_in_run(&self) -> bool {
        self.leaves().all(|leaf| {
            let run = [Variable::Settings.as_str(), Variable::Cfg.as_str()];
            leaf.references.variables.keys().all(|name| run.contains(&name.as_str()))
        })
    }
}

impl Condition {
    /// What the condition's members of a variable are.
    pub(crate) fn members(&self, variable: Variable) -> impl Iterator<Item = &str> {
        let members = self.leaf.references.variables.get(variable.as_str());
        members.into_iter().flat_map(|members| members.named.keys().map(String::as_str))
    }
}
