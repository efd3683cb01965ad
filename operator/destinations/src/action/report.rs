//! Reading an answer by the rules of results.

use std::borrow::Cow;

use backflow_core::code::{Code, Failure};
use backflow_core::record::Record;
use backflow_definitions::{
    Class as Named, EvalError, Failed, RecordScope, Results, ResultsMode, Scope, Template, Unaccounted as Policy,
    UnaccountedRule, Variable, Verdict as Rule,
};
use backflow_expressions::Json;

use super::answer::{Answer, fault};
use crate::results::{Entry, EntryClass, Report, Unaccounted};

/// The answers that results are read from: of a job, each by its name.
pub(crate) struct Answers<'a> {
    pub(crate) named: Vec<(&'a str, &'a Answer)>,
    /// What rules without a name read.
    pub(crate) default: &'a Answer,
}

/// Why an answer cannot be read.
pub(crate) enum Unreadable {
    /// It is not of the form that the rules expect.
    Form(String),
    /// An entry says that nothing more is to be sent.
    Stop(Failure),
}

impl Unreadable {
    /// This template has no value.
    fn of(template: &Template, error: &EvalError) -> Self {
        Self::Form(format!("{}: {error}", template.source()))
    }
}

/// Reads what answers say of `records`.
pub(crate) struct Reader<'a> {
    pub(crate) results: &'static Results,
    /// What rules see but the answer.
    pub(crate) scope: Scope<'a>,
    pub(crate) answers: Answers<'a>,
    /// The records of the request, in its order, as `f` and `rec` show them.
    pub(crate) records: Vec<RecordScope<'a>>,
    /// What a failure is called that ends the run.
    pub(crate) shown: &'a str,
}

impl<'a> Reader<'a> {
    pub(crate) fn report(&self) -> Result<Report, Unreadable> {
        Ok(match &self.results.mode {
            ResultsMode::Whole => Report::Whole,
            ResultsMode::Accepted => Report::Accepted,
            ResultsMode::ByIndex { of, from, ok, remote_id, verdict } => {
                let entries = self.list(of.as_deref(), from)?.into_iter().map(|(index, it)| {
                    let scope = self.element(of.as_deref(), &index, &it);
                    match value(ok, &scope)? {
                        Some(Json::Bool(true)) => taken(remote_id.as_ref(), &scope),
                        _ => self.refused(verdict, &scope),
                    }
                });
                Report::ByIndex(entries.collect::<Result<_, _>>()?)
            }
            ResultsMode::ErrorsByIndex { failed } => Report::ErrorsByIndex(self.by_index(failed)?),
            ResultsMode::IndexMaps { failed } => Report::ErrorsByIndex(self.by_maps(failed)?),
            ResultsMode::Correlate { succeeded, failed } => {
                let mut entries = self.keyed(failed)?;
                if let Some(rule) = succeeded {
                    for (index, it) in self.list(rule.of.as_deref(), &rule.from)? {
                        let scope = self.element(rule.of.as_deref(), &index, &it);
                        entries.push((key(Some(&rule.about), &it, &scope), taken(rule.remote_id.as_ref(), &scope)?));
                    }
                }
                let sent = self.records.iter().map(|record| record.record.key.clone()).collect();
                Report::Correlated { sent, entries }
            }
            ResultsMode::FailedKeys { failed } => self.failed_keys(failed)?,
            ResultsMode::Counts { failed, sent } => {
                let scope = self.scope(None);
                let number =
                    |template: &Template| Ok::<_, Unreadable>(value(template, &scope)?.as_ref().and_then(count));
                let failed =
                    number(failed)?.ok_or_else(|| Unreadable::Form("it does not say how many failed".to_owned()))?;
                let sent = sent.as_ref().map(number).transpose()?.flatten();
                Report::Counts { taken: sent.map(|sent| sent.saturating_sub(failed)), failed }
            }
        })
    }

