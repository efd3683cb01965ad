//! What an expression refers to.

use std::collections::{BTreeMap, BTreeSet};

/// Characters of a template or an expression, at most.
pub const LONGEST: usize = 4096;

/// What an expression refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Of each variable that it names, what it asks of it.
    pub variables: BTreeMap<String, Members>,
    /// Loops in each other.
    pub loops: usize,
}

/// What is asked of a variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Its members by name, and how each is asked for.
    pub named: BTreeMap<String, Asked>,
    /// What is asked of those members in turn, by name.
    pub below: BTreeMap<String, BTreeSet<String>>,
    /// The variable as a whole.
    pub whole: bool,
}

/// How a member is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// As `x.name`: without the member it is an error.
    pub strictly: bool,
    /// As `has(x.name)`.
    pub guarded: bool,
}

impl Asked {
    /// Whether it is an error if the member is not there.
    #[must_use]
    pub const fn must_be_there(self) -> bool {
        self.strictly && !self.guarded
    }
}

impl References {
    /// Whether the variable is named.
    #[must_use]
    pub fn names(&self, variable: &str) -> bool {
        self.variables.contains_key(variable)
    }
}
