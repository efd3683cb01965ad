//! Finding the destination's ids before writing.

use std::collections::{BTreeMap, HashMap, HashSet};

use backflow_core::record::{Outcome, Record, Rejection};
use backflow_definitions::{Lookup as Defined, OnFound, OnMissing, Scope, Variable};
use backflow_expressions::Json;

use super::operation::Shared;
use super::request::{Request, Sending};
use super::{Action, Answer, Ask, Exchanged, Known, Operation};
use crate::delivery::{Line, Reply};
use crate::encode::Items;
use crate::http::Reading;
use crate::results::Verdict;

/// A lookup, prepared for one run.
pub(crate) struct Lookup {
    pub(crate) defined: &'static Defined,
    pub(crate) request: Request,
}

/// What was found, in the order of the part.
pub(super) struct Looked {
    pub(super) known: Vec<Known>,
    /// Of those that are through.
    pub(super) verdicts: Vec<Option<Verdict>>,
    /// Those that go to the operation for Insert.
    pub(super) insert: Vec<bool>,
}

/// What an answer has under each key.
type Found = HashMap<String, Vec<Json>>;

impl Lookup {
    /// Looks up the records of a part.
    pub(super) async fn look(
        &self,
        action: &Action,
        operation: &Operation,
        records: &[Record],
        part: &[u32],
        shared: &Shared,
        line: &Line<'_>,
    ) -> Result<Looked, Reply> {
        let mut looked = Looked::nothing(part.len());
        let mut wanted = Vec::with_capacity(part.len());
        for (place, at) in part.iter().enumerate() {
            let record = &records[*at as usize];
            if let Some(id) = record.memory.remote_id.as_deref().filter(|_| self.defined.use_known) {
                let value = Json::parse(id).unwrap_or_else(|_| Json::Text(id.to_owned()));
                let found = Json::Object(BTreeMap::from([("remoteId".to_owned(), value)]));
                looked.known[place] = Known { remote_id: Some(id.to_owned()), found: Some(found) };
                continue;
            }
            let scope = action.connection.scope().with_record(action.scope(record, None));
            match self.defined.equals.text(&scope) {
                Ok(Some(key)) if !key.is_empty() => wanted.push((place, key)),
                _ => {
                    let message = "it has no key to look it up by at the destination; give the field a value";
                    looked.reject(place, "NO_LOOKUP_KEY", message);
                }
            }
        }
        for chunk in wanted.chunks(self.defined.max_records.max(1) as usize) {
            let found = self.ask(action, operation, records, part, chunk, shared, line).await?;
            for (place, key) in chunk {
                self.decide(&mut looked, *place, found.get(key).map_or(&[], Vec::as_slice));
            }
        }
        Ok(looked)
    }

    /// Asks for some records.
    #[allow(clippy::too_many_arguments, reason = "an attempt's own circumstances, which have no other home")]
    async fn ask(
        &self,
        action: &Action,
        operation: &Operation,
        records: &[Record],
        part: &[u32],
        chunk: &[(usize, String)],
        shared: &Shared,
        line: &Line<'_>,
    ) -> Result<Found, Reply> {
        let connection = &action.connection;
        let mut items = Items::with_capacity(chunk.len(), 0);
        let mut seen = HashSet::new();
        let mut scope = connection.scope().with(Variable::Batch, &shared.batch).with(Variable::Ensure, &shared.ensured);
        for (place, _) in chunk.iter().filter(|(_, key)| seen.insert(key.clone())) {
            let record = action.scope(&records[part[*place] as usize], None);
            if self.defined.max_records == 1 {
                scope = scope.with_record(record);
            }
            if let Some(item) = &self.request.item {
                let written = items.push_with(|out| item.write(&connection.scope().with_record(record), out).map(drop));
                written.map_err(|error| Exchanged::from(error).reply(part.len()))?;
            }
        }
        let all: Vec<u32> = (0..items.len() as u32).collect();
        let sending = self.request.item.is_some().then_some(Sending { items: &items, part: &all });
        let values = self.request.values(sending, self.names_items());
        let values = values.map_err(|error| Exchanged::from(error).reply(part.len()))?;
        if let Some(values) = &values {
            scope = scope.with(Variable::Items, values);
        }
        let ask = Ask {
            request: &self.request,
            scope,
            sending,
            reading: Reading::Rules,
            rules: &operation.rules,
            deletion: false,
            once: false,
        };
        match connection.exchange(ask, line).await {
            Exchanged::Taken(answer) => self.read(action, scope, &answer),
            // "Not there" is an answer to a question for one.
            Exchanged::Ignored => Ok(Found::new()),
            other => Err(other.reply(part.len())),
        }
    }

