//! The whole engine against a scripted receiver: one definition for each thing that definitions can say. Each test fails when that is broken.

mod asking;
mod auth;
mod contract;
mod examples;
mod faults;
mod native;
mod requests;
mod results;
mod runs;
mod supplied;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use backflow_core::change::Memory;
use backflow_core::code::{Code, Failure};
use backflow_core::guard::Deletes;
use backflow_core::plan::{DestinationLimits, DestinationPlan, MappingPlan, OnMappingChange, Retry};
use backflow_core::record::{Outcome, Record};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_core::selection::{Operation, Selection, SyncMode};
use backflow_core::sink::{Delivery, Sink};
use backflow_definitions::{Definition, load};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::testing::{Answer, Received, Server};
use crate::{Keeping, open_with};

/// A definition with these parts.
#[derive(Clone)]
struct Made {
    auth: &'static str,
    http: &'static str,
    limits: &'static str,
    /// `check` and `discover`.
    asked: &'static str,
    errors: &'static str,
    /// Members of the action beside its operations.
    action: &'static str,
    operations: &'static str,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            auth: "{choose: [{id: none, type: none, description: Without.}]}",
            http: "",
            limits: "",
            asked: "",
            errors: "[]",
            action: "batch: {maxRecords: 100}",
            operations: WHOLE,
        }
    }
}

/// One request for a batch, taken as a whole.
const WHOLE: &str = r#"
      - for: [insert, update, upsert, delete]
        request: {method: POST, path: /records, item: {key: "${rec.key}", data: "${f}"}, body: {records: $items}}
        results: {mode: whole}
"#;

impl Made {
    fn definition(&self) -> &'static Definition {
        let Self { auth, http, limits, asked, errors, action, operations } = self;
        // A definition has neither secrets nor operations that nothing uses.
        let secret = |name: &str| match auth.contains(&format!("settings.{name}")) {
            true => format!("{name}: {{type: string, x-secret: true, description: A credential.}}"),
            false => String::new(),
        };
        let (key, other) = (secret("key"), secret("other"));
        let done =
            |op: &str| operations.lines().any(|line| line.trim_start().starts_with("- for:") && line.contains(op));
        let modes = ["Insert", "Update", "Upsert", "Delete"].into_iter().filter(|mode| done(&mode.to_lowercase()));
        let modes = modes.collect::<Vec<_>>().join(", ");
        let yaml = format!(
            r#"
definition: test
version: 1
title: Test
description: A destination of tests.
category: generic
verification: fixture-verified
provenance: [{{fact: all of it, source: these tests, checked: 2026-01-01}}]
settings:
  type: object
  required: [url]
  properties:
    url: {{type: string, format: url, description: Where.}}
    user: {{type: string, default: ada, description: Who.}}
    {key}
    {other}
auth: {auth}
http:
  baseUrl: "${{settings.url}}"
  hosts: {{userDefined: true}}
  {http}
limits:
  concurrency: {{max: 4, initial: 4}}
  retry: {{base: 10ms, max: 20ms}}
  {limits}
errors: {errors}
{asked}
actions:
  send:
    title: Send
    description: Sends records.
    syncModes: [{modes}]
    idempotent: true
    config: {{type: object, properties: {{list: {{type: string, default: main, description: Which list.}}}}}}
    fields: {{type: object, additionalProperties: true}}
    {action}
    operations: {operations}
"#
        );
        match load(&yaml) {
            Ok(definition) => Box::leak(Box::new(definition)),
            Err(error) => panic!("{error}\n{yaml}"),
        }
    }

    fn open(&self, server: &Server) -> Arc<dyn Sink> {
        self.try_open(server, &[("key", "s3cret-canary"), ("other", "0ther-canary")]).expect("opens")
    }

    fn try_open(
        &self,
        server: &Server,
        secrets: &'static [(&'static str, &'static str)],
    ) -> Result<Arc<dyn Sink>, Failure> {
        self.try_open_keeping(server, secrets, None)
    }

    fn try_open_keeping(
        &self,
        server: &Server,
        secrets: &'static [(&'static str, &'static str)],
        keeping: Option<Keeping>,
    ) -> Result<Arc<dyn Sink>, Failure> {
        let definition = self.definition();
        let plan = destination(definition, &server.url, secrets);
        // Nobody ever asks it to stop.
        open_with(definition, &plan, &mapping(), &Fixed(secrets), keeping, watch::channel(None).1)
    }

    async fn deliver(&self, server: &Server, records: &[Record]) -> Delivery {
        let delivery = self.open(server).deliver(records).await;
        assert_eq!(delivery.outcomes.len(), records.len(), "one outcome for each record");
        let said = format!("{:?} {:?}", delivery.outcomes, delivery.stop);
        assert!(!said.contains("canary"), "{said}");
        delivery
    }
}

