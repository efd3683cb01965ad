//! An operation's requests, in their order: what must exist, what must be known, the write itself, and what its answer says.

use std::collections::BTreeMap;

use backflow_core::code::{Code, Failure};
use backflow_core::record::Record;
use backflow_core::sink::KEY_BEGINNING;
use backflow_definitions::{Bound, DeliveryPromise, ErrorRule, Operation as Defined, ResultsMode, Scope, Variable};
use backflow_expressions::Json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::attempt::Trying;
use super::ensure::Ensure;
use super::job::Job;
use super::lookup::Lookup;
use super::report::{Answers, Reader, Unreadable, scopes};
use super::request::{Request, Sending};
use super::{Action, Answer, Ask, Exchanged, Keep, Known};
use crate::delivery::Reply;
use crate::encode::Items;
use crate::http::Reading;
use crate::results::{Accounts, Verdict, account};

/// An operation, prepared for one run.
pub(crate) struct Operation {
    pub(crate) defined: &'static Defined,
    pub(crate) request: Request,
    pub(crate) ensure: Vec<Ensure>,
    pub(crate) lookup: Option<Lookup>,
    pub(crate) job: Option<Job>,
    /// What answers mean: its own rules, the action's, the definition's.
    pub(crate) rules: [&'static [ErrorRule]; 3],
    pub(crate) delivery: DeliveryPromise,
    /// Whether rules read the answers' bodies.
    pub(crate) reading: Reading,
}

impl Operation {
    /// What writes a record's item before anything is asked: not if the answers to other requests have a say in it.
    pub(crate) fn item_before(&self) -> Option<&Bound> {
        if self.asks_first() { None } else { self.item() }
    }

    /// Whether other requests go before the write.
    pub(crate) fn asks_first(&self) -> bool {
        self.lookup.is_some() || !self.ensure.is_empty()
    }

    /// What writes a record's item.
    pub(crate) fn item(&self) -> Option<&Bound> {
        let upload = self.job.as_ref().and_then(|job| job.upload.as_ref());
        self.request.item.as_ref().or_else(|| upload?.item.as_ref())
    }

    pub(crate) fn deletes(&self) -> bool {
        self.defined.ops == [backflow_core::selection::Operation::Delete]
    }
}

/// What all requests of an attempt see of its records.
pub(super) struct Shared {
    pub(super) batch: Json,
    pub(super) ensured: Json,
}

/// Items, and what is known of their records.
pub(super) struct Rendered<'a> {
    pub(super) items: &'a Items,
    /// In the order of the part, as the items then are; none if nothing was asked before.
    pub(super) known: Option<&'a [Known]>,
}

/// The write itself, and what its answer says of each record of `part`. Items are in the order of `part` if anything was asked before,
/// else in that of `records`.
pub(super) async fn write(
    Trying { action, records, part, line, .. }: Trying<'_>,
    operation: &Operation,
    rendered: &Rendered<'_>,
    shared: &Shared,
) -> Reply {
    let connection = &action.connection;
    let dense: Vec<u32>;
    let places = if rendered.known.is_none() {
        part
    } else {
        dense = (0..part.len() as u32).collect();
        &dense
    };
    let sending = Sending { items: rendered.items, part: places };
    let known = |place: usize| rendered.known.and_then(|known| known.get(place));
    let mut scope = connection.scope().with(Variable::Batch, &shared.batch).with(Variable::Ensure, &shared.ensured);
    if let ([at], 1) = (part, operation.defined.batch.max_records) {
        scope = scope.with_record(action.scope(&records[*at as usize], known(0)));
    }
    let carrier = operation.job.as_ref().and_then(|job| job.upload.as_ref()).unwrap_or(&operation.request);
    let values = match carrier.values(Some(sending), operation.reading != Reading::Sniff) {
        Ok(values) => values,
        Err(unrendered) => return Exchanged::from(unrendered).reply(part.len()),
    };
    if let Some(values) = &values {
        scope = scope.with(Variable::Items, values);
    }
    let keys: String;
    let keep = match (&operation.job, &action.jobs, shared.batch.get("id").and_then(Json::as_text)) {
        (Some(_), Some(jobs), Some(batch)) => {
            let beginning = |at: &u32| records[*at as usize].key.get(..KEY_BEGINNING).unwrap_or_default();
            keys = part.iter().map(beginning).collect();
            Some(Keep { jobs, batch, keys: &keys })
        }
        _ => None,
    };
    let seen = || {
        let mut place = 0;
        scopes(records, part, |record| {
            place += 1;
            action.scope(record, known(place - 1))
        })
    };
    if let (Some(job), Some(keep)) = (&operation.job, keep)
        && let Some(results) = job.resumed(action, operation, scope, keep, line).await
    {
        return match results {
            Ok(results) => judged(action, operation, scope, results.answers(), seen()),
            Err(reply) => *reply,
        };
    }
    let ask = Ask {
        request: &operation.request,
        scope,
        sending: Some(sending),
        reading: operation.reading,
        rules: &operation.rules,
        deletion: operation.deletes(),
        once: operation.delivery == DeliveryPromise::AtMostOnce,
    };
    let answer = match connection.exchange(ask, line).await {
        Exchanged::Taken(answer) => answer,
        other => return other.reply(part.len()),
    };
    match &operation.job {
        None => judged(action, operation, scope, Answers { named: Vec::new(), default: &answer }, seen()),
        Some(job) => match job.run((action, operation), scope, sending, &answer, keep, line).await {
            Ok(results) => judged(action, operation, scope, results.answers(), seen()),
            Err(reply) => *reply,
        },
    }
}