    /// Whether what reads the answer names the items.
    fn names_items(&self) -> bool {
        let stored = self.defined.store.iter().map(|(_, template)| template);
        let mut reads = [&self.defined.from, &self.defined.key].into_iter().chain(stored);
        reads.any(|template| template.names(Variable::Items))
    }

    /// What an answer has under each key.
    fn read(&self, action: &Action, scope: Scope<'_>, answer: &Answer) -> Result<Found, Reply> {
        let unreadable = |why: &str| {
            let message = format!(
                "{} answers {} to a lookup with something that is not understood: {why}",
                action.connection.shown, answer.status
            );
            Reply::Unreadable(backflow_core::code::Failure::new(
                backflow_core::code::Code::DestinationMisconfigured,
                message,
            ))
        };
        if !answer.readable() {
            return Err(unreadable("no JSON document, or one that is too long"));
        }
        let scope = answer.scope(scope);
        let list = match self.defined.from.value(&scope) {
            Ok(None | Some(Json::Null)) => Vec::new(),
            Ok(Some(Json::List(list))) => list,
            _ => return Err(unreadable("it has no list where the definition expects one")),
        };
        let mut found = Found::new();
        for (index, it) in (0..).map(Json::Int).zip(&list) {
            let scope = scope.with(Variable::It, it).with(Variable::Index, &index);
            let Ok(Some(key)) = self.defined.key.text(&scope) else { continue };
            let mut stored = BTreeMap::new();
            for (name, template) in &self.defined.store {
                if let Ok(Some(value)) = template.value(&scope) {
                    stored.insert(name.clone(), value);
                }
            }
            found.entry(key).or_default().push(Json::Object(stored));
        }
        Ok(found)
    }

    /// What becomes of a record of which this was found.
    fn decide(&self, looked: &mut Looked, place: usize, found: &[Json]) {
        let there = || Some(Verdict::Delivered { remote_id: None });
        match (found, self.defined.on_missing, self.defined.on_found) {
            ([], OnMissing::Insert, _) => looked.insert[place] = true,
            ([], OnMissing::Send, _) => {}
            ([], OnMissing::Succeed, _) => looked.verdicts[place] = there(),
            ([], OnMissing::Reject, _) => {
                looked.reject(
                    place,
                    "NOT_FOUND",
                    "the destination has no such record; create it first, or choose another sync mode",
                );
            }
            ([_, _, ..], ..) if !self.defined.many_first => {
                looked.reject(
                    place,
                    "AMBIGUOUS",
                    "the destination has several records with this key; merge them there",
                );
            }
            (_, _, OnFound::Reject) => looked.reject(place, "ALREADY_THERE", "the destination has this record already"),
            ([first, ..], _, on_found) => {
                let remote_id = first.get("remoteId").filter(|id| **id != Json::Null).map(ToString::to_string);
                if on_found == OnFound::Succeed {
                    let remote_id = remote_id.map(String::into_boxed_str);
                    looked.verdicts[place] = Some(Verdict::Delivered { remote_id });
                } else {
                    looked.known[place] = Known { remote_id, found: Some(first.clone()) };
                }
            }
        }
    }
}

impl Looked {
    /// Of records that need no lookup.
    pub(super) fn nothing(records: usize) -> Self {
        Self { known: vec![Known::default(); records], verdicts: vec![None; records], insert: vec![false; records] }
    }

    fn reject(&mut self, place: usize, code: &str, message: &str) {
        self.verdicts[place] = Some(Verdict::Settled(Outcome::Rejected(Rejection::new(code, None, message))));
    }
}
