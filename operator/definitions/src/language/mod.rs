//! The language of definitions as a JSON Schema, for editors: what there is to write, and what each of it means. What only the loader can
//! see (expressions, what parts say of each other) is not in it.

mod actions;
mod auth;
mod connection;
mod part;
mod reference;
mod requests;
mod results;
mod root;
mod settings;
mod values;

use serde_json::{Map, Value, json};

pub use reference::{REFERENCE_FILE, reference_page};

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
    let parts = [
        settings::definitions(),
        auth::definitions(),
        connection::definitions(),
        actions::definitions(),
        requests::definitions(),
        results::definitions(),
        values::definitions(),
    ];
    let mut root = root::root();
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Destination definition");
    root["$defs"] = Value::Object(parts.into_iter().flatten().collect::<Map<String, Value>>());
    root
}

#[cfg(test)]
mod tests;
