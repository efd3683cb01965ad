//! What must exist before records are sent: a list, an audience. Found or made once in a run.

use std::collections::HashMap;

use backflow_core::code::{Code, Failure};
use backflow_core::record::{Outcome, Rejection};
use backflow_definitions::{Ensure as Defined, Scope, Template, Variable};
use backflow_expressions::Json;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::operation::Shared;
use super::request::Request;
use super::{Action, Ask, Exchanged, Operation};
use crate::delivery::{Line, Reply};
use crate::http::Reading;
use crate::results::Verdict;

/// Things that are remembered; more groups than that are asked for again.
const REMEMBERED: usize = 10_000;

/// What must exist.
pub(crate) struct Ensure {
    pub(crate) defined: &'static Defined,
    pub(crate) lookup: Option<Request>,
    pub(crate) create: Option<Request>,
}

/// What exists already, by the hash of what is asked for: for all operations of an action. Held while asking, so that nothing is made
/// twice.
pub(crate) type Ensured = Mutex<HashMap<[u8; 32], (Json, Instant)>>;

impl Ensure {
    pub(crate) fn new(defined: &'static Defined, lookup: Option<Request>, create: Option<Request>) -> Self {
        Self { defined, lookup, create }
    }

    /// The records that need what is not there, and is not made.
    pub(super) fn missing(&self, records: usize) -> Reply {
        let message =
            format!("the destination has no {} for this record; create it there, or correct the row", self.defined.id);
        let verdict = Verdict::Settled(Outcome::Rejected(Rejection::new("NOT_FOUND", None, message)));
        Reply::Verdicts { verdicts: vec![verdict; records], ambiguous: false, stop: None }
    }

    /// Finds or makes it, and says so to what comes after; false if it is not there and its records are rejected.
    pub(super) async fn there(
        &self,
        action: &Action,
        operation: &Operation,
        shared: &mut Shared,
        line: &Line<'_>,
    ) -> Result<bool, Reply> {
        let scope =
            action.connection.scope().with(Variable::Batch, &shared.batch).with(Variable::Ensure, &shared.ensured);
        let wanted = self.wanted(&scope)?;
        let mut there = action.ensured.lock().await;
        let now = Instant::now();
        let remembered = there.get(&wanted).filter(|(_, until)| *until > now).map(|(value, _)| value.clone());
        let value = match remembered {
            Some(value) => value,
            None => {
                let Some(value) = self.find_or_make(action, operation, scope, line).await? else { return Ok(false) };
                if there.len() >= REMEMBERED {
                    there.clear();
                }
                there.insert(wanted, (value.clone(), now + self.defined.cache));
                value
            }
        };
        drop(there);
        if let Json::Object(members) = &mut shared.ensured {
            members.insert(self.defined.id.clone(), value);
        }
        Ok(true)
    }

    async fn find_or_make(
        &self,
        action: &Action,
        operation: &Operation,
        scope: Scope<'_>,
        line: &Line<'_>,
    ) -> Result<Option<Json>, Reply> {
        if let (Some(request), Some(asking)) = (&self.lookup, &self.defined.lookup)
            && let Some(value) = self.ask(action, operation, request, &asking.from, scope, line).await?
        {
            return Ok(Some(value));
        }
        let made = match (&self.create, &self.defined.create) {
            (Some(request), Some(asking)) => self.ask(action, operation, request, &asking.from, scope, line).await?,
            _ => None,
        };
        if made.is_none() && !self.defined.reject_missing {
            let message = format!(
                "{} has no {} as spec.config of the Mapping names it; create it there, or correct the config",
                action.connection.shown, self.defined.id
            );
            return Err(Reply::Stop(Failure::new(Code::DestinationMisconfigured, message)));
        }
        Ok(made)
    }

    async fn ask(
        &self,
        action: &Action,
        operation: &Operation,
        request: &Request,
        from: &Template,
        scope: Scope<'_>,
        line: &Line<'_>,
    ) -> Result<Option<Json>, Reply> {
        let reading = Reading::Rules;
        let ask = Ask { request, scope, sending: None, reading, rules: &operation.rules, deletion: false, once: false };
        match action.connection.exchange(ask, line).await {
            Exchanged::Taken(answer) => {
                let value = from.value(&answer.scope(scope)).map_err(|error| Exchanged::from(error).reply(0))?;
                Ok(value.filter(|value| *value != Json::Null))
            }
            Exchanged::Ignored => Ok(None),
            // A refusal of this is no refusal of a record.
            Exchanged::Else(Reply::Refused { status, .. }) => {
                let message = format!(
                    "{} answers {status} when {} is looked for or made; check spec.config of the Mapping and the account",
                    action.connection.shown, self.defined.id
                );
                Err(Reply::Stop(Failure::new(Code::DestinationMisconfigured, message)))
            }
            other => Err(other.reply(0)),
        }
    }

    /// What is asked for: the requests as far as they depend on the batch.
    fn wanted(&self, scope: &Scope<'_>) -> Result<[u8; 32], Reply> {
        let mut hash = Sha256::new();
        for asking in [&self.defined.lookup, &self.defined.create].into_iter().flatten() {
            hash.update(asking.from.source());
            hash.update(b"\n");
        }
        let nowhere = reqwest::Url::parse("http://ensure.invalid")
            .map_err(|_| Reply::Stop(Failure::new(Code::Internal, "a constant is no URL")))?;
        let none = Json::Object(std::collections::BTreeMap::new());
        let scope = scope.with(Variable::Auth, &none);
        for request in [&self.lookup, &self.create].into_iter().flatten() {
            let headers = reqwest::header::HeaderMap::new();
            // What depends on the token is the same for all batches.
            if let Ok(outgoing) = request.render(&nowhere, &headers, &scope, None) {
                hash.update(outgoing.url.as_str());
                hash.update(b"\n");
                hash.update(&outgoing.body);
                hash.update(b"\n");
            }
        }
        Ok(hash.finalize().into())
    }
}
