//! From a page of changes to records, on a thread of its own: while one page is made ready, the next is read and others are sent.

use std::sync::Arc;

use backflow_core::change::{Change, ChangeKind};
use backflow_core::code::{Code, Failure};
use backflow_core::record::{Record, Rejection, idempotency_key};
use backflow_core::selection::{Operation, Selection};
use backflow_mapping::Renderer;
use tokio::task::JoinHandle;

/// What records are made by.
pub(crate) struct Rendering {
    /// The Mapping's fields, bound to the extraction's columns.
    pub(crate) mapping: Renderer,
    /// The data of a deletion.
    pub(crate) deletion: String,
    /// Which changes are sent, and as what.
    pub(crate) selection: Selection,
    /// Of the state and of the Mapping: parts of every idempotency key.
    pub(crate) incarnation: String,
    /// See `incarnation`.
    pub(crate) fingerprint: String,
}

/// What became of a change. Its row is gone.
pub(crate) enum Rendered {
    /// It is to be sent.
    Record(Change, Record),
    /// The Mapping refuses its content.
    Rejected(Change, Rejection),
    /// The sync mode does not send it.
    NotSelected(Change),
}

/// A page on its way.
pub(crate) struct Page {
    /// Of all its changes.
    pub(crate) kind: ChangeKind,
    rendered: JoinHandle<Vec<Rendered>>,
}

impl Rendering {
    /// Begins to render a page; nothing for the empty one at the end.
    pub(crate) fn begin(self: &Arc<Self>, page: Vec<Change>) -> Option<Page> {
        let kind = page.first()?.kind;
        let rendering = Arc::clone(self);
        let rendered = tokio::spawn(async move { page.into_iter().map(|change| rendering.render(change)).collect() });
        Some(Page { kind, rendered })
    }

    fn render(&self, mut change: Change) -> Rendered {
        let row = std::mem::take(&mut change.row);
        let Some(op) = self.selection.operation(change.kind, change.unsent) else {
            return Rendered::NotSelected(change);
        };
        let rendered = match op {
            Operation::Delete => Ok(self.deletion.clone()),
            _ => self.mapping.render(&row),
        };
        match rendered {
            Ok(data) => {
                let mut id = String::new();
                change.key.write_json(&mut id);
                let key = idempotency_key(&self.incarnation, &change, &self.fingerprint, op);
                Rendered::Record(change, Record { id, op, data, key })
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
        self.rendered
            .await
            .map_err(|error| Failure::new(Code::Internal, format!("a rendering task ended: {}", error.is_panic())))
    }
}