    /// What becomes of records that the answer does not mention.
    pub(crate) fn unaccounted(&self) -> Result<Unaccounted, Unreadable> {
        let policy = match &self.results.unaccounted {
            UnaccountedRule::Always(policy) => *policy,
            UnaccountedRule::Asked(template) => {
                let name = text(template, &self.scope(None))?;
                let policy = Policy::named(&name);
                policy.ok_or_else(|| Unreadable::Form("it does not say what became of the others".to_owned()))?
            }
        };
        Ok(match policy {
            Policy::Reject => Unaccounted::Reject,
            Policy::Retry => Unaccounted::Again,
            Policy::Succeed => Unaccounted::Taken,
        })
    }

    fn scope(&self, of: Option<&str>) -> Scope<'_> {
        let named = of.and_then(|of| self.answers.named.iter().find(|(name, _)| *name == of));
        named.map_or(self.answers.default, |(_, answer)| answer).scope(self.scope)
    }

    /// What rules about one element see.
    fn element<'s>(&'s self, of: Option<&str>, index: &'s Json, it: &'s Json) -> Scope<'s> {
        self.scope(of).with(Variable::It, it).with(Variable::Index, index)
    }

    /// The elements of a list, each with its place; none and null are an empty one.
    fn list(&self, of: Option<&str>, from: &Template) -> Result<Vec<(Json, Json)>, Unreadable> {
        match value(from, &self.scope(of))? {
            None | Some(Json::Null) => Ok(Vec::new()),
            Some(Json::List(items)) => Ok((0..).map(Json::Int).zip(items).collect()),
            Some(_) => Err(Unreadable::Form(format!("{} is no list", from.source()))),
        }
    }

    fn by_index(&self, failed: &[Failed]) -> Result<Vec<(Option<u64>, Entry)>, Unreadable> {
        let mut entries = Vec::new();
        for rule in failed {
            for (index, it) in self.list(rule.of.as_deref(), &rule.from)? {
                let scope = self.element(rule.of.as_deref(), &index, &it);
                let about = match &rule.about {
                    Some(template) => template.value(&scope).ok().flatten(),
                    None => Some(it.clone()),
                };
                entries.push((about.as_ref().and_then(count), self.refused(&rule.verdict, &scope)?));
            }
        }
        Ok(entries)
    }

    /// `{field: [0, 3], other: {missing: [1]}}`, or `[0, 3]`.
    fn by_maps(&self, failed: &[Failed]) -> Result<Vec<(Option<u64>, Entry)>, Unreadable> {
        fn collect(value: &Json, field: Option<&str>, into: &mut Vec<(Option<u64>, Option<String>)>) {
            match value {
                Json::List(items) => {
                    into.extend(items.iter().map(|item| (count(item), field.map(str::to_owned))));
                }
                Json::Object(members) => {
                    for (name, member) in members {
                        collect(member, Some(name), into);
                    }
                }
                _ => {}
            }
        }
        let mut entries = Vec::new();
        for rule in failed {
            let scope = self.scope(rule.of.as_deref());
            let Some(map) = value(&rule.from, &scope)? else { continue };
            let mut found = Vec::new();
            collect(&map, None, &mut found);
            for (index, field) in found {
                let mut entry = self.refused(&rule.verdict, &scope)?;
                if let (None, Some(field)) = (&entry.fault.field, &field) {
                    entry.fault.field = crate::results::Fault::read(None, Some(field)).field;
                }
                entries.push((index, entry));
            }
        }
        Ok(entries)
    }

    fn keyed(&self, failed: &[Failed]) -> Result<Vec<(Option<String>, Entry)>, Unreadable> {
        let mut entries = Vec::new();
        for rule in failed {
            for (index, it) in self.list(rule.of.as_deref(), &rule.from)? {
                let scope = self.element(rule.of.as_deref(), &index, &it);
                entries.push((key(rule.about.as_ref(), &it, &scope), self.refused(&rule.verdict, &scope)?));
            }
        }
        Ok(entries)
    }

    /// Rules may know records by different keys: all of them together name each record once for each rule.
    fn failed_keys(&self, failed: &[Failed]) -> Result<Report, Unreadable> {
        let mut entries = Vec::new();
        let mut sent = vec![Vec::new(); self.records.len()];
        for (number, rule) in failed.iter().enumerate() {
            let tagged = |key: String| format!("{number}:{key}");
            for (at, record) in self.records.iter().enumerate() {
                let scope = self.scope.with_record(*record);
                let known = rule.record_key.as_ref().and_then(|template| template.text(&scope).ok().flatten());
                sent[at].extend(known.filter(|key| !key.is_empty()).map(tagged));
            }
            for (key, entry) in self.keyed(std::slice::from_ref(rule))? {
                entries.push((key.filter(|key| !key.is_empty()).map(tagged), entry));
            }
        }
        Ok(Report::FailedKeys { sent, entries })
    }

    /// What a failure means.
    fn refused(&self, rule: &Rule, scope: &Scope<'_>) -> Result<Entry, Unreadable> {
        let class = match &rule.class {
            None => Named::Reject,
            Some(template) => {
                let name = text(template, scope)?;
                Named::named(&name).ok_or_else(|| Unreadable::Form("an entry has no class that there is".to_owned()))?
            }
        };
        let stop = |code, what: &str| {
            Err(Unreadable::Stop(Failure::new(code, format!("{} says of a record that {what}", self.shown))))
        };
        let class = match class {
            Named::Ok | Named::Ignore => EntryClass::Taken,
            Named::Reject | Named::SplitBatch => EntryClass::Rejected,
            Named::Retry | Named::Throttle => EntryClass::Again,
            Named::Auth => {
                return stop(
                    Code::DestinationUnauthorized,
                    "the credentials do not suffice; check spec.secrets and the account",
                );
            }
            Named::Config => {
                return stop(
                    Code::DestinationMisconfigured,
                    "an object, a list or a permission is not there; check spec.config of the Mapping and the account",
                );
            }
        };
        Ok(Entry { class, remote_id: None, fault: fault(&rule.words, scope) })
    }
}

