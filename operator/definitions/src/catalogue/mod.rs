//! The documentation's pages about the built-in definitions, made from the definitions themselves.

mod page;

use std::fmt::Write as _;

use crate::definition::{Category, Definition};
use crate::{builtin, builtin_ids};

/// Where the pages are committed, from this crate's folder.
pub const CATALOGUE_FOLDER: &str = "../../docs";

/// What stands above everything.
const HEAD: &str = "<!-- Made by `cargo xtask generate` from operator/definitions/builtin. -->\n\n";

/// Every page: its path in [`CATALOGUE_FOLDER`], and its text.
#[must_use]
pub fn catalogue() -> Vec<(String, String)> {
    let all: Vec<&Definition> = builtin_ids().filter_map(builtin).collect();
    let mut pages = vec![("destinations.md".to_owned(), index(&all))];
    pages.extend(all.iter().map(|definition| (format!("destinations/{}.md", definition.id), page::page(definition))));
    pages
}

fn index(all: &[&Definition]) -> String {
    let coded = all.iter().filter(|definition| definition.http().is_none()).map(|definition| definition.title.as_str());
    let mut out = format!(
        "{HEAD}# Destinations\n\n{} tools, {} actions. Each is a definition, a data file, and none has code of its own, but for what is not \
         spoken to by HTTP: {}. \
         What a definition was checked against is said on its page: a machine-readable specification of the vendor \
         (`spec-verified`), one that others wrote (`derived-spec`), or written requests and answers (`fixture-verified`). \
         **None of them was tried with an account of the real service yet**, but for the webhook, whose receiver is yours, and Postgres, of which the tests \
         start a server.\n",
        all.len(),
        all.iter().map(|definition| definition.actions.len()).sum::<usize>(),
        coded.collect::<Vec<_>>().join(", "),
    );
    for (name, category) in Category::NAMES {
        let mut some: Vec<&&Definition> = all.iter().filter(|definition| definition.category == category).collect();
        if some.is_empty() {
            continue;
        }
        some.sort_by_key(|definition| definition.title.to_lowercase());
        let _ =
            write!(out, "\n## {}\n\n| `type` | tool | actions | checked against |\n|---|---|---|---|\n", heading(name));
        for definition in some {
            let actions: Vec<String> = definition.actions.keys().map(|action| format!("`{action}`")).collect();
            let Definition { id, title, .. } = definition;
            let _ = writeln!(
                out,
                "| [`{id}`](destinations/{id}.md) | {title} | {} | {} |",
                actions.join(", "),
                page::verification(definition.verification)
            );
        }
    }
    out
}

fn heading(category: &str) -> String {
    match category {
        "crm" => "CRM".to_owned(),
        "cdp" => "Customer data platforms".to_owned(),
        other => other[..1].to_uppercase() + &other[1..],
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_page_shows_what_a_definition_says_to_its_readers() {
        let sample = crate::load(include_str!("../load/sample.yaml")).unwrap_or_else(|error| panic!("{error}"));
        let page = page::page(&sample);
        for line in [
            "README.md). The vendor's documentation: <https://docs.example.com>.\n",
            "\nImports contacts by a job. The vendor about it: <https://docs.example.com/jobs>.\n",
            "| `region` | setting, `\"us\"`, `\"eu\"` | Where the account is. Default: `\"us\"`. For example `\"eu\"`. Part of the account's identity. |",
            "| `phone` | text | Required when `cfg.key == 'phone'`. Hashed, unless it already is. Personal data. |",
            "| `event` | text | Event: The event's name. It says which event it is. |",
            "| `at` | text | It says when the event happened. |",
            "| `tags[].name` | text | Personal data. |",
            "## Where this is from\n\n| fact | source | looked up |\n|---|---|---|\n| 100 records in a batch | made up | 2026-03-01 |\n",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }

    #[test]
    fn the_committed_pages_are_what_the_definitions_say_and_no_others_are_there() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CATALOGUE_FOLDER);
        let pages = catalogue();
        for (path, text) in &pages {
            let committed = fs::read_to_string(folder.join(path)).unwrap_or_default();
            assert!(committed == *text, "docs/{path} is stale: run `cargo xtask generate`");
        }
        for entry in fs::read_dir(folder.join("destinations")).unwrap() {
            let name = format!("destinations/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(pages.iter().any(|(path, _)| *path == name), "docs/{name} is about nothing");
        }
    }
}
