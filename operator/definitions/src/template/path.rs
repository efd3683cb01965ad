//! Expressions that only name something: `f`, `f.a`, `body.?results`, `cfg.?list.orValue('')`. They are found at once, without an
//! interpreter. Whatever is not exactly as expected (a member that is not there though it must, a step into a text) is left to the
//! interpreter, so that there is one meaning and one set of messages.

use backflow_expressions::{Json, raw};

use super::scope::{RecMember, Scope, Variable};

/// An expression that names something.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) variable: Variable,
    pub(super) steps: Vec<Step>,
    /// What is said instead, if it is not there.
    pub(super) default: Option<Json>,
}

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: String,
    /// It may not be there.
    pub(super) optional: bool,
}

/// What was found.
#[derive(Debug, PartialEq)]
pub(super) enum Found<T> {
    Value(T),
    /// `optional.none()`.
    Nothing,
    /// Ask the interpreter.
    Unclear,
}

impl Path {
    /// Reads an expression; nothing if it is more than a path.
    pub(super) fn parse(source: &str) -> Option<Self> {
        let mut rest = source.trim();
        let variable = Variable::named(name(&mut rest)?)?;
        let mut steps: Vec<Step> = Vec::new();
        while let Some(after) = rest.strip_prefix('.') {
            let optional = after.starts_with('?');
            let mut after = after.strip_prefix('?').unwrap_or(after);
            let step = name(&mut after)?;
            if step == "orValue" && !optional {
                let last = steps.last().is_some_and(|step| step.optional);
                let constant = constant(after.strip_prefix('(')?.strip_suffix(')')?.trim())?;
                return last.then_some(Self { variable, steps, default: Some(constant) });
            }
            // Behind a step that may not be there, all steps must say so: the others are left to the interpreter.
            if after.starts_with('(') || (!optional && steps.last().is_some_and(|step| step.optional)) {
                return None;
            }
            steps.push(Step { name: step.to_owned(), optional });
            rest = after;
        }
        rest.is_empty().then_some(Self { variable, steps, default: None })
    }

    /// The value.
    pub(super) fn find<'a>(&'a self, scope: &Scope<'a>) -> Found<Json> {
        match self.variable {
            Variable::F | Variable::Rec => {
                let mut text = String::new();
                match self.write(scope, &mut text) {
                    Found::Value(()) => Json::parse(&text).map_or(Found::Unclear, Found::Value),
                    Found::Nothing => Found::Nothing,
                    Found::Unclear => Found::Unclear,
                }
            }
            variable => {
                let Some(mut value) = scope.get(variable) else { return Found::Unclear };
                for step in &self.steps {
                    let Json::Object(members) = value else { return Found::Unclear };
                    match members.get(&step.name) {
                        Some(member) => value = member,
                        None => return self.absent(step).map(|default| default.cloned()),
                    }
                }
                Found::Value(value.clone())
            }
        }
    }

    /// Appends the value as JSON.
    pub(super) fn write(&self, scope: &Scope<'_>, out: &mut String) -> Found<()> {
        match (self.variable, scope.record()) {
            (Variable::F, Some(record)) => self.write_raw(&record.record.data, &self.steps, out),
            (Variable::Rec, Some(record)) => {
                let Some((step, rest)) = self.steps.split_first() else { return Found::Unclear };
                let Some(member) = RecMember::named(&step.name) else { return Found::Unclear };
                if rest.is_empty() {
                    return if record.write_member(member, out) {
                        Found::Value(())
                    } else {
                        self.write_absent(step, out)
                    };
                }
                let mut text = String::new();
                if record.write_member(member, &mut text) {
                    self.write_raw(&text, rest, out)
                } else {
                    self.write_absent(step, out)
                }
            }
            _ => match self.find(scope) {
                Found::Value(value) => {
                    value.write(out);
                    Found::Value(())
                }
                Found::Nothing => Found::Nothing,
                Found::Unclear => Found::Unclear,
            },
        }
    }

    /// Steps into JSON text, and appends what is there.
    pub(super) fn write_raw(&self, text: &str, steps: &[Step], out: &mut String) -> Found<()> {
        let mut text = text;
        for step in steps {
            let Some(mut members) = raw::members(text) else { return Found::Unclear };
            match members.find(|(name, _)| name.is(&step.name)) {
                Some((_, value)) => text = value,
                None => return self.write_absent(step, out),
            }
        }
        out.push_str(text);
        Found::Value(())
    }

    pub(super) fn write_absent(&self, step: &Step, out: &mut String) -> Found<()> {
        match self.absent(step) {
            Found::Value(Some(default)) => {
                default.write(out);
                Found::Value(())
            }
            Found::Value(None) | Found::Nothing => Found::Nothing,
            Found::Unclear => Found::Unclear,
        }
    }

    fn absent(&self, step: &Step) -> Found<Option<&Json>> {
        match &self.default {
            _ if !step.optional => Found::Unclear,
            Some(default) => Found::Value(Some(default)),
            None => Found::Nothing,
        }
    }
}

impl Found<Option<&Json>> {
    fn map(self, owned: impl FnOnce(Option<&Json>) -> Option<Json>) -> Found<Json> {
        match self {
            Self::Value(value) => owned(value).map_or(Found::Nothing, Found::Value),
            Self::Nothing => Found::Nothing,
            Self::Unclear => Found::Unclear,
        }
    }
}

/// The name that a text begins with.
fn name<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let end = rest.find(|char: char| !(char.is_ascii_alphanumeric() || char == '_')).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let begins = name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_');
    *rest = after;
    begins.then_some(name)
}

/// A constant that both languages write in the same way.
fn constant(text: &str) -> Option<Json> {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    if let Some(inner) = quoted('\'').or_else(|| quoted('"')) {
        return (!inner.contains(['\'', '"', '\\'])).then(|| Json::Text(inner.to_owned()));
    }
    match text {
        "{}" | "[]" | "null" | "true" | "false" => Json::parse(text).ok(),
        _ => text.parse().ok().map(Json::Int),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_paths() {
        for source in ["f", "f.a", " f.a.b ", "f.?a", "f.a.?b.?c", "f.?a.orValue('')", "rec.key", "body.?x.orValue([])"]
        {
            assert!(Path::parse(source).is_some(), "{source}");
        }
        for source in [
            "",
            "g.a",
            "f.",
            "f.a.",
            "f..a",
            "f.?",
            "f.?a.b",
            "f.a + 1",
            "f.a.size()",
            "f.a.orValue(1)",
            "f['a']",
            "f.a[0]",
            "f.?a.orValue(f.b)",
            "f.?a.orValue('\\'')",
            "f.?a.orValue(1.5)",
            "f.1a",
            "size(f)",
            "f.?a.hasValue()",
        ] {
            assert_eq!(Path::parse(source), None, "{source}");
        }
    }
}
