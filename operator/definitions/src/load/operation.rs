//! Operations: batches, what must exist first, lookups, jobs.

use std::time::Duration;

use backflow_core::selection::Operation as Op;

use super::action::{over_records, templates};
use super::place::{Object, Place};
use super::{connection, requests, results, values};
use crate::http::Rate;
use crate::problem::Problems;
use crate::request::{
    Asking, Batch, Dedupe, Encoding, Ensure, Job, JobResult, Lookup, OnFound, OnMissing, Operation, Poll, Request,
    Results,
};
use crate::template::{Allowed, Variable};

/// The most records of one batch.
const RECORDS: u64 = 100_000;
/// For how long what must exist is taken to do so, and at most.
const REMEMBERED: Duration = Duration::from_secs(86_400);

const OPERATIONS: [(&str, Op); 4] =
    [("insert", Op::Insert), ("update", Op::Update), ("upsert", Op::Upsert), ("delete", Op::Delete)];

/// What a request of an operation knows.
const REQUEST: [Variable; 6] =
    [Variable::Settings, Variable::Cfg, Variable::Auth, Variable::Batch, Variable::Items, Variable::Ensure];
/// The same where a request is about one record.
const OF_ONE: [Variable; 8] = [
    Variable::Settings,
    Variable::Cfg,
    Variable::Auth,
    Variable::Batch,
    Variable::Items,
    Variable::Ensure,
    Variable::F,
    Variable::Rec,
];
/// What an item knows.
const ITEM: [Variable; 5] = [Variable::Settings, Variable::Cfg, Variable::F, Variable::Rec, Variable::Ensure];
/// What is read of an answer before there are items.
const FOUND: [Variable; 6] =
    [Variable::Settings, Variable::Cfg, Variable::Batch, Variable::Status, Variable::Headers, Variable::Body];
/// What a request of a job knows.
const JOB: [Variable; 7] = [
    Variable::Settings,
    Variable::Cfg,
    Variable::Auth,
    Variable::Batch,
    Variable::Items,
    Variable::Ensure,
    Variable::Job,
];

/// The batch of an action, from which its operations inherit.
pub(super) struct Frame<'n> {
    pub(super) max_records: u32,
    pub(super) max_bytes: u64,
    max_record_bytes: Option<u64>,
    group_by: Option<Place<'n>>,
    mixed_ops: bool,
    dedupe: Option<Place<'n>>,
}

impl<'n> Frame<'n> {
    pub(super) fn read(place: &Place<'n>, problems: &mut Problems) -> Self {
        let mut frame = Self {
            max_records: 1,
            max_bytes: 4_000_000,
            max_record_bytes: None,
            group_by: None,
            mixed_ops: false,
            dedupe: None,
        };
        let Some(mut object) = place.object(problems) else { return frame };
        object.need("maxRecords", problems);
        frame.sizes(&mut object, problems);
        frame.mixed_ops = object.get("mixedOps").and_then(|place| place.boolean(problems)).unwrap_or_default();
        frame.dedupe = object.get("dedupe");
        if let (Some(dedupe), 1) = (&frame.dedupe, frame.max_records) {
            dedupe.wrong(problems, "is for batches of several records: with maxRecords: 1 there are none");
        }
        object.finish(problems);
        frame
    }

    /// Whether it says more than how much goes into a request.
    pub(super) fn sorts(&self) -> bool {
        self.group_by.is_some() || self.mixed_ops || self.dedupe.is_some() || self.max_record_bytes.is_some()
    }

    fn sizes(&mut self, object: &mut Object<'n>, problems: &mut Problems) {
        if let Some(most) = object.get("maxRecords").and_then(|place| place.whole(1..=RECORDS, problems)) {
            self.max_records = u32::try_from(most).unwrap_or(1);
        }
        if let Some(bytes) = object.get("maxBytes").and_then(|place| place.size(problems)) {
            self.max_bytes = bytes;
        }
        if let Some(bytes) = object.get("maxRecordBytes").and_then(|place| place.size(problems)) {
            self.max_record_bytes = Some(bytes);
        }
        if object.has("maxRecordBytes") && self.max_record_bytes.is_some_and(|bytes| bytes > self.max_bytes) {
            object.wrong(problems, "maxRecordBytes is more than maxBytes, so that no request could take it");
        }
        if let Some(group_by) = object.get("groupBy") {
            self.group_by = Some(group_by);
        }
    }

