//! The page of one definition.

use std::fmt::Write as _;
use std::time::Duration;

use backflow_core::selection::SyncMode;

use super::HEAD;
use crate::action::{Action, DeliveryPromise};
use crate::definition::{Definition, Fact, Verification};
use crate::http::Rate;
use crate::schema::{Additional, Role, Schema};

/// The word for it.
pub(super) fn verification(verification: Verification) -> &'static str {
    Verification::NAMES.iter().find(|(_, known)| *known == verification).map_or("", |(name, _)| name)
}

pub(super) fn page(definition: &Definition) -> String {
    let Definition { id, title, description, .. } = definition;
    let mut out = format!("{HEAD}# {title}\n\n{description} ");
    let _ = writeln!(
        out,
        "`type: {id}`, version {}, `{}`. How to set it up, what deletions do and what cannot be done: \
         [operator/definitions/builtin/{id}](../../operator/definitions/builtin/{id}/README.md).{}",
        definition.version,
        verification(definition.verification),
        definition.docs_url.as_ref().map(|url| format!(" The vendor's documentation: <{url}>.")).unwrap_or_default(),
    );
    settings(definition, &mut out);
    limits(definition, &mut out);
    for (name, action) in &definition.actions {
        section(name, action, &mut out);
    }
    provenance(definition, &mut out);
    out
}

fn provenance(definition: &Definition, out: &mut String) {
    if definition.provenance.is_empty() {
        return;
    }
    out.push_str("\n## Where this is from\n\n| fact | source | looked up |\n|---|---|---|\n");
    for Fact { fact, source, checked } in &definition.provenance {
        let _ = writeln!(out, "| {} | {} | {checked} |", cell(fact), cell(source));
    }
}

fn settings(definition: &Definition, out: &mut String) {
    out.push_str("\n## Settings\n\n| `spec.settings` or `spec.secrets` | is | |\n|---|---|---|\n");
    for (name, schema) in &definition.settings.properties {
        let place = if schema.extra.secret { "secret" } else { "setting" };
        let mut about = about(schema, definition.settings.required.contains(name));
        if schema.extra.identity {
            about.push_str(" Part of the account's identity.");
        }
        let _ = writeln!(out, "| `{name}` | {place}, {} | {} |", kind(schema), cell(&about));
    }
    out.push_str("\n| `spec.auth` | | needs |\n|---|---|---|\n");
    for (at, scheme) in definition.auth.choose.iter().enumerate() {
        let needs: Vec<String> = scheme.needs.iter().map(|need| format!("`{}`", need.name)).collect();
        let default = if at == 0 { " (default)" } else { "" };
        let _ = writeln!(out, "| `{}`{default} | {} | {} |", scheme.id, cell(&scheme.description), needs.join(", "));
    }
}

fn limits(definition: &Definition, out: &mut String) {
    let Some(http) = definition.http() else {
        let _ = write!(out, "\n## Limits\n\n{} connections at once.\n", definition.concurrency());
        return;
    };
    let mut said: Vec<String> = http.limits.rates.iter().map(rate).collect();
    said.push(format!("{} requests at once", http.limits.concurrency.max));
    let _ = write!(out, "\n## Limits\n\n{}.\n", said.join("; "));
}

fn rate(rate: &Rate) -> String {
    let tunable = if rate.tunable { " (`spec.limits.requestsPerSecond` stands in its place)" } else { "" };
    format!("{} requests in any {}{tunable}", rate.requests, duration(rate.per))
}

fn duration(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        86_400 => "day".to_owned(),
        3_600 => "hour".to_owned(),
        60 => "minute".to_owned(),
        1 => "second".to_owned(),
        seconds if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

fn section(name: &str, action: &Action, out: &mut String) {
    let docs = action.docs_url.as_ref().map(|url| format!(" The vendor about it: <{url}>.")).unwrap_or_default();
    let _ = write!(out, "\n## `{name}`: {}\n\n{}{docs}\n\n", action.title, action.description);
    let modes: Vec<String> = action.sync_modes.iter().map(|mode: &SyncMode| format!("`{mode:?}`")).collect();
    let records: Vec<String> = action.records.iter().map(|kind| format!("`{kind:?}`")).collect();
    let list = |all: Vec<String>| if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    let _ = write!(out, "Sync modes: {}. `records`: {}. ", list(modes), list(records));
    match action.batch.max_records {
        1 => out.push_str("One record in a request."),
        most => drop(write!(out, "Up to {most} records in a request.")),
    }
    if !action.idempotent {
        out.push_str(" A changed Mapping does not send everything again unless it says so: each record is an event.");
    }
    if action.delivery == DeliveryPromise::AtMostOnce {
        out.push_str(" **At most once**: a record whose answer was lost is not sent again by itself.");
    }
    out.push('\n');
    if !action.config.properties.is_empty() {
        out.push_str("\n| `config` | is | |\n|---|---|---|\n");
        members(&action.config, "", out);
    }
    if action.fields.properties.is_empty() {
        out.push_str("\nFields: any.\n");
    } else {
        out.push_str("\n| field | is | |\n|---|---|---|\n");
        members(&action.fields, "", out);
    }
}

/// A line for each member, nested ones by their dotted paths.
fn members(schema: &Schema, above: &str, out: &mut String) {
    for (name, member) in &schema.properties {
        let path = format!("{above}{}", name.replace('.', "\\."));
        let about = about(member, schema.required.contains(name));
        let _ = writeln!(out, "| `{path}` | {} | {} |", kind(member), cell(&about));
        members(member, &format!("{path}."), out);
        if let Some(items) = &member.items {
            members(items, &format!("{path}[]."), out);
        }
    }
}

/// What there is to know of a value.
fn about(schema: &Schema, required: bool) -> String {
    let title = schema.title.iter().map(|title| format!("{title}: "));
    let mut about: String = title.chain(schema.description.clone()).collect();
    if required {
        about.push_str(" **Required.**");
    }
    about.push_str(match schema.extra.role {
        Some(Role::MatchKey) => " Records are found by it.",
        Some(Role::GroupKey) => " Records are grouped by it.",
        Some(Role::EventId) => " It says which event it is.",
        Some(Role::EventTime) => " It says when the event happened.",
        None => "",
    });
    if let Some(condition) = &schema.extra.required_when {
        let _ = write!(about, " Required when `{}`.", condition.source());
    }
    if schema.extra.hash.is_some() {
        about.push_str(" Hashed, unless it already is.");
    }
    if personal(schema) {
        about.push_str(" Personal data.");
    }
    if let Some(default) = &schema.default {
        let _ = write!(about, " Default: `{default}`.");
    }
    if !schema.examples.is_empty() {
        let examples: Vec<String> = schema.examples.iter().map(|example| format!("`{example}`")).collect();
        let _ = write!(about, " For example {}.", examples.join(", "));
    }
    about.trim_start().to_owned()
}

/// Whether a value, or what it is made of, is about a person.
fn personal(schema: &Schema) -> bool {
    let others = if let Additional::Like(others) = &schema.additional { Some(others) } else { None };
    schema.extra.pii || schema.items.iter().chain(others).any(|inner| personal(inner))
}

fn kind(schema: &Schema) -> String {
    if schema.choices.is_empty() {
        return schema.noun();
    }
    let choices: Vec<String> = schema.choices.iter().map(|choice| format!("`{choice}`")).collect();
    choices.join(", ")
}

/// Text inside of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
