//! What one part of a definition says of another.

use backflow_core::finding::hint;
use backflow_expressions::Json;

use super::place::Place;
use crate::auth::AuthMethod;
use crate::definition::Definition;
use crate::http::Rate;
use crate::problem::Problems;
use crate::request::{Encoding, Request};
use crate::schema::Schema;
use crate::template::Tree;

/// Checks a definition of which each part is right by itself.
pub(super) fn check(definition: &Definition, root: &Place<'_>, problems: &mut Problems) {
    choices(definition, root, problems);
    secrets(definition, root, problems);
    bodies(definition, root, problems);
    signed_bytes(definition, root, problems);
    rates(definition, root, problems);
}

/// Every `x-choices` is a discovery.
fn choices(definition: &Definition, root: &Place<'_>, problems: &mut Problems) {
    let known: Vec<&str> =
        definition.http().into_iter().flat_map(|http| &http.discover).map(|one| one.id.as_str()).collect();
    let mut check = |path: &str, schema: &Schema| {
        for id in schema.choice_lists().into_iter().filter(|id| !known.contains(id)) {
            let list = hint(id, known.iter().copied());
            problems.add(root.node.locate(path), path, format!("x-choices: there is no discovery \"{id}\" {list}"));
        }
    };
    check("settings", &definition.settings);
    for (name, action) in &definition.actions {
        check(&format!("actions.{name}.config"), &action.config);
        check(&format!("actions.{name}.fields"), &action.fields);
    }
}

/// Every secret is used by some way to authenticate.
fn secrets(definition: &Definition, root: &Place<'_>, problems: &mut Problems) {
    for (name, _) in definition.secrets() {
        let mut schemes = definition.auth.choose.iter().chain(&definition.auth.always);
        if !schemes.any(|scheme| scheme.uses(name)) {
            let path = format!("settings.properties.{name}");
            problems.add(root.node.locate(&path), &path, "no scheme of auth uses this secret; remove it");
        }
    }
}

/// A signature over the bytes that are sent is made before they are compressed.
fn signed_bytes(definition: &Definition, root: &Place<'_>, problems: &mut Problems) {
    let mut schemes = definition.auth.choose.iter().chain(&definition.auth.always);
    let signed = schemes.any(|scheme| matches!(scheme.method, AuthMethod::SigV4(_)));
    if signed && definition.http().is_some_and(|http| http.gzip) {
        let message = "type: sigv4 signs the body as it is sent, before it is compressed: remove compress";
        problems.add(root.node.locate("http.compress"), "http.compress", message);
    }
}

/// Every rate of some requests is that of one at least.
fn rates(definition: &Definition, root: &Place<'_>, problems: &mut Problems) {
    let Some(http) = definition.http() else { return };
    let mut check = |path: &str, rates: &[Rate], requests: &[&Request]| {
        for (at, rate) in rates.iter().enumerate() {
            let counts = |request: &Request| {
                let method = request.method.constant().and_then(Json::as_text);
                let same = rate.only.method.as_deref().is_none_or(|only| method.is_none_or(|method| method == only));
                same && rate.only.path.as_ref().is_none_or(|only| only.is_match(request.path.source()))
            };
            if !requests.iter().any(|request| counts(request)) {
                let path = format!("{path}.limits.rate[{at}]");
                let path = path.trim_start_matches('.');
                let message = "match: there is no such request, so that nothing counts; correct it, or remove the rate";
                problems.add(root.node.locate(path), path, message);
            }
        }
    };
    let asked = http.check.iter().map(|check| &check.request).chain(http.discover.iter().map(|one| &one.request));
    let mut all: Vec<&Request> = asked.collect();
    for (name, action) in &definition.actions {
        let path = format!("actions.{name}");
        let mut own = Vec::new();
        for (at, operation) in action.operations.iter().enumerate() {
            let requests = operation.requests();
            check(&format!("{path}.operations[{at}]"), &operation.rates, &requests);
            own.extend(requests);
        }
        check(&path, &action.rates, &own);
        all.extend(own);
    }
    check("", &http.limits.rates, &all);
}

/// Credentials that go into bodies find an object there.
fn bodies(definition: &Definition, root: &Place<'_>, problems: &mut Problems) {
    let schemes = definition.auth.choose.iter().chain(&definition.auth.always);
    let pointers: Vec<&str> = schemes
        .filter_map(|scheme| match &scheme.method {
            AuthMethod::Body { pointer, .. } => Some(pointer.as_str()),
            _ => None,
        })
        .collect();
    for (name, action) in &definition.actions {
        for (at, operation) in action.operations.iter().enumerate() {
            let path = format!("actions.{name}.operations[{at}].request");
            for pointer in &pointers {
                if let Err(message) = takes(&operation.request, pointer) {
                    problems.add(root.node.locate(&path), &path, message);
                }
            }
        }
    }
}

/// Whether the body of a request takes a credential at a JSON pointer.
fn takes(request: &Request, pointer: &str) -> Result<(), String> {
    let (Some(body @ Tree::Object { .. }), Encoding::Json | Encoding::Form) = (&request.body, request.encoding) else {
        return Err("auth of type body puts the credential into an object: body must be one (json or form)".to_owned());
    };
    let parents = pointer.rsplit_once('/').map_or("", |(parents, _)| parents);
    // In a form the pointer is a name, and needs no parent.
    if request.encoding == Encoding::Form || parents.is_empty() {
        return Ok(());
    }
    let mut tree = body;
    for name in parents.split('/').skip(1) {
        let name = name.replace("~1", "/").replace("~0", "~");
        tree = match tree {
            Tree::Object { spread, members } => {
                let own = members.iter().find(|(key, _)| key.constant().and_then(Json::as_text) == Some(name.as_str()));
                match own {
                    Some((_, member)) => member,
                    // It may be among members whose names are known to a run alone.
                    None if !spread.is_empty() || members.iter().any(|(key, _)| key.constant().is_none()) => {
                        return Ok(());
                    }
                    None => return Err(no_parent(pointer, parents)),
                }
            }
            Tree::Leaf(leaf) if leaf.constant().is_none() => return Ok(()),
            _ => return Err(no_parent(pointer, parents)),
        };
    }
    match tree {
        Tree::Object { .. } => Ok(()),
        Tree::Leaf(leaf) if leaf.constant().is_none() => Ok(()),
        _ => Err(no_parent(pointer, parents)),
    }
}

fn no_parent(pointer: &str, parents: &str) -> String {
    format!("auth puts the credential at {pointer} of the body, and at {parents} there is no object; add one")
}
