//! The first half of a run: claim, tables, what a killed run left, delta.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use backflow_core::change::Identify;
use backflow_core::code::Failure;
use backflow_core::extraction::Extraction;
use backflow_core::failpoint;
use backflow_core::plan::{Mode, OnMappingChange};
use backflow_core::report::Stage;
use backflow_core::selection::{Selection, SyncMode};
use backflow_core::state::StateStore;

use super::super::Request;
use super::super::claim::{Claim, Claimant, claim, look};
use super::super::compare::TOMBSTONE_SECONDS;
use super::super::damage::internal;
use super::super::document::Engine;
use super::super::layout::Layout;
use super::super::progress::Meter;
use super::super::replay::Chosen;
use super::super::run::unix_seconds;
use super::dialect::{Delta, Dialect as _};
use super::limits::{bounded, whole};
use super::page::{Shape, number_of};
use super::ready::ready;
use super::records;
use super::run::{KINDS, Pushdown};
use super::statement::Statement;
use super::summary::Summary;
use super::transport::{Fence, Reading, Transport};

/// Does everything of a run that comes before delivery.
pub(crate) async fn open<T: Transport + 'static>(
    transport: T,
    store: Arc<dyn StateStore>,
    request: Request<'_>,
) -> Result<Box<dyn Extraction>, Failure> {
    let Request { plan, run, owner, used, described, identify, clock, reporter, .. } = request;
    if let Mode::Test { .. } = plan.mode {
        return Err(internal("a Test has no changes to look for"));
    }
    let mapping = &plan.mapping;
    let state_key = mapping.state_key.as_str();
    let mut meter = Meter::new(reporter);
    meter.at(Stage::Starting, 0, 0);
    let mut layout = Layout::new(&plan.model, described, used)?;
    let spec = Layout::spec(&mapping.fingerprint, used);
    store.prepare().await?;
    let claimant = Claimant { plan, run, owner, engine: Engine::Pushdown, now: clock().to_string() };
    let dry = plan.mode == Mode::DryRun;
    let Claim { head, mut document, run, carried } = if dry {
        look(store.as_ref(), &claimant, spec.clone()).await?
    } else {
        claim(store.as_ref(), &claimant, spec.clone()).await?
    };
    let asked = Chosen::by(&plan.mode, store.as_ref(), state_key, &run).await?;
    let keep = mapping.on_change == OnMappingChange::Keep;
    layout.hash_by(&document, &plan.model, described, |old| keep || old.same_mapping(&spec))?;

    let fence = Fence { state_key, claim: (!dry).then_some(head.epoch) };
    let reading = Reading { model: &plan.model, filter: mapping.filter.as_deref() };
    let columns = transport.typed(reading, &layout.columns).await?;
    let names = ready(&transport, fence, &document, &columns, &layout.key, identify.is_some()).await?;
    let wires: Vec<T::Wire> = columns.iter().take(layout.row).map(|column| column.wire.clone()).collect();
    let shape = Shape::new(&transport, &names, &wires)?;
    let delta = Delta {
        names: &names,
        columns: &columns,
        row: layout.row,
        key: &layout.key,
        specs: &layout.specs,
        epoch: head.epoch,
        rev_floor: document.rev_floor,
        resend_below: document.resend_below(),
        resend: !keep,
        retry_rejected: plan.options.retry_rejected,
        sent: &sent(&mapping.selection),
        // A Replay does not keep all rows that are no change, so that they cannot be counted.
        exact: asked.is_some(),
        stored: transport.stored(reading).await?,
        identifies: identify.is_some(),
        mirror: mapping.selection == Selection::SyncMode(SyncMode::Mirror),
        chosen: asked.as_ref().map(|asked| records::chosen(asked, &names.keys, transport.dialect())),
    };
    meter.at(Stage::Extracting, 0, 0);
    let comparing = Comparing {
        transport: &transport,
        fence,
        reading,
        shape: &shape,
        identify: identify.as_ref(),
        asked: asked.as_ref(),
        first_epoch: run.first_epoch,
        now: unix_seconds(&clock) as i64,
    };
    let compared = async {
        let (delta, found) = comparing.find(delta.clone()).await?;
        whole(state_key, &document, &found)?;
        bounded(&transport, fence, &delta, &plan.model.name, &found).await?;
        comparing.resolve(&delta, found).await
    }
    .await;
    let summary = match compared {
        Ok(summary) => summary,
        Err(failure) => {
            // Nothing of it was handed out: left behind, it would look as if.
            let drops = [&names.delta, &names.found, &names.marks].map(|table| transport.dialect().drop(table));
            let _ = transport.fenced(fence, drops.map(Statement::plain).into()).await;
            return Err(failure);
        }
    };
    // As it was checked; a head that says so comes with the next commit.
    document.rows = summary.findings.known;
    failpoint::hit("after-delta");
    meter.at(Stage::Comparing, summary.findings.rows, summary.findings.rows);

    Ok(Box::new(Pushdown {
        state_key: state_key.to_owned(),
        claim: fence.claim,
        selection: mapping.selection.clone(),
        replay: asked.is_some(),
        identifies: identify.is_some(),
        patience: store.patience(),
        before: document.checkpoint(),
        columns: layout.columns[..layout.row].to_vec(),
        findings: summary.findings.clone(),
        rejected: Some(HashSet::new()),
        extra: HashSet::new(),
        offered: Vec::new(),
        acked: BTreeMap::new(),
        withheld: false,
        summary,
        shape,
        names,
        transport,
        clock,
        meter,
        head,
        document,
        run,
        carried,
    }))
}

