//! Actions, operations, requests and results.

use serde_json::{Value, json};

use super::{flag, list, map, names, object, text, to, whole};
use crate::request::{Encoding, ResultsKind, Unaccounted};

pub(super) fn definitions() -> Value {
    let choice = || object(&["config"], json!({"config": text("A setting with format: field.")}));
    let limits = || object(&[], json!({"rate": list(to("rate"))}));
    json!({
        "action": object(&["title", "description", "idempotent", "fields", "batch"], json!({
            "title": text("Name for people."), "description": text("One sentence."), "docsUrl": text("The vendor's page."),
            "syncModes": list(names(["Insert", "Update", "Upsert", "Delete", "Mirror"])),
            "records": list(names(["Added", "Updated", "Deleted"])),
            "idempotent": {"type": "boolean", "description": "Sending a record again leaves the destination as it is."},
            "config": to("schema"), "fields": to("schema"), "matchBy": choice(), "groupBy": choice(), "batch": to("batch"),
            "ordering": names(["none", "perKey", "serial"]), "delivery": names(["atLeastOnce", "atMostOnce"]),
            "errors": list(to("errorRule")), "limits": limits(), "operations": list(to("operation")),
        })),
        "batch": object(&[], json!({
            "maxRecords": whole(), "maxBytes": to("size"), "maxRecordBytes": to("size"), "groupBy": list(to("template")),
            "mixedOps": flag(), "dedupe": object(&["key"], json!({"key": to("template"), "keep": names(["last", "first"])})),
        })),
        "operation": object(&["for", "request", "results"], json!({
            "for": list(names(["insert", "update", "upsert", "delete"])), "batch": to("batch"), "limits": limits(),
            "errors": list(to("errorRule")), "ensure": list(to("ensure")), "lookup": to("lookup"), "request": to("request"),
            "job": to("job"), "results": to("results"),
        })),
        "request": object(&["method", "path"], json!({
            "method": to("template"), "path": to("template"), "query": to("templates"), "headers": to("templates"),
            "encoding": names(Encoding::NAMES.iter().map(|(name, _)| *name)), "contentType": text("In place of the encoding's own."),
            "item": to("tree"), "body": to("tree"),
            "csv": object(&[], json!({
                "columns": list(to("template")), "null": {"type": "string"}, "delimiter": names([",", ";", "|", "\t"]),
            })),
        })),
        "asking": object(&["request", "from"], json!({"request": to("request"), "from": to("template")})),
        "ensure": object(&["id"], json!({
            "id": text("Name, as ensure.<id>."), "lookup": to("asking"), "create": to("asking"), "cache": to("duration"),
            "onMissing": names(["config", "reject"]),
        })),
        "lookup": object(&["request", "match", "onMissing"], json!({
            "maxRecords": whole(), "useKnown": flag(), "request": to("request"),
            "match": object(&["from", "key", "equals", "store"], json!({
                "from": to("template"), "key": to("template"), "equals": to("template"), "store": map(to("template")),
            })),
            "onMissing": names(["insert", "send", "reject", "succeed"]), "onFound": names(["send", "succeed", "reject"]),
            "onMany": names(["first", "reject"]),
        })),
        "job": object(&["id", "poll"], json!({
            "id": to("template"), "capture": to("templates"), "upload": to("request"), "start": to("request"),
            "poll": object(&["request", "every", "max", "state"], json!({
                "request": to("request"), "every": to("duration"), "max": to("duration"), "state": to("template"),
            })),
            "results": list(object(&["id", "request"], json!({
                "id": text("Name, as of says it."), "request": to("request"), "decode": names(["json", "ndjson", "csv"]),
                "paginate": to("paginate"),
            }))),
            "abort": to("request"),
        })),
        "failed": object(&["from"], json!({
            "of": text("One of the job's results."), "from": to("template"), "index": to("template"), "ref": to("template"),
            "key": to("template"), "recordKey": to("template"), "class": to("template"), "code": to("template"),
            "reason": to("template"), "field": to("template"),
        })),
        "results": object(&["mode"], json!({
            "mode": names(ResultsKind::NAMES.iter().map(|(name, _)| *name)),
            "unaccounted": {"anyOf": [names(Unaccounted::NAMES.iter().map(|(name, _)| *name)), {"type": "string", "pattern": "^\\$\\{"}]},
            "bisectOnReject": flag(), "requires": to("condition"), "of": text("One of the job's results."), "from": to("template"),
            "ok": to("template"), "remoteId": to("template"), "class": to("template"), "code": to("template"), "reason": to("template"),
            "field": to("template"), "sent": to("template"), "failed": {"anyOf": [list(to("failed")), to("template")]},
            "succeeded": object(&["from", "ref"], json!({
                "of": text("One of the job's results."), "from": to("template"), "ref": to("template"), "remoteId": to("template"),
            })),
        })),
    })
}
