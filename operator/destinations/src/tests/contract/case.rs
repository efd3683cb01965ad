//! A case: the records, what is expected to be sent for them, and what becomes of them.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use backflow_core::change::Memory;
use backflow_core::code::{Code, Failure};
use backflow_core::plan::{DestinationLimits, DestinationPlan, MappingPlan};
use backflow_core::record::{Outcome, Record, Rejection};
use backflow_core::secret::{SecretRef, Secrets};
use backflow_core::selection::Operation;
use backflow_definitions::schema::lacks;
use backflow_definitions::{Action, Definition, Scope, Variable, builtin, complete};
use backflow_expressions::Json;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::compare::{Expected, TOKEN};
use super::network::{Exchange, Script};
use super::tokens::{Tokens, batch_key};
use super::yaml;
use crate::testing::on_network;
use crate::{check_with, clock, open_with};

/// A definition with the files that its cases share.
pub(super) struct Folder {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) definition: &'static Definition,
    destination: Value,
    api: Value,
}

impl Folder {
    /// `None` if the definition does not load, which another test finds.
    pub(super) fn read(name: &str, path: &Path) -> Option<Self> {
        let definition = builtin(name)?;
        let fixtures = path.join("fixtures");
        Some(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            definition,
            destination: yaml(&fixtures.join("destination.yaml")),
            api: yaml(&fixtures.join("api.yaml")),
        })
    }
}

impl Folder {
    /// The vendor's endpoints, by name.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.api["endpoints"].as_object().into_iter().flatten()
    }
}

/// Secrets of a case.
struct Given(BTreeMap<String, String>);

impl Secrets for Given {
    fn read(&self, reference: &SecretRef) -> Result<SecretString, Failure> {
        self.0
            .get(&reference.key)
            .map(|value| SecretString::from(value.clone()))
            .ok_or_else(|| reference.key_not_found())
    }
}

/// One case of a file.
pub(super) struct Case<'a> {
    folder: &'a Folder,
    file: &'a Value,
    case: &'a Value,
}

impl<'a> Case<'a> {
    pub(super) fn new(folder: &'a Folder, file: &'a Value, case: &'a Value) -> Self {
        Self { folder, file, case }
    }

    pub(super) fn name(&self) -> &str {
        self.case["name"].as_str().unwrap_or("without a name")
    }

    /// What the case says, or else its file.
    fn said(&self, name: &str) -> &Value {
        let own = &self.case[name];
        if own.is_null() { &self.file[name] } else { own }
    }

    fn destination(&self) -> &Value {
        let own = self.said("destination");
        if own.is_null() { &self.folder.destination } else { own }
    }

