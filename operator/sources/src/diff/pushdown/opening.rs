//! The first half of a run: claim, tables, what a killed run left, delta.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use backflow_core::code::{Code, Failure};
use backflow_core::extraction::Extraction;
use backflow_core::failpoint;
use backflow_core::plan::{Mode, OnMappingChange};
use backflow_core::report::Stage;
use backflow_core::selection::Selection;
use backflow_core::state::StateStore;

use super::super::Request;
use super::super::claim::{Claim, Claimant, claim};
use super::super::compare::TOMBSTONE_SECONDS;
use super::super::damage::{Damage, internal};
use super::super::document::{Document, Engine};
use super::super::extract::{MAX_KEY, MAX_RECORD};
use super::super::layout::Layout;
use super::super::progress::Meter;
use super::super::run::unix_seconds;
use super::dialect::{Delta, Dialect as _, KeyColumn, Names, Typed, key_column, key_part};
use super::page::{Shape, number_of};
use super::run::{KINDS, Pushdown};
use super::summary::Summary;
use super::tables;
use super::transport::{Fence, Reading, Table, Transport};

/// Does everything of a run that comes before delivery.
pub(crate) async fn open<T: Transport + 'static>(
    transport: T,
    store: Arc<dyn StateStore>,
    request: Request<'_>,
) -> Result<Box<dyn Extraction>, Failure> {
    let Request { plan, run, owner, used, described, identify, clock, reporter, .. } = request;
    if !matches!(plan.mode, Mode::Incremental | Mode::Full | Mode::Reset) || identify.is_some() {
        // Plans of such runs are refused where they are made.
        return Err(internal("a run was planned that the pushdown engine has not"));
    }
    let mapping = &plan.mapping;
    let state_key = mapping.state_key.as_str();
    let mut meter = Meter::new(reporter);
    meter.at(Stage::Starting, 0, 0);
    let mut layout = Layout::new(&plan.model, described, used)?;
    let spec = Layout::spec(&mapping.fingerprint, used);
    store.prepare().await?;
    let claimant = Claimant { plan, run, owner, engine: Engine::Pushdown, now: clock().to_string() };
    let Claim { head, document, run, carried } = claim(store.as_ref(), &claimant, spec.clone()).await?;
    let keep = mapping.on_change == OnMappingChange::Keep;
    layout.hash_by(&document, &plan.model, described, |old| keep || old.same_mapping(&spec))?;

    let fence = Fence { state_key, epoch: head.epoch };
    let reading = Reading { model: &plan.model, filter: mapping.filter.as_deref() };
    let columns = transport.typed(reading, &layout.columns).await?;
    let names = ready(&transport, fence, &document, &columns, &layout.key).await?;
    let now = unix_seconds(&clock) as i64;
    let mut delta = Delta {
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
        exact: false,
    };
    meter.at(Stage::Extracting, 0, 0);
    let compared = async {
        let mut summary = compare(&transport, fence, reading, &delta, run.first_epoch, now).await?;
        if summary.hidden_duplicates {
            delta.exact = true;
            summary = compare(&transport, fence, reading, &delta, run.first_epoch, now).await?;
        }
        whole(state_key, &document, &summary)?;
        bounded(&transport, fence, &delta, &plan.model.name, &summary).await?;
        Ok(summary)
    }
    .await;
    let summary = match compared {
        Ok(summary) => summary,
        Err(failure) => {
            // Nothing of it was handed out: left behind, it would look as if.
            let _ = transport.fenced(fence, vec![transport.dialect().drop(&names.delta)]).await;
            return Err(failure);
        }
    };
    failpoint::hit("after-delta");
    meter.at(Stage::Comparing, summary.findings.rows, summary.findings.rows);

    let wires: Vec<T::Wire> = columns.iter().take(layout.row).map(|column| column.wire.clone()).collect();
    let shape = Shape::new(&transport, &names, &wires)?;
    Ok(Box::new(Pushdown {
        state_key: state_key.to_owned(),
        selection: mapping.selection.clone(),
        before: document.checkpoint(),
        columns: layout.columns[..layout.row].to_vec(),
        findings: summary.findings.clone(),
        rejected: Some(HashSet::new()),
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

/// Changes that are sent, by kind and whether the key was never sent.
fn sent(selection: &Selection) -> Vec<(u8, bool)> {
    let all = KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]);
    all.filter(|(kind, unsent)| selection.operation(*kind, *unsent).is_some())
        .map(|(kind, unsent)| (number_of(kind), unsent))
        .collect()
}

/// Makes the tables as this run needs them, and notes what killed runs may have sent.
async fn ready<T: Transport>(
    transport: &T,
    fence: Fence<'_>,
    document: &Document,
    columns: &[Typed<T::Wire>],
    key: &[usize],
) -> Result<Names, Failure> {
    let Fence { state_key, epoch } = fence;
    let found = transport.tables(state_key).await?;
    let entries = tables::entries(state_key);
    let mut names = Names {
        entries: transport.table(&entries),
        delta: transport.table(&tables::delta(state_key, epoch)),
        keys: Vec::new(),
        old_keys: Vec::new(),
    };
    for (part, at) in key.iter().enumerate() {
        let form = &columns[*at].key;
        names.keys.push(KeyColumn { name: key_column(part, form.class), kind: form.kind, long: form.long });
    }
    let dialect = transport.dialect();
    let mut statements = Vec::new();
    match found.iter().find(|table| table.name == entries) {
        None if document.rows > 0 => return Err(Damage::Missing.of(state_key, &format!("its table {entries}"))),
        None => {
            statements.extend(dialect.create_entries(&names, &format!("Backflow: the entries of state {state_key}")))
        }
        Some(table) => {
            for key in names.keys.iter().filter(|key| !table.keys.contains(&key.name)) {
                statements.push(dialect.add_key(&names.entries, key));
            }
            names.old_keys = old_keys(transport, table, &names.keys)?;
        }
    }
    let mut left: Vec<(u64, &Table)> = found
        .iter()
        .filter_map(|table| tables::delta_epoch(state_key, &table.name).map(|epoch| (epoch, table)))
        // A later claim's is not ours to touch; the fence refuses us anyway.
        .filter(|(made_by, _)| *made_by < epoch)
        .collect();
    left.sort_unstable_by_key(|(made_by, _)| *made_by);
    for (made_by, table) in left {
        let delta = transport.table(&table.name);
        statements.push(dialect.doubt(&names.entries, &delta, &table.keys, made_by, None));
        statements.push(dialect.drop(&delta));
    }
    if !statements.is_empty() {
        transport.fenced(fence, statements).await?;
    }
    Ok(names)
}

/// Key columns of entries that were made when the model's key had other types.
fn old_keys<T: Transport>(transport: &T, table: &Table, now: &[KeyColumn]) -> Result<Vec<(usize, KeyColumn)>, Failure> {
    let mut old = Vec::new();
    for name in table.keys.iter().filter(|name| now.iter().all(|key| key.name != **name)) {
        let form = key_part(name).and_then(|(part, class)| Some((part, transport.key_form(class)?)));
        let (part, form) = form.ok_or_else(|| internal("the table of entries has a key column of an unknown form"))?;
        old.push((part, KeyColumn { name: name.clone(), kind: form.kind, long: form.long }));
    }
    Ok(old)
}

async fn compare<T: Transport>(
    transport: &T,
    fence: Fence<'_>,
    reading: Reading<'_>,
    delta: &Delta<'_, T::Wire>,
    first_epoch: u64,
    now: i64,
) -> Result<Summary, Failure> {
    let dialect = transport.dialect();
    let first = if delta.exact { vec![dialect.drop(&delta.names.delta)] } else { Vec::new() };
    let then = dialect.index(delta.names).into_iter().collect();
    transport.make(fence, reading, first, dialect.delta(delta), then).await?;
    let expired = now - TOMBSTONE_SECONDS as i64;
    let rows = transport.numbers(fence.state_key, dialect.summary(delta.names, first_epoch, expired)).await?;
    Ok(Summary { expired_before: expired, ..Summary::read(&rows)? })
}

/// Entries that somebody removed or restored would be sent again, or deleted: that is for a person to decide.
fn whole(state_key: &str, document: &Document, summary: &Summary) -> Result<(), Failure> {
    let known = summary.findings.known;
    if known == document.rows {
        return Ok(());
    }
    Err(Failure::new(
        Code::StateDamaged,
        format!(
            "state \"{state_key}\": its table {} has {known} known keys, and {} were recorded; restore the state tables from a backup, or \
             start over with a Sync of mode Reset",
            tables::entries(state_key),
            document.rows
        ),
    ))
}

/// Refuses rows and keys beyond the limits: nothing was sent yet, and to leave one out in silence would lose it.
async fn bounded<T: Transport>(
    transport: &T,
    fence: Fence<'_>,
    delta: &Delta<'_, T::Wire>,
    model: &str,
    summary: &Summary,
) -> Result<(), Failure> {
    let (what, limit, lengths): (_, _, Vec<(&str, String)>) = if summary.key_size > MAX_KEY as u64 {
        let keys = delta.key.iter().zip(&delta.names.keys).filter(|(_, key)| key.long);
        let length = |name: &str| format!("octet_length({name})");
        let each = keys.map(|(at, key)| (delta.columns[*at].name.as_str(), length(&key.name)));
        ("a primary key", MAX_KEY, each.collect())
    } else if summary.size > MAX_RECORD as u64 {
        let row = delta.columns.iter().take(delta.row).enumerate();
        let each = row.filter_map(|(at, column)| {
            let length = column.length.as_ref()?;
            Some((column.name.as_str(), length.replace("{}", &format!("p{}", at + 1))))
        });
        ("a row", MAX_RECORD, each.collect())
    } else {
        return Ok(());
    };
    let (names, lengths): (Vec<&str>, Vec<String>) = lengths.into_iter().unzip();
    let found = transport.numbers(fence.state_key, transport.dialect().longest(delta.names, &lengths)).await?;
    let longest = found.first().and_then(|row| (0..row.len()).max_by_key(|at| row[*at]));
    let column = longest.and_then(|at| names.get(at)).copied().unwrap_or_default();
    Err(Failure::new(
        Code::LimitExceeded,
        format!(
            "model \"{model}\": {what} has more than {} KiB, the most of it in column \"{column}\"; shorten that column in the Model's SQL or \
             leave it out",
            limit / 1024
        ),
    ))
}
