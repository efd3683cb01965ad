//! Requests.

use super::place::{Object, Place};
use super::values;
use crate::problem::Problems;
use crate::request::{Csv, Encoding, Request};
use crate::template::{Allowed, Template, Tree, Variable};

/// Methods that a request may have.
pub(super) const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// Reads a request. `items`: what each record's item may name; without it, there are no records.
pub(super) fn request(
    place: &Place<'_>,
    allowed: Allowed<'_>,
    items: Option<Allowed<'_>>,
    problems: &mut Problems,
) -> Option<Request> {
    let mut object = place.object(problems)?;
    let method = object.need("method", problems).and_then(|place| method(&place, &allowed, problems));
    let path = object.need("path", problems).and_then(|place| path(&place, &allowed, problems));
    let query = object.get("query").map(|place| values::map(&place, &allowed, problems)).unwrap_or_default();
    let headers = object.get("headers").map(|place| values::headers(&place, &allowed, problems)).unwrap_or_default();
    let encoding = object.get("encoding").map_or(Some(Encoding::Json), |place| place.one(&Encoding::NAMES, problems));
    let content_type = object.get("contentType").and_then(|place| place.text(problems));
    let names_only = [Variable::Settings, Variable::Cfg];
    let names = allowed.with(&names_only);
    let item = object.get("item").and_then(|place| match items {
        Some(items) => values::tree(&place, &items, &names, false, problems),
        None => {
            place.wrong(problems, "there are no records here: say it in body");
            None
        }
    });
    let has_item = object.has("item");
    let body = object.get("body").and_then(|place| values::tree(&place, &allowed, &names, has_item, problems));
    let csv = csv(&mut object, &allowed, problems);
    let request = Request {
        method: method?,
        path: path?,
        query,
        headers,
        encoding: encoding?,
        content_type,
        item,
        body,
        csv: csv.unwrap_or_default(),
    };
    check(&object, &request, problems);
    object.finish(problems);
    Some(request)
}

/// What contradicts itself.
fn check(object: &Object<'_>, request: &Request, problems: &mut Problems) {
    let lines = matches!(request.encoding, Encoding::Ndjson | Encoding::Csv);
    let named = request.templates().iter().any(|template| template.names(Variable::Items));
    let holds = request.body.as_ref().map_or(0, count_items);
    match (&request.item, &request.body) {
        (Some(_), Some(_)) if lines => {
            object.wrong(problems, "lines of ndjson and csv are the items alone: remove body")
        }
        (Some(_), _) if !lines && holds == 0 && !named => {
            object
                .wrong(problems, "the items are nowhere: write $items where in body their list belongs, or name items");
        }
        (None, Some(_)) if lines => {
            object.wrong(problems, "ndjson and csv are made of items: write item instead of body")
        }
        _ if holds > 1 => object.wrong(problems, "$items is there twice"),
        _ => {}
    }
    match (&request.body, request.encoding) {
        (Some(Tree::Leaf(leaf)), Encoding::Form | Encoding::Multipart) if leaf.constant().is_some() => {
            object.wrong(problems, "the body of a form is an object");
        }
        (Some(Tree::Object { .. } | Tree::Leaf(_)), Encoding::Form) => {}
        (Some(_), Encoding::Form) => object.wrong(problems, "the body of a form is an object"),
        (Some(Tree::Object { .. } | Tree::Leaf(_)), Encoding::Multipart) => {}
        (Some(_), Encoding::Multipart) => {
            object.wrong(problems, "the body of multipart is an object: a member for each part")
        }
        (Some(Tree::Leaf(_)), Encoding::Text) => {}
        (Some(_), Encoding::Text) => object.wrong(problems, "the body of encoding: text is one text"),
        _ => {}
    }
    if (object.has("encoding") || object.has("contentType")) && request.item.is_none() && request.body.is_none() {
        object.wrong(problems, "encoding and contentType are about a body, and there is none: remove them, or add it");
    }
    if object.has("contentType") && request.encoding == Encoding::Multipart {
        object.wrong(problems, "the content type of multipart names its boundary: remove contentType");
    }
    if object.has("csv") && request.encoding != Encoding::Csv {
        object.wrong(problems, "csv says how encoding: csv is written");
    }
}

fn count_items(tree: &Tree) -> usize {
    match tree {
        Tree::Leaf(_) => 0,
        Tree::Items => 1,
        Tree::List(items) => items.iter().map(count_items).sum(),
        Tree::Object { members, .. } => members.iter().map(|(_, member)| count_items(member)).sum(),
    }
}

fn method(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Option<Template> {
    let method = values::template(place, allowed, problems)?;
    if let Some(constant) = method.constant()
        && !constant.as_text().is_some_and(|text| METHODS.contains(&text))
    {
        place.wrong(problems, format!("must be one of {}", METHODS.join(", ")));
    }
    Some(method)
}

fn path(place: &Place<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Option<Template> {
    // An empty path is the base URL itself.
    let path = values::template(place, allowed, problems)?;
    match path.constant().and_then(backflow_expressions::Json::as_text) {
        Some(text) if !(text.is_empty() || text.starts_with('/')) => {
            place.wrong(problems, "begins with /; it is put behind http.baseUrl");
        }
        Some(text) if text.contains(['?', '#', ' ']) => {
            place.wrong(problems, "holds ?, # or a blank: what belongs behind ? is said in query");
        }
        None if !path.source().starts_with(['/', '$']) => {
            place.wrong(problems, "begins with /; it is put behind http.baseUrl");
        }
        _ => {}
    }
    Some(path)
}

fn csv(object: &mut Object<'_>, allowed: &Allowed<'_>, problems: &mut Problems) -> Option<Csv> {
    let mut object = object.get("csv")?.object(problems)?;
    let columns = object.get("columns").and_then(|place| place.items(512, problems)).unwrap_or_default();
    let columns = columns.iter().filter_map(|item| values::template(item, allowed, problems)).collect();
    let null = object.get("null").and_then(|place| {
        let text = place.node.text();
        if text.is_none() {
            place.wrong(problems, format!("must be text, not {}; put quotes around it", place.node.noun()));
        }
        text.map(str::to_owned)
    });
    let delimiters = [(",", b','), (";", b';'), ("|", b'|'), ("\t", b'\t')];
    let delimiter = object.get("delimiter").and_then(|place| place.one(&delimiters, problems));
    object.finish(problems);
    Some(Csv { columns, null: null.unwrap_or_default(), delimiter: delimiter.unwrap_or(b',') })
}