/// What the answers say of each record.
fn judged<'a>(
    action: &'a Action,
    operation: &'a Operation,
    scope: Scope<'a>,
    answers: Answers<'a>,
    records: Vec<backflow_definitions::RecordScope<'a>>,
) -> Reply {
    let results = &operation.defined.results;
    let answer: &Answer = answers.default;
    let unreadable = |why: &str| {
        if operation.delivery == DeliveryPromise::AtMostOnce {
            return Reply::Unknown;
        }
        let message = format!(
            "{} answers {} with something that is not understood: {why}",
            action.connection.shown, answer.status
        );
        Reply::Unreadable(Failure::new(Code::DestinationMisconfigured, message))
    };
    if !matches!(results.mode, ResultsMode::Whole | ResultsMode::Accepted) && !answer.readable() {
        return unreadable("no JSON document, or one that is too long");
    }
    if results.requires.as_ref().is_some_and(|requires| !requires.holds(&answer.scope(scope))) {
        return match unreadable("it lacks what the definition requires") {
            Reply::Unreadable(why) => Reply::Again { why, wait: None, throttled: false },
            unknown => unknown,
        };
    }
    let count = records.len();
    let reader = Reader { results, scope, answers, records, shown: &action.connection.shown };
    let read = || Ok((reader.report()?, reader.unaccounted()?));
    let (report, unaccounted) = match read() {
        Ok(read) => read,
        Err(Unreadable::Form(why)) => return unreadable(&why),
        Err(Unreadable::Stop(failure)) => return Reply::Stop(failure),
    };
    let Accounts { mut verdicts, surplus, missing, ambiguous } = account(&report, count, unaccounted);
    for verdict in &mut verdicts {
        if let Verdict::Rejected(fault) = verdict {
            fault.status = answer.status;
        }
    }
    if surplus > 0 || missing > 0 || ambiguous {
        tracing::warn!(
            records = count,
            surplus,
            missing,
            ambiguous,
            "an answer does not speak of exactly the records that were sent"
        );
    }
    Reply::Verdicts { verdicts, ambiguous, stop: None }
}

/// `batch`, as templates see it.
pub(super) fn batch_scope(action: &Action, operation: &Operation, records: &[Record], part: &[u32]) -> Json {
    let chosen = || part.iter().filter_map(|at| records.get(*at as usize));
    let mut members = BTreeMap::from([
        ("id".to_owned(), Json::Text(request_key(chosen()))),
        ("size".to_owned(), Json::Int(part.len() as i64)),
    ]);
    if let Some(first) = chosen().next() {
        members.insert("op".to_owned(), Json::Text(first.op.as_str().to_owned()));
        let scope = action.connection.scope().with_record(action.scope(first, None));
        let group = operation.defined.batch.group_by.iter();
        let group = group.map(|template| template.value(&scope).ok().flatten().unwrap_or(Json::Null));
        members.insert("group".to_owned(), Json::List(group.collect()));
    }
    Json::Object(members)
}

/// A request's idempotency key: 22 characters of the base64url of the SHA-256 over its records' keys, each followed by a line feed.
fn request_key<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    let mut hash = Sha256::new();
    for record in records {
        hash.update(&record.key);
        hash.update(b"\n");
    }
    let mut key = URL_SAFE_NO_PAD.encode(hash.finalize());
    key.truncate(22);
    key
}

#[cfg(test)]
mod tests {
    use backflow_core::selection::Operation as Op;

    use super::*;

    #[test]
    fn a_request_key_is_made_of_its_records_keys() {
        let record = |key: &str| Record {
            id: "1".into(),
            op: Op::Upsert,
            memory: backflow_core::change::Memory::default(),
            data: "{}".into(),
            key: key.into(),
        };
        let records = [record("a"), record("b")];
        // printf 'a\nb\n' | sha256sum, as base64url.
        assert_eq!(request_key(records.iter()), "kRFp3arxRq_1OfWMJsSJrz");
        assert_ne!(request_key(records[..1].iter()), request_key(records.iter()));
    }
}