/// What a comparison goes by.
struct Comparing<'a, T: Transport> {
    transport: &'a T,
    fence: Fence<'a>,
    reading: Reading<'a>,
    shape: &'a Shape<T::Wire>,
    identify: Option<&'a Identify>,
    asked: Option<&'a Chosen>,
    first_epoch: u64,
    now: i64,
}

impl<T: Transport> Comparing<'_, T> {
    /// Compares model and entries, once more if duplicates are hidden among unchanged rows.
    async fn find<'d>(&self, mut delta: Delta<'d, T::Wire>) -> Result<(Delta<'d, T::Wire>, Summary), Failure> {
        let mut found = self.compare(&delta, false).await?;
        if found.hidden_duplicates && !delta.exact {
            delta.exact = true;
            found = self.compare(&delta, true).await?;
        }
        Ok((delta, found))
    }

    async fn compare(&self, delta: &Delta<'_, T::Wire>, again: bool) -> Result<Summary, Failure> {
        let dialect = self.transport.dialect();
        let names = delta.names;
        let (table, then) = if delta.is_staged() {
            (&names.found, dialect.index_found(names))
        } else {
            (&names.delta, dialect.index_delta(names).into_iter().collect())
        };
        let mut first = Vec::new();
        if again {
            first.push(dialect.drop(table));
            first.extend(delta.is_staged().then(|| dialect.drop(&names.marks)));
        }
        self.transport.make(self.fence, self.reading, first, dialect.delta(delta), then).await?;
        self.summary(delta, table).await
    }

    async fn summary(&self, delta: &Delta<'_, T::Wire>, table: &str) -> Result<Summary, Failure> {
        let expired = self.now - TOMBSTONE_SECONDS as i64;
        let sql = self.transport.dialect().summary(delta.names, table, self.first_epoch, expired);
        let rows = self.transport.numbers(self.fence.state_key, sql).await?;
        Ok(Summary { expired_before: expired, ..Summary::read(&rows)? })
    }

    /// Makes the delta of what was found, if that is not the delta already.
    async fn resolve(&self, delta: &Delta<'_, T::Wire>, found: Summary) -> Result<Summary, Failure> {
        if !delta.is_staged() {
            return Ok(found);
        }
        let names = match self.asked {
            Some(Chosen::Keys { names, .. }) => Some(names),
            _ => None,
        };
        records::look(self.transport, self.fence, delta, self.shape, self.identify, names).await?;
        let dialect = self.transport.dialect();
        let mut statements = vec![dialect.resolve(delta)];
        statements.extend(dialect.index_delta(delta.names));
        statements.extend([&delta.names.found, &delta.names.marks].map(|table| dialect.drop(table)));
        self.transport.fenced(self.fence, statements.into_iter().map(Statement::plain).collect()).await?;
        Ok(found.resolved(self.summary(delta, &delta.names.delta).await?))
    }
}

/// Changes that are sent, by kind and whether the key was never sent.
fn sent(selection: &Selection) -> Vec<(u8, bool)> {
    let all = KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
    all.filter(|(kind, unsent)| selection.operation(*kind, *unsent).is_some())
        .map(|(kind, unsent)| (number_of(kind), unsent))
        .collect()
}
