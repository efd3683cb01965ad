//! Actions.

use std::sync::Arc;

use backflow_core::change::ChangeKind;
use backflow_core::finding::hint;
use backflow_core::selection::{Operation as Op, SyncMode};

use super::operation::Frame;
use super::place::{Object, Place};
use super::schema::{Purpose, Reader};
use super::{connection, operation, values};
use crate::action::{Action, Batch, DeliveryPromise, Ordering};
use crate::problem::Problems;
use crate::request::{OnMissing, Operation};
use crate::schema::{Format, Member, Role, Schema};
use crate::template::{Allowed, Promised, Variable};

const SYNC_MODES: [(&str, SyncMode); 5] = [
    ("Insert", SyncMode::Insert),
    ("Update", SyncMode::Update),
    ("Upsert", SyncMode::Upsert),
    ("Delete", SyncMode::Delete),
    ("Mirror", SyncMode::Mirror),
];
const RECORDS: [(&str, ChangeKind); 3] =
    [("Added", ChangeKind::Added), ("Updated", ChangeKind::Updated), ("Deleted", ChangeKind::Deleted)];

/// Reads an action. `http`: it has operations; a native destination's has none.
pub(super) fn action(place: &Place<'_>, allowed: Allowed<'_>, http: bool, problems: &mut Problems) -> Option<Action> {
    let mut object = place.object(problems)?;
    let title = object.need("title", problems).and_then(|place| place.text(problems));
    let description = object.need("description", problems).and_then(|place| place.text(problems));
    let docs_url = object.get("docsUrl").and_then(|place| place.text(problems));
    let sync_modes = object.get("syncModes").map(|place| words(&place, &SYNC_MODES, problems)).unwrap_or_default();
    let records = object.get("records").map(|place| words(&place, &RECORDS, problems)).unwrap_or_default();
    if sync_modes.is_empty() && records.is_empty() {
        object.wrong(problems, "it can do nothing: name syncModes or records");
    }
    let idempotent = object.need("idempotent", problems).and_then(|place| place.boolean(problems));
    let config = config(&mut object, allowed, problems);
    let allowed = Allowed { config: Some(&config), ..allowed };
    let fields = fields(&mut object, allowed, problems);
    let match_by = field_choice(&mut object, "matchBy", &config, problems);
    let group_by = field_choice(&mut object, "groupBy", &config, problems);
    let named =
        |role| fields.as_ref().is_some_and(|fields| !fields.paths(&|one| one.extra.role == Some(role)).is_empty());
    for (key, by, role) in [("matchBy", &match_by, Role::MatchKey), ("groupBy", &group_by, Role::GroupKey)] {
        if by.is_some() && named(role) {
            object.wrong(problems, format!("{key} names the field, so that x-role does not: remove one of them"));
        }
    }
    for (name, setting) in &config.properties {
        let chosen = [&match_by, &group_by].into_iter().flatten().any(|by| by == name);
        if setting.format == Some(Format::Field) && !chosen {
            let message = format!("config.{name} has format: field, which is for what matchBy or groupBy names");
            object.wrong(problems, message);
        }
    }
    let promised = Promised {
        matched: match_by.is_some() || named(Role::MatchKey),
        grouped: group_by.is_some() || named(Role::GroupKey),
        found: false,
        identified: false,
    };
    let allowed = Allowed { fields: fields.as_ref(), promised, ..allowed };
    let orderings = [("none", Ordering::None), ("perKey", Ordering::PerKey), ("serial", Ordering::Serial)];
    let ordering = object.get("ordering").and_then(|place| place.one(&orderings, problems));
    let deliveries = [("atLeastOnce", DeliveryPromise::AtLeastOnce), ("atMostOnce", DeliveryPromise::AtMostOnce)];
    let delivery = object.get("delivery").and_then(|place| place.one(&deliveries, problems));
    let batch = object.need("batch", problems).map(|place| Frame::read(&place, problems));
    let mut errors = Vec::new();
    let mut rates = Vec::new();
    let mut operations = Vec::new();
    if http {
        let answer = allowed.with(&connection::ANSWER);
        errors =
            object.get("errors").map(|place| connection::error_rules(&place, &answer, problems)).unwrap_or_default();
        rates = operation::rates(&mut object, allowed, problems);
        if let (Some(list), Some(batch)) = (object.need("operations", problems), &batch) {
            let items = list.items(8, problems).unwrap_or_default();
            for item in &items {
                operations.extend(operation::operation(item, allowed, batch, problems));
            }
            // What one that cannot be read is for is not known.
            if operations.len() == items.len() {
                covered(&list, &sync_modes, &records, &operations, problems);
            }
        }
    }
    if !http && batch.as_ref().is_some_and(Frame::sorts) {
        object.wrong(problems, "with native, batch has maxRecords and maxBytes alone");
    }
    object.finish(problems);
    let frame = batch?;
    Some(Action {
        title: title?,
        description: description?,
        docs_url,
        sync_modes,
        records,
        idempotent: idempotent?,
        match_by,
        group_by,
        fields: Arc::new(fields?),
        config,
        ordering: ordering.unwrap_or(Ordering::PerKey),
        delivery: delivery.unwrap_or(DeliveryPromise::AtLeastOnce),
        errors,
        rates,
        operations,
        batch: Batch { max_records: frame.max_records, max_bytes: frame.max_bytes },
    })
}

