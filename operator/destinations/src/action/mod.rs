//! An action of a definition that is spoken to by HTTP, as a [`Transport`]: which requests a batch becomes, and what their answers say of each record.

mod answer;
mod attempt;
mod batch;
mod begun;
mod connection;
mod ensure;
mod job;
mod known;
mod lookup;
mod operation;
mod pages;
mod rates;
mod report;
mod request;

use async_trait::async_trait;
use backflow_core::record::Record;
use backflow_core::selection::Operation as Op;
use backflow_definitions::{Action as Defined, DeliveryPromise, RecordScope};

use answer::Answer;
pub(crate) use batch::{AROUND, Batch};
pub(crate) use begun::{Jobs, Keep};
pub(crate) use connection::{Ask, Connection, Exchanged, base, shown_or};
pub(crate) use ensure::{Ensure, Ensured};
pub(crate) use job::Job;
pub(crate) use known::Known;
pub(crate) use lookup::Lookup;
pub(crate) use operation::Operation;
pub(crate) use pages::pages;
pub(crate) use rates::Rates;
pub(crate) use request::{Request, header};

use crate::delivery::{Line, Prepared, Reply, Transport, lanes_of};

/// An action, prepared for one run.
pub(crate) struct Action {
    pub(crate) defined: &'static Defined,
    pub(crate) connection: Connection,
    pub(crate) operations: Vec<Operation>,
    /// What its operations made sure of.
    pub(crate) ensured: Ensured,
    /// Jobs that are on, where that outlives a pod.
    pub(crate) jobs: Option<Jobs>,
    /// The paths of the fields that records are matched and grouped by.
    pub(crate) match_by: Option<String>,
    pub(crate) group_by: Option<String>,
}

impl Action {
    /// The place of the operation for this.
    fn place(&self, op: Op) -> Option<usize> {
        self.operations.iter().position(|operation| operation.defined.ops.contains(&op))
    }

    /// A record as templates see it.
    fn scope<'a>(&'a self, record: &'a Record, known: Option<&'a Known>) -> RecordScope<'a> {
        let remote_id = known.and_then(|known| known.remote_id.as_deref());
        RecordScope {
            remote_id: remote_id.or(record.memory.remote_id.as_deref()),
            found: known.and_then(|known| known.found.as_ref()),
            match_by: self.match_by.as_deref(),
            group_by: self.group_by.as_deref(),
            ..RecordScope::new(record)
        }
    }
}

#[async_trait]
impl Transport for Action {
    type Batch = Batch;

    fn prepare(&self, records: &[Record]) -> Prepared<Batch> {
        let mut prepared = batch::prepare(self, records);
        prepared.lanes = lanes_of(self.defined.ordering, records);
        prepared
    }

    fn size(&self, batch: &Batch, part: &[u32]) -> usize {
        batch.size(part)
    }

    fn bisects(&self, batch: &Batch, part: &[u32]) -> bool {
        let place = part.first().and_then(|first| batch.operation(*first));
        place.is_some_and(|place| self.operations[place].defined.results.bisect)
    }

    async fn unfinished(&self) -> Vec<Vec<String>> {
        match &self.jobs {
            Some(jobs) => jobs.unfinished().await,
            None => Vec::new(),
        }
    }

    async fn finish(&self) {
        if let Some(jobs) = &self.jobs {
            jobs.tidy().await;
        }
    }

    fn repeats(&self) -> bool {
        self.defined.idempotent && self.defined.delivery == DeliveryPromise::AtLeastOnce
    }

    async fn attempt(&self, records: &[Record], batch: &Batch, part: &[u32], line: &Line<'_>) -> Reply {
        let Some(place) = part.first().and_then(|first| batch.operation(*first)) else {
            return Reply::Verdicts { verdicts: Vec::new(), ambiguous: false, stop: None };
        };
        attempt::attempt(attempt::Trying { action: self, records, batch, part, line }, place, false).await
    }
}