/// The value of a template.
fn value(template: &Template, scope: &Scope<'_>) -> Result<Option<Json>, Unreadable> {
    template.value(scope).map_err(|error| Unreadable::of(template, &error))
}

/// The same as text, empty if there is none.
fn text(template: &Template, scope: &Scope<'_>) -> Result<String, Unreadable> {
    Ok(template.text(scope).map_err(|error| Unreadable::of(template, &error))?.unwrap_or_default())
}

fn taken(remote_id: Option<&Template>, scope: &Scope<'_>) -> Result<Entry, Unreadable> {
    let remote_id = remote_id.and_then(|template| template.value(scope).ok().flatten());
    let remote_id = remote_id.filter(|id| *id != Json::Null).map(|id| id.to_string().into());
    Ok(Entry { class: EntryClass::Taken, remote_id, fault: crate::results::Fault::default() })
}

/// What an element is about, as text.
fn key(about: Option<&Template>, it: &Json, scope: &Scope<'_>) -> Option<String> {
    match about {
        Some(template) => template.text(scope).ok().flatten(),
        None => it.text().map(Cow::into_owned),
    }
}

/// A number that counts something.
fn count(value: &Json) -> Option<u64> {
    match value {
        Json::Int(number) => u64::try_from(*number).ok(),
        Json::Float(number) if *number >= 0.0 && number.fract() == 0.0 => Some(*number as u64),
        Json::Text(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// The records of a request, as rules see them.
pub(crate) fn scopes<'a>(
    records: &'a [Record],
    part: &[u32],
    mut scope: impl FnMut(&'a Record) -> RecordScope<'a>,
) -> Vec<RecordScope<'a>> {
    part.iter().filter_map(|at| Some(scope(records.get(*at as usize)?))).collect()
}