fn config(object: &mut Object<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Schema {
    let known = [Variable::Settings, Variable::Cfg];
    let reader = Reader { purpose: Purpose::Config, conditions: Some(allowed.with(&known)) };
    object.get("config").and_then(|place| reader.root(&place, problems)).unwrap_or_default()
}

fn fields(object: &mut Object<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Option<Schema> {
    let known = [Variable::Settings, Variable::Cfg, Variable::Op, Variable::F];
    let reader = Reader { purpose: Purpose::Fields, conditions: Some(allowed.with(&known)) };
    let place = object.need("fields", problems)?;
    let fields = reader.root(&place, problems)?;
    for (names, schema) in fields.conditional() {
        for member in schema.extra.required_when.iter().flat_map(|condition| condition.members(Variable::F)) {
            if matches!(fields.member(member), Member::Unknown) {
                let known = hint(member, fields.properties.iter().map(|(name, _)| name.as_str()));
                let path = format!("{}.properties.{}.x-requiredWhen", place.path, names.join(".properties."));
                problems.add(place.node.at, &path, format!("there is no field {member} {known}"));
            }
        }
    }
    Some(fields)
}

fn words<T: Copy + PartialEq>(place: &Place<'_>, names: &[(&str, T)], problems: &mut Problems) -> Vec<T> {
    let mut found = Vec::new();
    for item in place.items(names.len(), problems).unwrap_or_default() {
        let Some(word) = item.one(names, problems) else { continue };
        if found.contains(&word) {
            item.wrong(problems, "is there twice");
        }
        found.push(word);
    }
    found
}

/// `{config: name}`: the setting that names the field.
fn field_choice(
    object: &mut Object<'_>,
    key: &'static str,
    config: &Schema,
    problems: &mut Problems,
) -> Option<String> {
    let mut object = object.get(key)?.object(problems)?;
    let place = object.need("config", problems);
    object.finish(problems);
    let place = place?;
    let name = place.text(problems)?;
    let field = config.properties.iter().any(|(own, schema)| *own == name && schema.format == Some(Format::Field));
    if !field {
        place.wrong(problems, format!("config has no \"{name}\" with format: field"));
    }
    Some(name)
}

/// Every sync mode and every kind of record has its operations, and each operation its use.
fn covered(
    place: &Place<'_>,
    sync_modes: &[SyncMode],
    records: &[ChangeKind],
    operations: &[Operation],
    problems: &mut Problems,
) {
    let by_mode = |mode: &SyncMode| match mode {
        SyncMode::Insert => &[Op::Insert][..],
        SyncMode::Update => &[Op::Update],
        SyncMode::Upsert => &[Op::Upsert],
        SyncMode::Delete => &[Op::Delete],
        SyncMode::Mirror => &[Op::Upsert, Op::Delete],
    };
    let by_kind = |kind: &ChangeKind| match kind {
        ChangeKind::Added => Op::Insert,
        ChangeKind::Updated => Op::Update,
        ChangeKind::Deleted => Op::Delete,
    };
    let inserts = |one: &Operation| one.lookup.as_ref().is_some_and(|lookup| lookup.on_missing == OnMissing::Insert);
    let missing_inserts = operations.iter().any(inserts);
    let mut needed: Vec<Op> = sync_modes.iter().flat_map(by_mode).copied().chain(records.iter().map(by_kind)).collect();
    if missing_inserts {
        needed.push(Op::Insert);
    }
    let there: Vec<Op> = operations.iter().flat_map(|operation| operation.ops.iter().copied()).collect();
    for op in [Op::Insert, Op::Update, Op::Upsert, Op::Delete] {
        let count = there.iter().filter(|other| **other == op).count();
        let name = op.as_str();
        if needed.contains(&op) && count == 0 {
            let why = "syncModes, records or a lookup's onMissing need it";
            place.wrong(problems, format!("there is no operation for {name}: {why}"));
        }
        if count > 1 {
            place.wrong(problems, format!("there are {count} operations for {name}; one is enough"));
        }
        if count > 0 && !needed.contains(&op) {
            place.wrong(problems, format!("nothing leads to the operation for {name}: see syncModes and records"));
        }
    }
    if operations.iter().any(|one| one.ops.contains(&Op::Insert) && inserts(one)) {
        place.wrong(
            problems,
            "the operation for insert cannot leave to itself what it does not find: say onMissing: send",
        );
    }
    if operations.iter().any(|operation| operation.batch.mixed_ops) && operations.len() > 1 {
        place.wrong(problems, "with mixedOps one operation covers all: put their names into its for");
    }
    if operations.iter().any(|operation| operation.batch.mixed_ops && operation.ops.len() == 1) {
        place.wrong(problems, "mixedOps is for several operations in one request, and there is one: remove it");
    }
}

/// Reads a template over what the operation's records are.
pub(super) fn over_records<'a>(allowed: Allowed<'a>) -> Allowed<'a> {
    allowed.with(&[Variable::Settings, Variable::Cfg, Variable::F, Variable::Rec])
}

/// Reads a list of templates over records.
pub(super) fn templates(
    place: &Place<'_>,
    allowed: Allowed<'_>,
    problems: &mut Problems,
) -> Vec<crate::template::Template> {
    let items = place.items(8, problems).unwrap_or_default();
    items.iter().filter_map(|item| values::expression(item, &over_records(allowed), problems)).collect()
}
