//! The first half of a run: claim, journal, extraction, comparison.

use std::collections::VecDeque;
use std::sync::Arc;

use backflow_core::code::Failure;
use backflow_core::extraction::Findings;
use backflow_core::plan::{Mode, OnMappingChange};
use backflow_core::report::Stage;
use backflow_core::selection::{Selection, SyncMode};
use backflow_core::state::{Commit, StateStore};

use super::Request;
use super::changes::Changes;
use super::claim::{Claim, Claimant, claim, look};
use super::compare::{Compare, From, Into};
use super::damage::internal;
use super::document::{Document, Engine};
use super::extract::{Scratch, extract};
use super::fold::Fold;
use super::holders::Holders;
use super::journal::Segment;
use super::known::Known;
use super::layout::Layout;
use super::leaving::Leaving;
use super::matches::Records;
use super::progress::Meter;
use super::replay::Chosen;
use super::run::{Streaming, unix_seconds};
use super::spool::{Spool, Usage};
use super::stored::{Overlay, StateReader};
use crate::warehouse::{Query, Warehouse};

/// A journal of more segments than this is folded before the run: runs that are always killed must not make it grow without end.
const LONG_JOURNAL: u64 = 256;

/// Does everything of a run that comes before delivery.
pub(super) async fn open(
    warehouse: &dyn Warehouse,
    store: Arc<dyn StateStore>,
    request: Request<'_>,
) -> Result<Streaming, Failure> {
    let Request { plan, run, owner, used, described, identify, scratch: folder, clock, reporter } = request;
    if let Mode::Test { .. } = plan.mode {
        return Err(internal("a Test has no changes to look for"));
    }
    let mapping = &plan.mapping;
    let key = mapping.state_key.as_str();
    let mut meter = Meter::new(reporter);
    meter.at(Stage::Starting, 0, 0);
    let mut layout = Layout::new(&plan.model, described, used)?;
    let spec = Layout::spec(&mapping.fingerprint, used);
    let claimant = Claimant { plan, run, owner, engine: Engine::Streaming, now: clock().to_string() };
    let dry = plan.mode == Mode::DryRun;
    let mut claim = if dry {
        look(store.as_ref(), &claimant, spec.clone()).await?
    } else {
        store.prepare().await?;
        claim(store.as_ref(), &claimant, spec.clone()).await?
    };
    let chosen = Chosen::by(&plan.mode, store.as_ref(), key, &claim.run).await?;
    let keep = mapping.on_change == OnMappingChange::Keep;
    layout.identifies = identify.is_some();
    layout.hash_by(&claim.document, &plan.model, described, |old| keep || old.same_mapping(&spec))?;
    let layout = Arc::new(layout);

    let usage = Usage::default();
    let mut overlay = Overlay::new(folder, &usage, claim.document.bits)?;
    overlay.replay(store.as_ref(), key, claim.document.folded + 1..=claim.head.segment).await?;
    if !dry && claim.head.segment - claim.document.folded > LONG_JOURNAL {
        fold_journal(store.as_ref(), key, &mut claim, &overlay).await?;
        overlay = Overlay::new(folder, &usage, claim.document.bits)?;
    }
    let Claim { head, document, run, carried } = claim;
    let all = || StateReader::all(store.as_ref(), key, &document, &overlay);
    let holders = match identify.is_some() && chosen.is_none() {
        true => Some(Holders::read(all(), folder, &usage).await?),
        false => None,
    };
    let overwritten = holders.as_ref().map(|holders| holders.overwritten(folder, &usage)).transpose()?;
    let known = Known::read(&document, all(), chosen.as_ref(), overwritten.as_ref(), head.epoch).await?;
    let query = Query {
        model: plan.model.clone(),
        columns: layout.columns.iter().map(|column| column.name.clone()).collect(),
        filter: mapping.filter.clone(),
        limit: None,
    };
    let scratch = Scratch { folder, usage: usage.clone(), limit: mapping.scratch_bytes, identify: identify.clone() };
    let read = extract(warehouse, query, &layout, known, scratch, &mut meter).await?;

    let mut changes = Changes::new(folder, &usage, read.payload, layout.row, layout.key.clone())?;
    let mut upkeep = Overlay::new(folder, &usage, document.bits)?;
    let mut cleared = Spool::new(folder, 1, usage.clone())?;
    let now = unix_seconds(&clock);
    let scratch_full = read.scratch_full;
    let chosen = chosen.as_ref();
    let records = match read.matches {
        Some(matches) => {
            let contested = holders.as_ref().map(|holders| holders.contested(&matches, folder, &usage)).transpose()?;
            Some(Records { duplicates: matches.duplicates(folder, &usage)?, contested, holders, matches })
        }
        None => None,
    };
    let leaving = if records.is_some() { Some(Leaving::new(folder, &usage)?) } else { None };
    let takes_back = mapping.selection == Selection::SyncMode(SyncMode::Mirror);
    let compare = Compare {
        plan,
        state_key: key,
        document: &document,
        layout: &layout,
        chosen,
        first_epoch: run.first_epoch,
        now,
        scratch_full,
    };
    let from = From { index: read.index, listed: read.listed, known: read.known, state: all(), records };
    let into = Into { changes: &mut changes, upkeep: &mut upkeep, cleared: &mut cleared, leaving, takes_back };
    let found = compare.run(from, into, &mut meter).await?;
    overlay.absorb(&upkeep)?;
    let upkeep = upkeep.entries() > 0;

    let findings = Findings { rows: read.rows, invalid_null_key: read.null_keys, scratch_full, ..found.findings };
    Ok(Streaming {
        state_key: key.to_owned(),
        selection: mapping.selection.clone(),
        before: document.checkpoint(),
        document: Document { rows: findings.known - found.superseded_known, ..document },
        columns: layout.columns[..layout.row].to_vec(),
        identify,
        mode: plan.mode.clone(),
        ahead: VecDeque::new(),
        room: Segment::default(),
        head,
        run,
        carried,
        rejected: found.rejected,
        specs: found.specs,
        expired: found.expired,
        entries: found.entries,
        acked_updates: 0,
        acked_adds: 0,
        whole: true,
        upkeep,
        store,
        clock,
        meter,
        findings,
        changes,
        overlay,
        cleared,
    })
}

/// Makes what earlier runs committed and did not fold part of the partitions.
async fn fold_journal(store: &dyn StateStore, key: &str, claim: &mut Claim, overlay: &Overlay) -> Result<(), Failure> {
    let Claim { head, document, run, .. } = claim;
    head.generation += 1;
    let fold = Fold {
        store,
        state_key: key,
        epoch: head.epoch,
        generation: head.generation,
        entries: document.rows,
        prune: None,
    };
    fold.write(document, overlay).await?;
    document.folded = head.segment;
    head.document = document.text()?;
    let commit = Commit { state_key: key, head, segment: None, run, rejects: &[] };
    store.fold(commit, &document.current()).await
}
