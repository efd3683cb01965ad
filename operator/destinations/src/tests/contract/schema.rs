//! JSON Schema (2020-12) as far as the fixtures use it. Formats are asserted; a keyword that is not here is refused when a schema is read.
#![allow(clippy::mutable_key_type, reason = "a pattern is ordered by its text, which never changes")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use regex::Regex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A schema with the definitions that it refers to.
#[derive(Debug)]
pub(super) struct Schema {
    root: Rule,
    definitions: BTreeMap<String, Rule>,
}

/// `true`, `false`, or an object of keywords.
#[derive(Debug)]
enum Rule {
    Constant(bool),
    Keywords(Box<Keywords>),
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(constant) => Ok(Self::Constant(constant)),
            keywords => Ok(Self::Keywords(serde_json::from_value(keywords).map_err(D::Error::custom)?)),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Keywords {
    #[serde(rename = "$schema")]
    _schema: Option<String>,
    #[serde(rename = "title")]
    _title: Option<String>,
    #[serde(rename = "$defs")]
    definitions: BTreeMap<String, Rule>,
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "type", deserialize_with = "one_or_more")]
    kinds: Vec<Kind>,
    #[serde(rename = "const")]
    constant: Option<Value>,
    #[serde(rename = "enum")]
    choices: Option<Vec<Value>>,
    all_of: Vec<Rule>,
    any_of: Vec<Rule>,
    one_of: Vec<Rule>,
    not: Option<Rule>,
    #[serde(rename = "if")]
    condition: Option<Rule>,
    then: Option<Rule>,
    properties: BTreeMap<String, Rule>,
    #[serde(deserialize_with = "by_pattern")]
    pattern_properties: Vec<(Pattern, Rule)>,
    additional_properties: Option<Rule>,
    property_names: Option<Rule>,
    required: Vec<String>,
    min_properties: Option<usize>,
    max_properties: Option<usize>,
    items: Option<Rule>,
    prefix_items: Vec<Rule>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    unique_items: bool,
    min_length: Option<usize>,
    max_length: Option<usize>,
    pattern: Option<Pattern>,
    format: Option<Format>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::Number => value.is_number(),
            Self::String => value.is_string(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    DateTime,
    Date,
    Email,
    Uri,
    Uuid,
}

impl Format {
    fn is_of(self, text: &str) -> bool {
        match self {
            Self::DateTime => text.parse::<jiff::Timestamp>().is_ok(),
            Self::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Self::Email => text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.')),
            Self::Uri => url::Url::parse(text).is_ok(),
            Self::Uuid => {
                let digits: Vec<usize> = text.split('-').map(str::len).collect();
                digits == [8, 4, 4, 4, 12] && text.chars().all(|char| char == '-' || char.is_ascii_hexdigit())
            }
        }
    }
}

/// A regular expression.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(text: String) -> Result<Self, regex::Error> {
        Regex::new(&text).map(Self)
    }
}