    /// The batch of an operation that says `place` about it.
    fn of(&self, place: Option<Place<'n>>, allowed: Allowed<'_>, problems: &mut Problems) -> Batch {
        let mut own = Self { group_by: self.group_by.clone(), dedupe: self.dedupe.clone(), ..*self };
        if let Some(mut object) = place.and_then(|place| place.object(problems)) {
            own.sizes(&mut object, problems);
            if own.max_records > self.max_records || own.max_bytes > self.max_bytes {
                object.wrong(problems, "is more than batch of the action allows, which is the most: raise it there");
            }
            object.finish(problems);
        }
        let group_by = own.group_by.map(|place| templates(&place, allowed, problems)).unwrap_or_default();
        let dedupe = own.dedupe.and_then(|place| {
            let mut object = place.object(problems)?;
            let key = object
                .need("key", problems)
                .and_then(|place| values::expression(&place, &over_records(allowed), problems));
            let keep = object.get("keep").and_then(|place| place.one(&[("last", true), ("first", false)], problems));
            object.finish(problems);
            Some(Dedupe { key: key?, keep_last: keep.unwrap_or(true) })
        });
        Batch {
            max_records: own.max_records,
            max_bytes: own.max_bytes,
            max_record_bytes: own.max_record_bytes.unwrap_or(own.max_bytes),
            group_by,
            mixed_ops: own.mixed_ops,
            dedupe,
        }
    }
}

/// Reads `limits: {rate: […]}` of an action or operation.
pub(super) fn rates(object: &mut Object<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Vec<Rate> {
    let Some(mut limits) = object.get("limits").and_then(|place| place.object(problems)) else { return Vec::new() };
    let rates = limits.get("rate").map(|place| connection::rates(&place, allowed, problems)).unwrap_or_default();
    limits.finish(problems);
    rates
}

/// Reads an operation.
pub(super) fn operation<'n>(
    place: &Place<'n>,
    allowed: Allowed<'_>,
    frame: &Frame<'n>,
    problems: &mut Problems,
) -> Option<Operation> {
    let mut object = place.object(problems)?;
    let ops = object.need("for", problems).map(|place| {
        let items = place.items(4, problems).unwrap_or_default();
        if items.is_empty() {
            place.wrong(problems, "names no operation");
        }
        items.iter().filter_map(|item| item.one(&OPERATIONS, problems)).collect::<Vec<_>>()
    });
    let answer = allowed.with(&connection::ANSWER);
    let errors =
        object.get("errors").map(|place| connection::error_rules(&place, &answer, problems)).unwrap_or_default();
    let rates = rates(&mut object, allowed, problems);
    let ensure = object.get("ensure").map(|place| ensures(&place, allowed, problems)).unwrap_or_default();
    let ensured: Vec<String> = ensure.iter().map(|one| one.id.clone()).collect();
    let allowed = Allowed { ensured: &ensured, ..allowed };
    let batch = frame.of(object.get("batch"), allowed, problems);
    let lookup = object.get("lookup").and_then(|place| lookup(&place, allowed, batch.max_records, problems));
    // What a lookup that cannot be read finds is not known.
    let unread = object.has("lookup") && lookup.is_none();
    let found = lookup.as_ref().filter(|lookup| lookup.on_missing != OnMissing::Send);
    let stored: Vec<String> = lookup.iter().flat_map(|lookup| &lookup.store).map(|(name, _)| name.clone()).collect();
    let mut allowed = Allowed { stored: (!unread).then_some(&stored[..]), ..allowed };
    allowed.promised.found = unread || found.is_some();
    allowed.promised.identified = unread || found.is_some() && stored.iter().any(|name| name == "remoteId");
    let one = batch.max_records == 1;
    let about = allowed.with(if one { &OF_ONE } else { &REQUEST });
    let request = object
        .need("request", problems)
        .and_then(|place| requests::request(&place, about, Some(allowed.with(&ITEM)), problems));
    let job = object.get("job").and_then(|place| job(&place, allowed, problems));
    let sources: Vec<&str> = job.iter().flat_map(|job| &job.results).map(|result| result.id.as_str()).collect();
    // What a job that cannot be read carries and gives is not known.
    let unread = object.has("job") && job.is_none();
    let sources = (!unread).then_some(&sources[..]);
    let results = object.need("results", problems).and_then(|place| {
        if one && place.node.get("bisectOnReject").is_some() {
            place.wrong(problems, "bisectOnReject is about batches of several records: here there are none; remove it");
        }
        results::results(&place, allowed, sources, problems)
    });
    if !unread {
        carried(&object, one, request.as_ref(), job.as_ref(), problems);
    }
    if let (Some(job), Some(results)) = (&job, &results) {
        asked_in_vain(&object, job, results, problems);
    }
    object.finish(problems);
    Some(Operation { ops: ops?, batch, rates, errors, ensure, lookup, request: request?, job, results: results? })
}

