//! One try of a part: what must exist, what must be known, then the write, each record by the operation that it turns out to need.

use std::collections::BTreeMap;

use backflow_core::record::{Outcome, Record};
use backflow_core::selection::Operation as Op;
use backflow_definitions::Variable;
use backflow_expressions::Json;

use super::batch::definition_error;
use super::lookup::Looked;
use super::operation::{Rendered, Shared, batch_scope, write};
use super::{Action, Batch, Known, Operation};
use crate::delivery::{Line, Reply};
use crate::encode::Items;
use crate::results::Verdict;

/// What is tried.
#[derive(Clone, Copy)]
pub(super) struct Trying<'a> {
    pub(super) action: &'a Action,
    pub(super) records: &'a [Record],
    pub(super) batch: &'a Batch,
    pub(super) part: &'a [u32],
    pub(super) line: &'a Line<'a>,
}

/// Sends a part by the operation at `place`. `routed`: its records came here from another one.
pub(super) async fn attempt(trying: Trying<'_>, place: usize, routed: bool) -> Reply {
    let Trying { action, records, batch, part, line } = trying;
    let operation = &action.operations[place];
    let mut shared =
        Shared { batch: batch_scope(action, operation, records, part), ensured: Json::Object(BTreeMap::new()) };
    for ensure in &operation.ensure {
        match ensure.there(action, operation, &mut shared, line).await {
            Ok(true) => {}
            Ok(false) => return ensure.missing(part.len()),
            Err(reply) => return reply,
        }
    }
    if !operation.asks_first() && !routed {
        let items = Rendered { items: &batch.items, known: None };
        return write(trying, operation, &items, &shared).await;
    }
    // Each try looks again: what was written in a try whose answer was lost is found.
    let looked = match &operation.lookup {
        Some(lookup) => lookup.look(action, operation, records, part, &shared, line).await,
        None => Ok(Looked::nothing(part.len())),
    };
    let Looked { known, verdicts, insert } = match looked {
        Ok(looked) => looked,
        Err(reply) => return reply,
    };
    let mut merged = Merged { verdicts, ambiguous: false };
    for inserts in [false, true] {
        let chosen: Vec<usize> =
            (0..part.len()).filter(|at| merged.verdicts[*at].is_none() && insert[*at] == inserts).collect();
        let reply = match (inserts, action.place(Op::Insert)) {
            _ if chosen.is_empty() => continue,
            (true, Some(insert)) if !routed => {
                let part: Vec<u32> = chosen.iter().map(|at| part[*at]).collect();
                Box::pin(attempt(Trying { part: &part, ..trying }, insert, true)).await
            }
            (true, _) => continue,
            (false, _) => written(trying, operation, &known, &chosen, &mut shared, &mut merged).await,
        };
        if let Some(reply) = merged.take(&chosen, reply) {
            return reply;
        }
    }
    merged.reply()
}

/// Writes the chosen records of a part, now that ids are known.
async fn written(
    trying: Trying<'_>,
    operation: &Operation,
    known: &[Known],
    chosen: &[usize],
    shared: &mut Shared,
    merged: &mut Merged,
) -> Reply {
    let (items, rendered) = render(trying, operation, known, shared, chosen, merged);
    let sub: Vec<u32> = rendered.iter().map(|at| trying.part[*at]).collect();
    if sub.is_empty() {
        return merged.of(chosen);
    }
    shared.batch = batch_scope(trying.action, operation, trying.records, &sub);
    let known: Vec<Known> = rendered.iter().map(|at| known[*at].clone()).collect();
    let reply =
        write(Trying { part: &sub, ..trying }, operation, &Rendered { items: &items, known: Some(&known) }, shared)
            .await;
    match merged.take(&rendered, reply) {
        Some(reply) => reply,
        None => merged.of(chosen),
    }
}

/// Writes items now that ids are known, and says of which records. One that has none is rejected.
fn render(
    Trying { action, records, part, .. }: Trying<'_>,
    operation: &Operation,
    known: &[Known],
    shared: &Shared,
    chosen: &[usize],
    merged: &mut Merged,
) -> (Items, Vec<usize>) {
    let mut items = Items::with_capacity(chosen.len(), 0);
    let mut written = Vec::with_capacity(chosen.len());
    for at in chosen {
        let record = &records[part[*at] as usize];
        let scope = action.connection.scope().with(Variable::Ensure, &shared.ensured);
        let scope = scope.with_record(action.scope(record, known.get(*at)));
        let mut text = String::new();
        match operation.item().map_or(Ok(true), |item| item.write(&scope, &mut text)) {
            Ok(_) => {
                items.push(&text);
                written.push(*at);
            }
            Err(error) => {
                merged.verdicts[*at] = Some(Verdict::Settled(Outcome::Rejected(definition_error(&error.to_string()))));
            }
        }
    }
    (items, written)
}

/// The verdicts of a part whose records went different ways.
struct Merged {
    verdicts: Vec<Option<Verdict>>,
    ambiguous: bool,
}

impl Merged {
    /// The verdicts of the chosen ones.
    fn of(&self, chosen: &[usize]) -> Reply {
        let verdicts = chosen.iter().map(|at| self.verdicts[*at].clone().unwrap_or(Verdict::Unclear)).collect();
        Reply::Verdicts { verdicts, ambiguous: self.ambiguous, stop: None }
    }

    /// Takes what became of some of the records. What is not one verdict for each is the whole part's, unless some are already through.
    fn take(&mut self, chosen: &[usize], reply: Reply) -> Option<Reply> {
        match reply {
            Reply::Verdicts { verdicts, ambiguous, stop: None } => {
                self.ambiguous |= ambiguous;
                for (at, verdict) in chosen.iter().zip(verdicts) {
                    self.verdicts[*at] = Some(verdict);
                }
                None
            }
            other if self.verdicts.iter().all(Option::is_none) => Some(other),
            Reply::Stop(failure) => {
                let verdicts = self.verdicts.iter().map(|verdict| verdict.clone().unwrap_or(Verdict::Unclear));
                Some(Reply::Verdicts { verdicts: verdicts.collect(), ambiguous: false, stop: Some(failure) })
            }
            // The others are sent again alone, and that is answered as a whole.
            _ => {
                chosen.iter().for_each(|at| self.verdicts[*at] = Some(Verdict::Again));
                None
            }
        }
    }

    fn reply(self) -> Reply {
        let verdicts = self.verdicts.into_iter().map(|verdict| verdict.unwrap_or(Verdict::Unclear)).collect();
        Reply::Verdicts { verdicts, ambiguous: self.ambiguous, stop: None }
    }
}
