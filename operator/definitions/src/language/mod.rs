//! The language of definitions as a JSON Schema, for editors: what there is to write, with its words. What only the loader can see
//! (expressions, what parts say of each other) is not in it.

mod actions;

use serde_json::{Value, json};

use crate::auth::AuthKind;
use crate::definition::{Category, Verification};
use crate::http::Class;
use crate::schema::{Format, NormalizeStep, Type};

/// Where [`schema_text`] is committed, from this crate's folder.
pub const SCHEMA_FILE: &str = "../../schemas/destination-definition.json";

/// The text of [`json_schema`], as it is committed.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", json_schema())
}

/// The JSON Schema of a definition file.
#[must_use]
pub fn json_schema() -> Value {
    let mut defs = definitions();
    if let (Some(defs), Value::Object(more)) = (defs.as_object_mut(), actions::definitions()) {
        defs.extend(more);
    }
    let mut root = object(
        &[
            "definition",
            "version",
            "title",
            "description",
            "category",
            "verification",
            "settings",
            "auth",
            "limits",
            "actions",
        ],
        json!({
            "definition": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$", "description": "Name, as Destination.spec.type says it."},
            "version": {"type": "integer", "minimum": 1, "description": "Raised with every change of behaviour."},
            "title": text("Name for people."),
            "description": text("One sentence."),
            "docsUrl": text("The vendor's documentation."),
            "category": names(Category::NAMES.iter().map(|(name, _)| *name)),
            "verification": names(Verification::NAMES.iter().map(|(name, _)| *name)),
            "provenance": list(object(&["fact", "source", "checked"], json!({
                "fact": text("What is said."), "source": text("Who says it."), "checked": text("The day, 2026-03-01."),
            }))),
            "settings": to("schema"),
            "native": text("The code that delivers, in place of http."),
            "auth": object(&["choose"], json!({"choose": list(to("scheme")), "always": list(to("scheme"))})),
            "http": to("http"),
            "limits": to("limits"),
            "errors": list(to("errorRule")),
            "check": object(&["request"], json!({
                "request": to("request"), "expect": to("condition"), "account": to("template"), "errors": list(to("errorRule")),
            })),
            "discover": list(object(&["id", "request", "from", "value"], json!({
                "id": text("Name, as x-choices says it."), "request": to("request"), "from": to("template"), "value": to("template"),
                "label": to("template"), "paginate": to("paginate"),
            }))),
            "actions": map(to("action")),
        }),
    );
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Destination definition");
    root["$defs"] = defs;
    root
}

fn definitions() -> Value {
    json!({
        "template": {"type": ["string", "number", "boolean"], "description": "Text with ${…} expressions in it."},
        "condition": {"type": ["string", "boolean"], "description": "An expression without ${}, true or false."},
        "tree": {"description": "Any value; texts in it are templates. \"...\" spreads objects, $items is the list of items."},
        "templates": map(to("template")),
        "duration": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"},
        "size": {"type": ["integer", "string"], "pattern": "^[0-9]+(B|KB|MB|KiB|MiB)$"},
        "schema": schema(),
        "scheme": scheme(),
        "http": object(&["baseUrl", "hosts"], json!({
            "baseUrl": to("template"),
            "hosts": object(&[], json!({
                "allow": list(text("A host, or *. and a domain.")), "userDefined": flag(), "denyPrivateNetworks": flag(),
            })),
            "headers": to("templates"), "headersFrom": to("template"), "timeout": to("duration"), "connectTimeout": to("duration"),
            "compress": names(["none", "gzip"]), "userAgent": text("In place of the program's own name."),
        })),
        "limits": object(&["concurrency"], json!({
            "rate": list(to("rate")),
            "concurrency": object(&["max"], json!({"max": whole(), "initial": whole(), "adaptive": flag()})),
            "headers": object(&[], json!({
                "remaining": text("Requests that are left."), "limit": text("Requests in all."),
                "resetEpoch": text("Seconds since 1970."), "resetEpochMs": text("Milliseconds since 1970."),
                "resetSeconds": text("Seconds from now."), "retryAfter": text("Seconds or a date."),
            })),
            "retryAfterBody": to("template"),
            "retry": object(&[], json!({"base": to("duration"), "max": to("duration")})),
        })),
        "rate": object(&["requests", "per"], json!({
            "id": text("Name."), "requests": whole(), "per": to("duration"), "tunable": flag(), "weight": to("template"),
            "match": object(&[], json!({"method": text("A method."), "path": text("A path with *.")})),
        })),
        "errorRule": object(&["when", "class"], json!({
            "when": to("condition"), "class": names(Class::NAMES.iter().map(|(name, _)| *name)), "wait": to("duration"),
            "code": to("template"), "reason": to("template"), "field": to("template"),
        })),
        "paginate": object(&["type"], json!({
            "type": names(["cursor", "offset", "page", "linkHeader"]), "next": to("template"), "param": text("The parameter."),
            "pageSize": whole(), "pageSizeParam": text("The parameter that says so."),
        })),
    })
}