    /// Runs it; what went wrong otherwise.
    pub(super) async fn run(&self) -> Result<(), String> {
        self.set_clock();
        let secrets = self.secrets();
        let operation = operation(self.file["operation"].as_str().unwrap_or(""))?;
        let action =
            self.folder.definition.action(self.file["action"].as_str().unwrap_or("")).map_err(|f| f.message)?;
        let records = self.said("records").as_array().cloned().unwrap_or_default();
        let mut tokens = Tokens {
            batch_key: String::new(),
            secrets: secrets.clone(),
            access_token: format!("token-{}", fastrand::u64(..)),
            keys: (1..=records.len()).map(|n| format!("{n:0>22}")).collect(),
            ids: (1..=records.len())
                .map(|n| records[n - 1]["id"].as_str().map_or(n.to_string(), str::to_owned))
                .collect(),
        };
        let config = object(self.said("config"));
        // Of a deletion the fields are gone: what it was found by is what the action finds records by first.
        let deletion = operation == Operation::Delete;
        let mapped = |path: &str| deletion || records.iter().any(|record| has(&record["fields"], path));
        let (match_by, group_by) = (action.match_field(&config, &mapped), action.group_field(&config, &mapped));
        let mapping = self.mapping(config, match_by.clone(), group_by.clone());

        let plan = self.plan(&secrets);
        let settings = complete(&self.folder.definition.settings, &plan.settings);
        let mut sent = Vec::new();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; records.len()];
        for (at, record) in records.iter().enumerate() {
            match shaped(action, &mapping, &settings, (operation, &tokens, at), &tokens.fill(record)) {
                Ok(record) => sent.push((at, record)),
                Err(rejected) => outcomes[at] = Some(rejected),
            }
        }
        let (stop, stopped) = watch::channel(None);
        let token = self.token(&tokens);
        let unordered = action.batch.max_records == 1 || self.one_by_one(action, operation);
        let script = Arc::new(Script::new(self.exchanges(&mut tokens)?, token, unordered, stop));
        let sink = on_network(script.clone(), || {
            open_with(self.folder.definition, &plan, &mapping, &Given(secrets.clone()), None, stopped)
        });
        let sink = sink.map_err(|failure| format!("it does not open: {failure}"))?;
        let batch: Vec<Record> = sent.iter().map(|(_, record)| record.clone()).collect();
        let mut delivery = None;
        if !batch.is_empty() {
            let given = sink.deliver(&batch).await;
            for ((at, _), outcome) in sent.iter().zip(&given.outcomes) {
                outcomes[*at] = Some(outcome.clone());
            }
            delivery = Some(given);
        }
        let (wrong, again) = script.ended();
        let stop = delivery.and_then(|delivery| delivery.stop);
        if let Some(wrong) = wrong {
            return Err(format!("{wrong}\n{outcomes:?} {stop:?}"));
        }
        self.check_outcomes(&outcomes)?;
        self.check_connection(stop.as_ref(), again)?;
        keeps(&secrets, &format!("{outcomes:?} {stop:?}"))
    }

    /// Runs it as a case of the definition's check; what went wrong otherwise.
    pub(super) async fn check(&self) -> Result<(), String> {
        self.set_clock();
        let secrets = self.secrets();
        let mut tokens = Tokens {
            batch_key: String::new(),
            secrets: secrets.clone(),
            access_token: format!("token-{}", fastrand::u64(..)),
            keys: Vec::new(),
            ids: Vec::new(),
        };
        let (plan, given) = (self.plan(&secrets), Given(secrets.clone()));
        let token = self.token(&tokens);
        let (stop, _stopped) = watch::channel(None);
        let script = Arc::new(Script::new(self.exchanges(&mut tokens)?, token, false, stop));
        let mut checking = pin!(check_with(self.folder.definition, &plan, &given));
        let said = poll_fn(|context| on_network(script.clone(), || checking.as_mut().poll(context))).await;
        if let (Some(wrong), _) = script.ended() {
            return Err(format!("{wrong}\n{said:?}"));
        }
        let (account, failure) = (&self.case["account"], &self.case["failure"]);
        let right = match &said {
            Ok(name) => account.as_str() == Some(name.as_str()),
            Err(is) => {
                let words = failure["says"].as_str();
                failure["code"].as_str() == Some(is.code.to_string().as_str())
                    && words.is_some_and(|words| is.message.contains(words))
            }
        };
        if !right {
            return Err(format!("{said:?} instead of {account} or {failure}"));
        }
        keeps(&secrets, &format!("{said:?}"))
    }

    fn set_clock(&self) {
        let time = self.destination()["time"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        clock::set(time.unwrap_or(jiff::Timestamp::UNIX_EPOCH).into());
    }

    /// What the token endpoint answers.
    fn token(&self, tokens: &Tokens) -> Value {
        match self.destination().get("token") {
            Some(token) => tokens.fill(token),
            None => json!({"access_token": tokens.access_token, "token_type": "Bearer", "expires_in": 3600}),
        }
    }

    fn secrets(&self) -> BTreeMap<String, String> {
        let names = self.destination()["secrets"].as_array().cloned().unwrap_or_default();
        let value = |name: &str| match name {
            "privateKey" => private_key(),
            "webhookUrl" => format!("https://hooks.slack.com/services/T0/B0/{}", fastrand::u64(..)),
            name => format!("{name}-{}", fastrand::u64(..)),
        };
        names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), value(name))).collect()
    }

    fn plan(&self, secrets: &BTreeMap<String, String>) -> DestinationPlan {
        let destination = self.destination();
        let reference = |name: &String| (name.clone(), SecretRef { name: "account".into(), key: name.clone() });
        let first = &self.folder.definition.auth.choose[0].id;
        DestinationPlan {
            name: "account".into(),
            kind: self.folder.definition.id.clone(),
            definition: None,
            definition_version: self.folder.definition.version,
            auth: destination["auth"].as_str().unwrap_or(first).to_owned(),
            settings: object(&destination["settings"]),
            secrets: secrets.keys().map(reference).collect(),
            limits: DestinationLimits::default(),
            allow_loopback: false,
        }
    }

    fn mapping(
        &self,
        config: BTreeMap<String, Value>,
        match_by: Option<String>,
        group_by: Option<String>,
    ) -> MappingPlan {
        let action = self.file["action"].as_str().unwrap_or_default().to_owned();
        MappingPlan { action, config, match_by, group_by, ..super::super::mapping() }
    }

    /// Each record is a request of its own, so that they may come in any order.
    fn one_by_one(&self, action: &Action, operation: Operation) -> bool {
        action.operation(operation).is_some_and(|operation| operation.batch.max_records == 1)
    }

    fn exchanges(&self, tokens: &mut Tokens) -> Result<Vec<Exchange>, String> {
        let base_url = tokens.text(self.folder.api["baseUrl"].as_str().unwrap_or_default());
        let exchanges = self.case["exchange"].as_array().into_iter().flatten();
        exchanges
            .map(|exchange| {
                let mut request = match &exchange["request"] {
                    Value::String(name) if name == TOKEN && self.file["requests"][TOKEN].is_null() => json!(TOKEN),
                    Value::String(name) => self.file["requests"][name].clone(),
                    request => request.clone(),
                };
                if request.is_null() {
                    return Err(format!("the file has no request {}", exchange["request"]));
                }
                tokens.batch_key = batch_key(tokens.keys.iter());
                if let Some(kept) = exchange["records"].as_array() {
                    let kept: Vec<usize> = kept.iter().filter_map(Value::as_u64).map(|n| n as usize).collect();
                    keep(&mut request, &kept)?;
                    tokens.batch_key = batch_key(kept.iter().filter_map(|n| tokens.keys.get(n - 1)));
                }
                let answer = match &exchange["answer"] {
                    Value::Null if request == TOKEN => json!({"status": 200, "body": self.token(tokens)}),
                    Value::String(name) => self.named_answer(name, request["endpoint"].as_str().unwrap_or_default())?,
                    answer => answer.clone(),
                };
                let expected = Expected {
                    endpoint: request["endpoint"]
                        .as_str()
                        .map_or(Value::Null, |name| self.folder.api["endpoints"][name].clone()),
                    fixtures: self.folder.path.join("fixtures"),
                    request: tokens.fill(&request),
                    base_url: base_url.clone(),
                };
                Ok(Exchange { expected, answer: tokens.fill(&answer) })
            })
            .collect()
    }

    fn named_answer(&self, name: &str, endpoint: &str) -> Result<Value, String> {
        let api = &self.folder.api;
        let own = &api["endpoints"][endpoint]["answers"][name];
        let answer = if own.is_null() { &api["answers"][name] } else { own };
        if answer.is_null() { Err(format!("api.yaml has no answer {name} of {endpoint}")) } else { Ok(answer.clone()) }
    }

    fn check_outcomes(&self, outcomes: &[Option<Outcome>]) -> Result<(), String> {
        let wanted = self.case["outcomes"].as_array().cloned().unwrap_or_default();
        if wanted.len() != outcomes.len() {
            return Err(format!("{} outcomes are written for {} records", wanted.len(), outcomes.len()));
        }
        for (at, (wanted, is)) in wanted.iter().zip(outcomes).enumerate() {
            let right = match (wanted, is) {
                (Value::String(word), Some(Outcome::Delivered { .. })) => word == "delivered" || word == "unverified",
                (Value::String(word), Some(Outcome::Retrying)) => word == "retry",
                (Value::String(word), Some(Outcome::Rejected(why))) => {
                    word == "unknown" && why.code == "UNKNOWN_DELIVERY"
                }
                (wanted, Some(Outcome::Rejected(why))) => {
                    let code = wanted["rejected"].as_str().unwrap_or_default();
                    let field = wanted["field"].as_str();
                    (why.code == code || code == "INVALID_RECORD")
                        && field.is_none_or(|field| why.field.as_deref() == Some(field))
                }
                _ => false,
            };
            if !right {
                return Err(format!("record {}: {is:?} instead of {wanted}", at + 1));
            }
        }
        Ok(())
    }

    fn check_connection(&self, stop: Option<&Failure>, again: Option<Duration>) -> Result<(), String> {
        let connection = &self.case["connection"];
        let stops = match stop.map(|failure| failure.code) {
            Some(Code::DestinationUnauthorized) => Some("auth"),
            Some(Code::DestinationMisconfigured) => Some("config"),
            _ => None,
        };
        if stops != connection["stop"].as_str() {
            return Err(format!("the run ends with {stop:?} instead of {}", connection["stop"]));
        }
        let Some(pause) = connection["pause"].as_str() else { return Ok(()) };
        let pause = duration(pause).ok_or_else(|| format!("{pause} is no duration"))?;
        match again {
            // Nothing is sent for as long as the run may last: it has ended instead.
            None => Ok(()),
            Some(waited) if waited >= pause => Ok(()),
            Some(waited) => Err(format!("it waited {waited:?} instead of {pause:?}")),
        }
    }
}

