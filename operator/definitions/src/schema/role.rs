//! What a destination makes of a field before it is sent.

use backflow_expressions::Json;
use backflow_expressions::texts::{TEXT_FUNCTIONS, TextFunction};
use backflow_expressions::{hash, normalize, time};

/// What the destination uses a field for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It finds the record by it.
    MatchKey,
    /// It puts the record into it: a list, an audience.
    GroupKey,
    /// It knows an event by it.
    EventId,
    /// When an event happened.
    EventTime,
}

/// What SQL NULL becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNull {
    /// JSON null.
    Send,
    /// Nothing: the field is left out.
    Omit,
    /// The record is rejected.
    Reject,
}

/// How a text is hashed: in hexadecimal, never twice, never an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha1,
    /// MD5.
    Md5,
}

impl Hash {
    /// The hash; none of an empty text.
    #[must_use]
    pub fn of(self, text: &str) -> Option<String> {
        match self {
            Self::Sha256 => hash::sha256(text),
            Self::Sha1 => hash::sha1(text),
            Self::Md5 => hash::md5(text),
        }
    }
}

/// One step of `x-normalize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormalizeStep(Step);

#[derive(Clone, Copy)]
enum Step {
    Text(TextFunction),
    Phone,
    Zip,
    Unix,
    UnixMillis,
    UnixMicros,
}

/// Functions of one text that normalise nothing.
const NOT_HERE: [&str; 4] = ["sha256", "sha1", "md5", "title"];

impl NormalizeStep {
    /// The step of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(Self(match name {
            "phone" => Step::Phone,
            "zip" => Step::Zip,
            "unix" => Step::Unix,
            "unixMillis" => Step::UnixMillis,
            "unixMicros" => Step::UnixMicros,
            _ => Step::Text(*TEXT_FUNCTIONS.iter().find(|one| one.name == name && !NOT_HERE.contains(&name))?),
        }))
    }

    /// The names of all steps.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let of_text = TEXT_FUNCTIONS.iter().map(|function| function.name).filter(|name| !NOT_HERE.contains(name));
        of_text.chain(["phone", "zip", "unix", "unixMillis", "unixMicros"])
    }

    /// What the step makes of a text; nothing of what is none.
    #[must_use]
    pub fn of(self, text: &str) -> Option<Json> {
        match self.0 {
            Step::Text(function) => (function.rule)(text).map(Json::Text),
            Step::Phone => normalize::phone(text, None).map(Json::Text),
            Step::Zip => normalize::zip(text, None).map(Json::Text),
            Step::Unix => time::instant(text).map(|instant| Json::Int(instant.as_second())),
            Step::UnixMillis => time::instant(text).map(|instant| Json::Int(instant.as_millisecond())),
            Step::UnixMicros => time::instant(text).map(|instant| Json::Int(instant.as_microsecond())),
        }
    }

    fn name(self) -> &'static str {
        match self.0 {
            Step::Text(function) => function.name,
            Step::Phone => "phone",
            Step::Zip => "zip",
            Step::Unix => "unix",
            Step::UnixMillis => "unixMillis",
            Step::UnixMicros => "unixMicros",
        }
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NormalizeStep(*self).name())
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        NormalizeStep(*self).name() == NormalizeStep(*other).name()
    }
}

impl Eq for Step {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_its_name_and_hashes_are_none() {
        for name in NormalizeStep::names() {
            assert_eq!(NormalizeStep::named(name).map(NormalizeStep::name), Some(name));
        }
        assert_eq!(NormalizeStep::named("sha256"), None);
        let of = |name: &str, text: &str| NormalizeStep::named(name).and_then(|step| step.of(text));
        assert_eq!(of("email", " A@b.C "), Some(Json::Text("a@b.c".into())));
        assert_eq!(of("email", "nobody"), None);
        assert_eq!(of("unix", "2026-03-01T12:00:00Z"), Some(Json::Int(1_772_366_400)));
        assert_eq!(of("unixMillis", "1772366400"), Some(Json::Int(1_772_366_400_000)));
    }
}
