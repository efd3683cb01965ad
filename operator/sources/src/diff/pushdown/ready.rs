//! The tables of a state, as a run needs them.

use backflow_core::code::Failure;

use super::super::damage::{Damage, internal};
use super::super::document::Document;
use super::dialect::Dialect as _;
use super::statement::{Doubt, Statement};
use super::tables::{self, Stage};
use super::transport::{Fence, Table, Transport};
use super::typed::{KeyColumn, Names, Typed, key_column, key_part};

/// Makes the tables as this run needs them, and notes what killed runs may have sent.
pub(super) async fn ready<T: Transport>(
    transport: &T,
    fence: Fence<'_>,
    document: &Document,
    columns: &[Typed<T::Wire>],
    key: &[usize],
    identifies: bool,
) -> Result<Names, Failure> {
    let Fence { state_key, claim } = fence;
    let mut found = transport.tables(state_key).await?;
    if claim.is_some() {
        found = transport.taken_over(fence, found).await?;
    }
    let (entries, held) = (tables::entries(state_key), tables::held(state_key));
    let delta = match claim {
        Some(epoch) => tables::delta(state_key, epoch),
        None => tables::dry(state_key, fastrand::u64(..)),
    };
    let mut names = Names {
        entries: transport.table(&entries),
        held: transport.table(&held),
        found: transport.table(&tables::stage(&delta, Stage::Found)),
        marks: transport.table(&tables::stage(&delta, Stage::Marks)),
        delta: transport.table(&delta),
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
        None if claim.is_none() => names.entries = dialect.no_entries(&names.keys),
        None => {
            statements.extend(dialect.create_entries(&names, &format!("Backflow: the entries of state {state_key}")))
        }
        Some(table) => {
            names.old_keys = old_keys(transport, table, &names.keys)?;
            let missing: Vec<&KeyColumn> = names.keys.iter().filter(|key| !table.keys.contains(&key.name)).collect();
            if claim.is_none() {
                names.entries = dialect.completed_entries(&names.entries, &missing, table.records);
            } else {
                statements.extend(missing.into_iter().map(|key| dialect.add_key(&names.entries, key)));
                statements.extend((!table.records).then(|| dialect.complete_entries(&names.entries)));
            }
        }
    }
    if found.iter().all(|table| table.name != held) {
        if identifies && claim.is_some() {
            statements.extend(dialect.create_held(&names, &format!("Backflow: the records of state {state_key}")));
        } else {
            names.held = dialect.no_held();
        }
    }
    // A DryRun changes no table, also not for what a killed run may have sent.
    let Some(epoch) = claim else { return Ok(names) };
    statements.extend(left(transport, &names, &found, fence, epoch));
    if !statements.is_empty() {
        transport.fenced(fence, statements.into_iter().map(Statement::plain).collect()).await?;
    }
    Ok(names)
}

/// What is to be said of the tables that killed runs left, which then go.
fn left<T: Transport>(transport: &T, names: &Names, found: &[Table], fence: Fence<'_>, epoch: u64) -> Vec<String> {
    let dialect = transport.dialect();
    let state_key = fence.state_key;
    let held = tables::held(state_key);
    let held = (names.held == transport.table(&held)).then_some(names.held.as_str());
    let mut statements = Vec::new();
    let passing = found.iter().filter(|table| tables::passing(state_key, &table.name));
    statements.extend(passing.map(|table| dialect.drop(&transport.table(&table.name))));
    let mut deltas: Vec<(u64, &Table)> = found
        .iter()
        .filter_map(|table| tables::delta_epoch(state_key, &table.name).map(|epoch| (epoch, table)))
        // A later claim's is not ours to touch; the fence refuses us anyway.
        .filter(|(made_by, _)| *made_by < epoch)
        .collect();
    deltas.sort_unstable_by_key(|(made_by, _)| *made_by);
    for (made_by, table) in deltas {
        let delta = &transport.table(&table.name);
        let held = held.filter(|_| table.records);
        statements.extend(dialect.doubt(&Doubt {
            entries: &names.entries,
            held,
            delta,
            keys: &table.keys,
            epoch: made_by,
            offered: None,
        }));
        statements.push(dialect.drop(delta));
    }
    statements
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