/// Whether no secret is in what is said.
fn keeps(secrets: &BTreeMap<String, String>, said: &str) -> Result<(), String> {
    match secrets.values().find(|secret| said.contains(secret.as_str())) {
        Some(_) => Err("a secret is in what it says".into()),
        None => Ok(()),
    }
}

/// A record after the checks of the action's fields, or what rejects it: as the worker makes it of a row.
fn shaped(
    action: &Action,
    mapping: &MappingPlan,
    settings: &Json,
    made: (Operation, &Tokens, usize),
    record: &Value,
) -> Result<Record, Outcome> {
    let (op, tokens, at) = made;
    let text = |name: &str| (!record[name].is_null()).then(|| record[name].to_string().into_boxed_str());
    let mut memory = Memory { match_key: text("match"), group_key: text("group"), remote_id: text("remoteId") };
    let fields = match &record["fields"] {
        Value::Null => json!({}),
        fields => fields.clone(),
    };
    let mut data = Json::from(&fields);
    if op != Operation::Delete {
        let rejected = |code: &str, field: &str| Outcome::Rejected(Rejection::new(code, Some(field), "of the schema"));
        data =
            action.fields.conform(data).map_err(|misfit| rejected(misfit.code, misfit.path.trim_start_matches('.')))?;
        let (config, op) = (complete(&action.config, &mapping.config), Json::Text(op.as_str().to_owned()));
        let scope = Scope::new().with(Variable::Settings, settings).with(Variable::Cfg, &config);
        let scope = scope.with(Variable::Op, &op).with(Variable::F, &data);
        let lacking = action.fields.conditional().into_iter().find(|(path, field)| {
            lacks(&data, path) && field.extra.required_when.as_ref().is_some_and(|condition| condition.holds(&scope))
        });
        if let Some((path, _)) = lacking {
            return Err(rejected("MISSING_FIELD", &path.join(".")));
        }
        let kept: Value = serde_json::from_str(&data.to_string()).unwrap_or_default();
        let value =
            |path: &String| path.split('.').try_fold(&kept, |at, name| at.get(name)).filter(|value| !value.is_null());
        for (path, place) in [(&mapping.match_by, &mut memory.match_key), (&mapping.group_by, &mut memory.group_key)] {
            let Some(path) = path else { continue };
            let value = value(path).ok_or_else(|| rejected("NULL_MATCH_KEY", path))?;
            *place = Some(value.to_string().into());
        }
    }
    let id = tokens.ids[at].clone();
    let id = if id.parse::<i64>().is_ok() { id } else { json!(id).to_string() };
    Ok(Record { id, op, memory, data: data.to_string(), key: tokens.keys[at].clone() })
}