fn schema() -> Value {
    let types = || {
        names(
            [Type::String, Type::Number, Type::Integer, Type::Boolean, Type::Object, Type::Array, Type::Null]
                .map(Type::as_str),
        )
    };
    let number = || json!({"type": "number"});
    object(
        &[],
        json!({
            "type": {"anyOf": [types(), list(json!({"anyOf": [types(), {"type": "null"}]}))]},
            "title": text("Name for people."), "description": text("One sentence."), "default": {}, "examples": list(json!({})),
            "enum": list(json!({})), "const": {}, "pattern": text("A regular expression."),
            "format": names(Format::NAMES.iter().map(|(name, _)| *name)),
            "minLength": whole(), "maxLength": whole(), "minItems": whole(), "maxItems": whole(), "minProperties": whole(), "maxProperties": whole(),
            "minimum": number(), "maximum": number(), "exclusiveMinimum": number(), "exclusiveMaximum": number(), "multipleOf": number(),
            "uniqueItems": flag(), "items": to("schema"), "properties": map(to("schema")), "required": list(text("A member.")),
            "additionalProperties": {"anyOf": [{"type": "boolean"}, to("schema")]},
            "anyOf": list(to("schema")), "oneOf": list(to("schema")), "dependentRequired": map(list(text("A member."))),
            "x-secret": flag(), "x-identity": flag(), "x-pii": flag(), "x-coerce": flag(), "x-choices": text("A discovery."),
            "x-requiredWhen": to("condition"), "x-role": names(["matchKey", "groupKey", "eventId", "eventTime"]),
            "x-normalize": list(names(NormalizeStep::names())), "x-hash": names(["sha256", "sha1", "md5"]),
            "x-onNull": names(["send", "omit", "reject"]), "x-maxBytes": to("size"), "x-columns": list(text("A column.")),
        }),
    )
}

fn scheme() -> Value {
    let place = object(
        &["as"],
        json!({
            "as": names(["bearer", "header", "query"]), "name": text("Its name."), "prefix": text("Usually Bearer."),
        }),
    );
    let mut scheme = object(
        &["type"],
        json!({
            "id": text("Name, as Destination.spec.auth says it."), "description": text("One sentence."), "optional": flag(),
            "type": names(AuthKind::NAMES.iter().map(|(name, _)| *name)),
            "token": to("template"), "prefix": text("Usually Bearer."), "username": to("template"), "password": to("template"),
            "name": text("Its name."), "value": to("template"), "pointer": text("JSON pointer."), "url": to("template"),
            "grant": names(["clientCredentials", "refreshToken", "jwtBearer", "password"]), "tokenUrl": to("template"),
            "clientId": to("template"), "clientSecret": to("template"), "clientAuth": names(["basic", "body", "none"]),
            "scope": to("template"), "params": to("templates"), "headers": to("templates"), "refreshToken": to("template"),
            "consent": object(&["url"], json!({"url": to("template"), "scope": to("template"), "params": to("templates")})),
            "assertion": object(&["alg", "key"], json!({
                "alg": names(["RS256", "ES256", "HS256"]), "key": to("template"), "keyId": to("template"), "ttl": to("duration"),
                "claims": to("templates"),
            })),
            "tokenPath": to("template"), "expiresIn": to("duration"), "refreshBefore": to("duration"), "rotates": flag(),
            "place": place, "capture": to("templates"), "request": to("request"), "key": to("template"),
            "algorithm": names(["sha256", "sha1"]), "signs": list(to("template")), "header": text("A header."), "format": to("template"),
            "uses": list(text("A setting.")),
        }),
    );
    let signatures = [
        "service",
        "region",
        "accessKeyId",
        "secretAccessKey",
        "sessionToken",
        "consumerKey",
        "consumerSecret",
        "tokenSecret",
        "realm",
    ];
    for key in signatures {
        scheme["properties"][key] = to("template");
    }
    scheme
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn map(of: Value) -> Value {
    json!({"type": "object", "additionalProperties": of})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn to(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    json!({"enum": names.into_iter().collect::<Vec<_>>()})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn whole() -> Value {
    json!({"type": "integer", "minimum": 0})
}

#[cfg(test)]
mod tests;