/// Whether the records go anywhere: each into an item, or the one into the request.
fn carried(object: &Object<'_>, one: bool, request: Option<&Request>, job: Option<&Job>, problems: &mut Problems) {
    let Some(request) = request else { return };
    let upload = job.and_then(|job| job.upload.as_ref());
    let items = [Some(request), upload].into_iter().flatten().filter(|request| request.item.is_some()).count();
    if items == 2 {
        object.wrong(problems, "with upload the request has no item: the items are uploaded");
    }
    let named = request.templates().iter().any(|template| {
        template.names(Variable::Items) || (one && (template.names(Variable::F) || template.names(Variable::Rec)))
    });
    if items == 0 && !named {
        object.wrong(problems, "nothing of the records is sent: add an item, or name f or rec (with maxRecords: 1)");
    }
}

/// Answers of a job that no rule reads.
fn asked_in_vain(object: &Object<'_>, job: &Job, results: &Results, problems: &mut Problems) {
    let read = results.sources();
    for (at, result) in job.results.iter().enumerate() {
        let first = at == 0 && read.contains(&None);
        if !first && !read.contains(&Some(&*result.id)) {
            let message =
                format!("no rule of results reads job.results \"{}\": name it by of, or remove it", result.id);
            object.wrong(problems, message);
        }
    }
}