fn by_pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Pattern, Rule)>, D::Error> {
    let rules = BTreeMap::<String, Rule>::deserialize(deserializer)?;
    rules.into_iter().map(|(text, rule)| Ok((Pattern::try_from(text).map_err(D::Error::custom)?, rule))).collect()
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Kind>, D::Error> {
    let kinds = match Value::deserialize(deserializer)? {
        Value::Array(kinds) => Value::Array(kinds),
        kind => Value::Array(vec![kind]),
    };
    serde_json::from_value(kinds).map_err(D::Error::custom)
}

impl Schema {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut root: Rule = serde_json::from_str(text)?;
        let definitions = match &mut root {
            Rule::Constant(_) => BTreeMap::new(),
            Rule::Keywords(keywords) => std::mem::take(&mut keywords.definitions),
        };
        let schema = Self { root, definitions };
        for rule in schema.definitions.values().chain([&schema.root]) {
            schema.refers(rule)?;
        }
        Ok(schema)
    }

    /// Whether every reference leads somewhere.
    fn refers(&self, rule: &Rule) -> anyhow::Result<()> {
        let Rule::Keywords(keywords) = rule else { return Ok(()) };
        ensure!(keywords.definitions.is_empty(), "$defs stands at the top only");
        if let Some(reference) = &keywords.reference {
            self.definition(reference).with_context(|| format!("$ref {reference} leads nowhere"))?;
        }
        keywords.parts().try_for_each(|part| self.refers(part))
    }

    fn definition(&self, reference: &str) -> Option<&Rule> {
        self.definitions.get(reference.strip_prefix("#/$defs/")?)
    }

    /// What is wrong with a value: places and keywords, but nothing of the value. At most `most` findings.
    pub(super) fn findings(&self, value: &Value, most: usize) -> Vec<String> {
        let mut findings = Vec::new();
        self.judge(&self.root, value, "", &mut findings);
        findings.truncate(most);
        findings
    }

    fn fits(&self, rule: &Rule, value: &Value) -> bool {
        let mut findings = Vec::new();
        self.judge(rule, value, "", &mut findings);
        findings.is_empty()
    }

    fn judge(&self, rule: &Rule, value: &Value, at: &str, findings: &mut Vec<String>) {
        let keywords = match rule {
            Rule::Constant(true) => return,
            Rule::Constant(false) => return findings.push(format!("{at} may not be there")),
            Rule::Keywords(keywords) => keywords,
        };
        if let Some(rule) = keywords.reference.as_ref().and_then(|reference| self.definition(reference)) {
            self.judge(rule, value, at, findings);
        }
        let mut check = |right: bool, keyword: &str| {
            if !right {
                findings.push(format!("{at} breaks {keyword}"));
            }
        };
        check(keywords.kinds.is_empty() || keywords.kinds.iter().any(|kind| kind.is_of(value)), "type");
        check(keywords.constant.as_ref().is_none_or(|constant| constant == value), "const");
        check(keywords.choices.as_ref().is_none_or(|choices| choices.contains(value)), "enum");
        let fitting = |rules: &[Rule]| rules.iter().filter(|rule| self.fits(rule, value)).count();
        check(keywords.any_of.is_empty() || fitting(&keywords.any_of) > 0, "anyOf");
        check(keywords.one_of.is_empty() || fitting(&keywords.one_of) == 1, "oneOf");
        check(keywords.not.as_ref().is_none_or(|rule| !self.fits(rule, value)), "not");
        for rule in &keywords.all_of {
            self.judge(rule, value, at, findings);
        }
        if let (Some(condition), Some(then)) = (&keywords.condition, &keywords.then)
            && self.fits(condition, value)
        {
            self.judge(then, value, at, findings);
        }
        match value {
            Value::Object(members) => self.judge_object(keywords, members, at, findings),
            Value::Array(list) => self.judge_list(keywords, list, at, findings),
            Value::String(text) => judge_text(keywords, text, at, findings),
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or_default();
                if keywords.minimum.is_some_and(|least| number < least) {
                    findings.push(format!("{at} breaks minimum"));
                }
                if keywords.maximum.is_some_and(|most| number > most) {
                    findings.push(format!("{at} breaks maximum"));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn judge_object(&self, keywords: &Keywords, members: &Map<String, Value>, at: &str, findings: &mut Vec<String>) {
        for name in keywords.required.iter().filter(|name| !members.contains_key(*name)) {
            findings.push(format!("{at} has no {name}"));
        }
        if outside(members.len(), keywords.min_properties, keywords.max_properties) {
            findings.push(format!("{at} has {} members", members.len()));
        }
        for (name, value) in members {
            let place = format!("{at}/{name}");
            let own = keywords.properties.get(name);
            let by_pattern = keywords.pattern_properties.iter().filter(|(pattern, _)| pattern.0.is_match(name));
            let mut rules: Vec<&Rule> = own.into_iter().chain(by_pattern.map(|(_, rule)| rule)).collect();
            if rules.is_empty() {
                rules.extend(&keywords.additional_properties);
            }
            for rule in rules {
                self.judge(rule, value, &place, findings);
            }
            if let Some(rule) = &keywords.property_names
                && !self.fits(rule, &Value::String(name.clone()))
            {
                findings.push(format!("{place} breaks propertyNames"));
            }
        }
    }

    fn judge_list(&self, keywords: &Keywords, list: &[Value], at: &str, findings: &mut Vec<String>) {
        if outside(list.len(), keywords.min_items, keywords.max_items) {
            findings.push(format!("{at} has {} items", list.len()));
        }
        if keywords.unique_items && list.iter().map(Value::to_string).collect::<BTreeSet<_>>().len() < list.len() {
            findings.push(format!("{at} breaks uniqueItems"));
        }
        for (n, value) in list.iter().enumerate() {
            if let Some(rule) = keywords.prefix_items.get(n).or(keywords.items.as_ref()) {
                self.judge(rule, value, &format!("{at}/{n}"), findings);
            }
        }
    }
}

impl Keywords {
    /// The rules within.
    fn parts(&self) -> impl Iterator<Item = &Rule> {
        let lists = [&self.all_of, &self.any_of, &self.one_of, &self.prefix_items];
        let single =
            [&self.not, &self.condition, &self.then, &self.additional_properties, &self.property_names, &self.items];
        let members = self.properties.values().chain(self.pattern_properties.iter().map(|(_, rule)| rule));
        lists.into_iter().flatten().chain(single.into_iter().flatten()).chain(members)
    }
}

fn judge_text(keywords: &Keywords, text: &str, at: &str, findings: &mut Vec<String>) {
    let length = text.chars().count();
    if outside(length, keywords.min_length, keywords.max_length) {
        findings.push(format!("{at} has {length} characters"));
    }
    if keywords.pattern.as_ref().is_some_and(|pattern| !pattern.0.is_match(text)) {
        findings.push(format!("{at} breaks pattern"));
    }
    if keywords.format.is_some_and(|format| !format.is_of(text)) {
        findings.push(format!("{at} breaks format"));
    }
}

fn outside(size: usize, least: Option<usize>, most: Option<usize>) -> bool {
    least.is_some_and(|least| size < least) || most.is_some_and(|most| size > most)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn findings(schema: Value, value: Value) -> Vec<String> {
        Schema::parse(&schema.to_string()).unwrap().findings(&value, 9)
    }

    /// One value that fits, one that does not, and what is said of it.
    #[test]
    fn each_keyword_takes_what_fits_and_names_the_place_of_what_does_not() {
        let cases = [
            (json!({"type": "integer"}), json!(3.0), json!(3.5), " breaks type"),
            (json!({"type": ["string", "null"]}), json!(null), json!(1), " breaks type"),
            (json!({"const": true}), json!(true), json!(1), " breaks const"),
            (json!({"enum": [1, null]}), json!(null), json!(2), " breaks enum"),
            (json!({"properties": {"a": false}}), json!({"b": 1}), json!({"a": 1}), "/a may not be there"),
            (
                json!({"properties": {"a": {}}, "additionalProperties": false}),
                json!({"a": 1}),
                json!({"b": 1}),
                "/b may not be there",
            ),
            (
                json!({"patternProperties": {"^x": {"type": "string"}}}),
                json!({"y": 1}),
                json!({"x": 1}),
                "/x breaks type",
            ),
            (json!({"propertyNames": {"maxLength": 1}}), json!({"a": 1}), json!({"ab": 1}), "/ab breaks propertyNames"),
            (json!({"required": ["a"]}), json!({"a": null}), json!({}), " has no a"),
            (json!({"minProperties": 1}), json!({"a": 1}), json!({}), " has 0 members"),
            (json!({"items": {"maximum": 2}}), json!([1, 2]), json!([1, 3]), "/1 breaks maximum"),
            (json!({"prefixItems": [{}, {"minimum": 2}]}), json!([1, 2, 1]), json!([2, 1]), "/1 breaks minimum"),
            (json!({"maxItems": 1}), json!([1]), json!([1, 2]), " has 2 items"),
            (json!({"uniqueItems": true}), json!([1, "1"]), json!([1, 1]), " breaks uniqueItems"),
            (json!({"minLength": 2}), json!("äö"), json!("ä"), " has 1 characters"),
            (json!({"pattern": "^a"}), json!("ab"), json!("ba"), " breaks pattern"),
            (json!({"format": "date-time"}), json!("2026-01-02T03:04:05Z"), json!("2026-01-02"), " breaks format"),
            (json!({"format": "email"}), json!("a@example.com"), json!("a"), " breaks format"),
            (json!({"anyOf": [{"const": 1}, {"const": 2}]}), json!(2), json!(3), " breaks anyOf"),
            (json!({"oneOf": [{"minimum": 1}, {"maximum": 2}]}), json!(3), json!(2), " breaks oneOf"),
            (json!({"allOf": [{"minimum": 1}]}), json!(1), json!(0), " breaks minimum"),
            (json!({"not": {"const": 1}}), json!(2), json!(1), " breaks not"),
            (
                json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}}),
                json!({"c": 1}),
                json!({"a": 1}),
                " has no b",
            ),
            (json!({"$ref": "#/$defs/x", "$defs": {"x": {"const": 1}}}), json!(1), json!(2), " breaks const"),
        ];
        for (schema, right, wrong, said) in cases {
            assert_eq!(findings(schema.clone(), right), Vec::<String>::new(), "{schema}");
            assert_eq!(findings(schema.clone(), wrong), [said], "{schema}");
        }
    }

    #[test]
    fn a_schema_that_says_what_is_not_known_here_is_refused() {
        let parse = |schema: Value| format!("{:#}", Schema::parse(&schema.to_string()).unwrap_err());
        assert!(parse(json!({"items": {"multipleOf": 2}})).contains("multipleOf"));
        assert!(parse(json!({"properties": {"a": {"$ref": "#/$defs/none"}}})).contains("leads nowhere"));
        assert!(parse(json!({"pattern": "("})).contains("regex"));
    }
}
