//! From a page of changes to records, on a thread of its own: while one page is made ready, the next is read and others are sent.

use std::sync::Arc;

use backflow_core::cell::Cell;
use backflow_core::change::{Change, ChangeKind, Memory};
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Extraction;
use backflow_core::plan::MappingPlan;
use backflow_core::record::{Record, Rejection, idempotency_key};
use backflow_core::selection::{Operation, Selection};
use backflow_mapping::{Compiled, Renderer};
use tokio::task::JoinHandle;

/// What records are made by.
pub(crate) struct Rendering {
    /// The Mapping's fields, bound to the extraction's columns.
    mapping: Renderer,
    /// The data of a deletion.
    deletion: String,
    /// Which changes are sent, and as what.
    selection: Selection,
    /// The field that the destination finds records by.
    match_by: Option<String>,
    /// Of the state and of the Mapping: parts of every idempotency key.
    incarnation: String,
    /// See `incarnation`.
    fingerprint: String,
}

/// What became of a change. Its row is gone.
pub(crate) enum Rendered {
    /// It is to be sent.
    Record(Change, Record),
    /// It cannot be sent as it is.
    Rejected(Change, Rejection),
    /// The sync mode does not send it.
    NotSelected(Change),
}

/// A page on its way.
pub(crate) struct Page(JoinHandle<Vec<Rendered>>);

impl Rendering {
    /// What makes the records of these changes.
    ///
    /// # Errors
    /// The extraction lacks a column of the Mapping.
    pub(crate) fn new(mapping: &Compiled, plan: &MappingPlan, extraction: &dyn Extraction) -> Result<Self, Failure> {
        Ok(Self {
            mapping: mapping.bind(extraction.columns())?,
            deletion: mapping.deletion().to_owned(),
            selection: plan.selection.clone(),
            match_by: plan.match_by.clone(),
            incarnation: extraction.incarnation().to_owned(),
            fingerprint: plan.fingerprint.clone(),
        })
    }

    /// Begins to render a page; nothing for the empty one at the end.
    pub(crate) fn begin(self: &Arc<Self>, page: Vec<Change>) -> Option<Page> {
        if page.is_empty() {
            return None;
        }
        let rendering = Arc::clone(self);
        let rendered = tokio::spawn(async move {
            let mut room = Vec::new();
            page.into_iter().map(|change| rendering.render(change, &mut room)).collect()
        });
        Some(Page(rendered))
    }

    /// Makes a record of a change, and takes its row away: it is not needed any more. `row` is room for its values.
    pub(crate) fn render(&self, mut change: Change, row: &mut Vec<Cell>) -> Rendered {
        std::mem::take(&mut change.row).cells_into(row);
        let op = self.selection.operation(change.kind, change.unsent);
        // What was sent before is found by what it had then, as long as nothing else is sent.
        if change.kind != ChangeKind::Deleted && (op.is_some() || !change.known || change.unsent) {
            let memory = match self.mapping.memory(row) {
                Ok(memory) => memory,
                // Why there is no match key says more than that there is none.
                Err(rejection) if op.is_some() => return Rendered::Rejected(change, rejection),
                Err(_) => Memory::default(),
            };
            change.memory = Memory { remote_id: change.memory.remote_id.take(), ..memory };
        }
        let Some(op) = op else { return Rendered::NotSelected(change) };
        let field = self.match_by.as_deref();
        if change.duplicate {
            let message = "another row with a greater primary key has the same match key; make it unique in the Model";
            return Rendered::Rejected(change, Rejection::new("DUPLICATE_MATCH_KEY", field, message));
        }
        if op != Operation::Delete && field.is_some() && change.memory.match_key.is_none() {
            let message = "the field that records are matched by is NULL; give each row a value";
            return Rendered::Rejected(change, Rejection::new("NULL_MATCH_KEY", field, message));
        }
        let data = match op {
            Operation::Delete => Ok(self.deletion.clone()),
            _ => self.mapping.render(row, op),
        };
        match data {
            Ok(data) => {
                let mut id = String::new();
                change.key.write_json(&mut id);
                let key = idempotency_key(&self.incarnation, &change, &self.fingerprint, op);
                let record = Record { id, op, memory: change.memory.clone(), data, key };
                Rendered::Record(change, record)
            }
            Err(rejection) => Rendered::Rejected(change, rejection),
        }
    }
}

impl Page {
    /// What became of its changes, in their order.
    ///
    /// # Errors
    /// Rendering must not panic; if it does, its changes have no outcome and come again.
    pub(crate) async fn rendered(self) -> Result<Vec<Rendered>, Failure> {
        self.0
            .await
            .map_err(|error| Failure::new(Code::Internal, format!("a rendering task ended: {}", error.is_panic())))
    }
}