fn ensures(place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Vec<Ensure> {
    let mut found: Vec<Ensure> = Vec::new();
    for item in place.items(4, problems).unwrap_or_default() {
        let names: Vec<String> = found.iter().map(|one| one.id.clone()).collect();
        let allowed = Allowed { ensured: &names, ..allowed };
        let Some(mut object) = item.object(problems) else { continue };
        let id = object.need("id", problems).and_then(|place| place.text(problems));
        let lookup = object.get("lookup").and_then(|place| asking(&place, allowed, problems));
        let create = object.get("create").and_then(|place| asking(&place, allowed, problems));
        let cache = object.get("cache").and_then(|place| {
            let cache = place.duration(problems)?;
            if cache > REMEMBERED {
                place.wrong(problems, "is longer than 24h, for which anything is remembered at most: say 24h or less");
            }
            Some(cache)
        });
        let missing =
            object.get("onMissing").and_then(|place| place.one(&[("config", false), ("reject", true)], problems));
        if !object.has("lookup") && !object.has("create") {
            object.wrong(problems, "needs lookup, create, or both");
        }
        object.finish(problems);
        let Some(id) = id else { continue };
        if names.contains(&id) {
            item.wrong(problems, format!("the id \"{id}\" is there twice"));
        }
        let cache = cache.unwrap_or(REMEMBERED);
        found.push(Ensure { id, lookup, create, cache, reject_missing: missing.unwrap_or_default() });
    }
    found
}

fn asking(place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Option<Asking> {
    let mut object = place.object(problems)?;
    let known = [Variable::Settings, Variable::Cfg, Variable::Auth, Variable::Batch, Variable::Ensure];
    let request = object
        .need("request", problems)
        .and_then(|place| requests::request(&place, allowed.with(&known), None, problems));
    let from =
        object.need("from", problems).and_then(|place| values::expression(&place, &allowed.with(&FOUND), problems));
    object.finish(problems);
    Some(Asking { request: request?, from: from? })
}

fn lookup(place: &Place<'_>, allowed: Allowed<'_>, most: u32, problems: &mut Problems) -> Option<Lookup> {
    let mut object = place.object(problems)?;
    let own = object.get("maxRecords").and_then(|place| place.whole(1..=u64::from(most), problems));
    let max_records = own.and_then(|own| u32::try_from(own).ok()).unwrap_or(most);
    let use_known = object.get("useKnown").and_then(|place| place.boolean(problems)).unwrap_or(true);
    let about = allowed.with(if max_records == 1 { &OF_ONE } else { &REQUEST });
    let request = object
        .need("request", problems)
        .and_then(|place| requests::request(&place, about, Some(over_records(allowed)), problems));
    let element = allowed.with(&connection::ELEMENT);
    let mut matched = object.need("match", problems)?.object(problems)?;
    let from = matched
        .need("from", problems)
        .and_then(|place| values::expression(&place, &allowed.with(&connection::ANSWER), problems));
    let key = matched.need("key", problems).and_then(|place| values::expression(&place, &element, problems));
    let equals =
        matched.need("equals", problems).and_then(|place| values::expression(&place, &over_records(allowed), problems));
    let store = matched.need("store", problems).map(|place| values::expressions(&place, &element, problems));
    matched.finish(problems);
    let missing = [
        ("insert", OnMissing::Insert),
        ("send", OnMissing::Send),
        ("reject", OnMissing::Reject),
        ("succeed", OnMissing::Succeed),
    ];
    let on_missing = object.need("onMissing", problems).and_then(|place| place.one(&missing, problems));
    let ways = [("send", OnFound::Send), ("succeed", OnFound::Succeed), ("reject", OnFound::Reject)];
    let on_found = object.get("onFound").and_then(|place| place.one(&ways, problems));
    let many = object.get("onMany").and_then(|place| place.one(&[("first", true), ("reject", false)], problems));
    object.finish(problems);
    Some(Lookup {
        max_records,
        use_known,
        request: request?,
        from: from?,
        key: key?,
        equals: equals?,
        store: store?,
        on_missing: on_missing?,
        on_found: on_found.unwrap_or(OnFound::Send),
        many_first: many.unwrap_or_default(),
    })
}

fn job(place: &Place<'_>, allowed: Allowed<'_>, problems: &mut Problems) -> Option<Job> {
    let mut object = place.object(problems)?;
    let answer = allowed.with(&connection::ANSWER);
    let id = object.need("id", problems).and_then(|place| values::expression(&place, &answer, problems));
    let capture = object.get("capture").map(|place| values::expressions(&place, &answer, problems)).unwrap_or_default();
    let names: Vec<String> =
        std::iter::once("id".to_owned()).chain(capture.iter().map(|(name, _)| name.clone())).collect();
    let known = Allowed { job: &names, ..allowed.with(&JOB) };
    let items = allowed.with(&ITEM);
    let upload = object.get("upload").and_then(|place| requests::request(&place, known, Some(items), problems));
    let start = object.get("start").and_then(|place| requests::request(&place, known, None, problems));
    let abort = object.get("abort").and_then(|place| requests::request(&place, known, None, problems));
    let poll = object.need("poll", problems).and_then(|place| {
        let mut object = place.object(problems)?;
        let request =
            object.need("request", problems).and_then(|place| requests::request(&place, known, None, problems));
        let every = object.need("every", problems).and_then(|place| Some((place.duration(problems)?, place)));
        let max = object.need("max", problems).and_then(|place| place.duration(problems));
        if let (Some((every, place)), Some(max)) = (&every, max)
            && *every > max
        {
            place.wrong(problems, "is more than max, so that nobody would ask; say less");
        }
        let state = object.need("state", problems).and_then(|place| values::expression(&place, &answer, problems));
        object.finish(problems);
        Some(Poll { request: request?, every: every?.0, max: max?, state: state? })
    });
    let mut results: Vec<JobResult> = Vec::new();
    for item in object.get("results").and_then(|place| place.items(8, problems)).unwrap_or_default() {
        let Some(mut object) = item.object(problems) else { continue };
        let id = object.need("id", problems).and_then(|place| place.text(problems));
        let request =
            object.need("request", problems).and_then(|place| requests::request(&place, known, None, problems));
        let forms = [("json", Encoding::Json), ("ndjson", Encoding::Ndjson), ("csv", Encoding::Csv)];
        let decode = object.get("decode").map_or(Some(Encoding::Json), |place| place.one(&forms, problems));
        let paginate = object.get("paginate").and_then(|place| connection::paginate(&place, &answer, problems));
        object.finish(problems);
        if let (Some(id), Some(request), Some(decode)) = (id, request, decode) {
            if results.iter().any(|other| other.id == id) {
                item.wrong(problems, format!("the id \"{id}\" is there twice"));
            }
            results.push(JobResult { id, request, decode, paginate });
        }
    }
    object.finish(problems);
    Some(Job { id: id?, capture, upload, start, poll: poll?, results, abort })
}