/// A key that RS256 signs with, made once: that takes a while.
fn private_key() -> String {
    static KEY: LazyLock<String> = LazyLock::new(|| {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&key).expect("PKCS #8");
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der.as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")
    });
    KEY.clone()
}

/// Leaves only some entries, counted from 1, in the lists that hold one for each record.
fn keep(request: &mut Value, kept: &[usize]) -> Result<(), String> {
    let pointers: Vec<String> = match &request["items"] {
        Value::String(pointer) => vec![pointer.clone()],
        Value::Array(pointers) => pointers.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return Err("`records` of an exchange needs `items` of its request".into()),
    };
    let mut number = 0;
    for pointer in pointers {
        let list = request["body"].pointer_mut(&pointer).and_then(Value::as_array_mut);
        let list = list.ok_or_else(|| format!("the body has no list at {pointer}"))?;
        list.retain(|_| {
            number += 1;
            kept.contains(&number)
        });
    }
    Ok(())
}

/// `500ms`, `10s`, `5m`, `1h`.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: f64 = digits.parse().ok()?;
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number * unit))
}

fn object(value: &Value) -> BTreeMap<String, Value> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether there is something at a dotted path.
fn has(fields: &Value, path: &str) -> bool {
    path.split('.').try_fold(fields, |at, name| at.get(name)).is_some_and(|value| !value.is_null())
}

fn operation(name: &str) -> Result<Operation, String> {
    serde_json::from_value(json!(name)).map_err(|_| format!("{name} is no operation"))
}