/// Secrets by key.
struct Fixed(&'static [(&'static str, &'static str)]);

impl Secrets for Fixed {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        let found = self.0.iter().find(|(key, _)| *key == reference.key);
        found.map(|(_, value)| SecretString::from(*value)).ok_or_else(|| reference.key_not_found())
    }
}

fn destination(definition: &Definition, url: &str, secrets: &[(&str, &str)]) -> DestinationPlan {
    let reference =
        |(name, _): &(&str, &str)| ((*name).to_owned(), SecretRef { name: "account".into(), key: (*name).to_owned() });
    DestinationPlan {
        name: "account".into(),
        kind: definition.id.clone(),
        definition: None,
        definition_version: definition.version,
        auth: definition.auth.choose[0].id.clone(),
        settings: BTreeMap::from([("url".to_owned(), json!(url))]),
        secrets: secrets.iter().map(reference).collect(),
        limits: DestinationLimits::default(),
        allow_loopback: true,
    }
}

fn mapping() -> MappingPlan {
    MappingPlan {
        name: "customers".into(),
        state_key: "shop/customers".into(),
        action: "send".into(),
        selection: Selection::SyncMode(SyncMode::Mirror),
        config: BTreeMap::new(),
        fields: BTreeMap::new(),
        match_by: None,
        group_by: None,
        include: None,
        filter: None,
        fingerprint: String::new(),
        on_change: OnMappingChange::Resend,
        identity: BTreeMap::new(),
        deletes: Deletes::default(),
        retry: Retry { max_attempts: 100, window_seconds: 900 },
        scratch_bytes: 0,
    }
}

fn record(n: usize, op: Operation, data: &Value) -> Record {
    Record { id: n.to_string(), op, memory: Memory::default(), data: data.to_string(), key: format!("key-{n:018}") }
}

/// Upserts of `{"n": 0, "email": "u0-canary@example.com"}` and so on.
fn records(n: usize) -> Vec<Record> {
    (0..n)
        .map(|n| record(n, Operation::Upsert, &json!({"n": n, "email": format!("u{n}-canary@example.com")})))
        .collect()
}

/// `+` delivered, `!CODE` rejected, `~` retrying.
fn marks(delivery: &Delivery) -> String {
    let mark = |outcome: &Outcome| match outcome {
        Outcome::Delivered { .. } => "+".to_owned(),
        Outcome::Rejected(rejection) => format!("!{}", rejection.code),
        Outcome::Retrying => "~".to_owned(),
    };
    delivery.outcomes.iter().map(mark).collect::<Vec<_>>().join(" ")
}

fn code(delivery: &Delivery) -> Option<Code> {
    delivery.stop.as_ref().map(|failure| failure.code)
}

/// The keys of the records in a request.
fn keys(request: &Received) -> Vec<String> {
    let key = |item: &Value| item["key"].as_str().unwrap_or_default().to_owned();
    request.json()["records"].as_array().map(|items| items.iter().map(key).collect()).unwrap_or_default()
}

/// The numbers of the records in a request.
fn numbers(request: &Received) -> Vec<u64> {
    let number = |item: &Value| item["data"]["n"].as_u64().unwrap_or_default();
    request.json()["records"].as_array().map(|items| items.iter().map(number).collect()).unwrap_or_default()
}

/// A receiver with one answer to everything.
async fn always(answer: Answer) -> Server {
    Server::start(move |_, _| answer.clone()).await
}
