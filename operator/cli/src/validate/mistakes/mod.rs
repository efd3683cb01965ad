//! Mistakes that people make, planted one at a time into manifests that are right: each is found, at its place, with its cure.

use super::*;
use crate::files::File;

const SHOP: &str = include_str!("shop.yaml");

/// A part of the manifests, and what stands in its place.
const PLANTED: &[(&str, &str)] = &[
    // YAML and what is around a spec.
    ("  primaryKey: [id]", "  primaryKey: [id"),
    ("v1alpha1\nkind: Source", "v1alpha2\nkind: Source"),
    ("kind: Mapping", "kind: Maping"),
    ("kind: Model\n", ""),
    ("  name: shop\nspec:\n  sqlite", "  name: Shop\nspec:\n  sqlite"),
    ("  name: shop\nspec:\n  sqlite", "  nmae: shop\nspec:\n  sqlite"),
    ("  table: customers", "  table: customers\n  table: orders"),
    ("  table: customers\n  primaryKey: [id]\n", ""),
    // Fields, types and rules of the API.
    ("  syncMode: Upsert", "  syncmode: Upsert"),
    ("  syncMode: Upsert", "  syncMode: Upserts"),
    ("  syncMode: Upsert", "  syncMode: Upsert\n  records: [Added]"),
    ("  modelRef: {name: customers}\n", ""),
    ("  primaryKey: [id]", "  primaryKey: id"),
    ("  primaryKey: [id]", "  primaryKey: []"),
    ("  table: customers", "  table: customers\n  sql: select 1"),
    ("{secretKeyRef: {name: crm, key: token}}", "hunter2"),
    ("  type: acme\n", "  type: acme\n  maxConcurrentSyncs: \"2\"\n"),
    ("  interval: 15m", "  interval: 15 minutes"),
    ("  interval: 15m", "  interval: 30s"),
    ("  interval: 15m", "  interval: 15m\n    manual: {}"),
    ("    interval: 15m", "    cron: {expressions: [\"0 25 * * *\"]}"),
    ("    interval: 15m", "    cron: {expressions: [\"0 5 * * *\"], timeZone: Europe/Belin}"),
    ("    interval: 15m", "    after: {mappingRef: {name: customers-to-crm}}"),
    ("deadline: 6h", "deadline: 1m"),
    // References.
    ("  modelRef: {name: customers}", "  modelRef: {name: customer}"),
    ("{name: crm, key: token}", "{name: crm, key: tokn}"),
    ("{name: crm, key: token}", "{name: crn, key: token}"),
    (
        "---\napiVersion: backflow.dev/v1alpha1\nkind: Model",
        "---\napiVersion: backflow.dev/v1alpha1\nkind: Source\nmetadata:\n  name: shop\nspec:\n  sqlite: {path: b.db}\n---\napiVersion: backflow.dev/v1alpha1\nkind: Model",
    ),
    // What the definition says of a Destination and a Mapping.
    ("  type: acme\n", "  type: acne\n"),
    ("  type: acme\n", "  type: acme\n  auth: tokens\n"),
    ("  type: acme\n", "  type: acme\n  auth: login\n"),
    ("  settings: {region: eu}", "  settings: {region: de}"),
    ("  settings: {region: eu}", "  settings: {region: no}"),
    ("  settings: {region: eu}", "  settings: {region: eu, token: hunter2}"),
    ("  settings: {region: eu}\n", ""),
    ("  settings: {region: eu}", "  settings: {region: eu, regoin: eu}"),
    ("  action: upsertContact", "  action: upsertContacts"),
    ("  syncMode: Upsert", "  syncMode: Mirror"),
    ("  syncMode: Upsert", "  syncMode: Upsert\n  config: {list: Main}"),
    ("  syncMode: Upsert", "  syncMode: Upsert\n  config: {lists: main}"),
    ("    email: {column: email}", "    emial: {column: email}"),
    ("    email: {column: email}\n", ""),
    ("    email: {column: email}", "    email: {column: email, value: x}"),
    ("    email: {column: email}", "    email: {cel: \"record.email +\"}"),
    ("{template: \"{{ plan }}\"}", "{template: \"{{ plan\"}"),
    ("{template: \"{{ plan }}\"}", "{template: \"{{ plan | uper }}\"}"),
    ("{template: \"{{ plan }}\"}", "{value: gold}"),
    // Definitions.
    ("kind: DestinationDefinition\nmetadata:\n  name: acme", "kind: DestinationDefinition\nmetadata:\n  name: hubspot"),
    ("  title: Acme", "  titel: Acme"),
    ("  title: Acme", "  definition: acne"),
    ("  version: 1\n", ""),
    ("  version: 1\n", "  version: \"1\"\n"),
    ("    required: [region]", "    required: [regoin]"),
    ("enum: [us, eu], x-identity", "x-identity"),
    ("\"${settings.token}\"", "\"${settings.tokn}\""),
    ("type: basic, username: shop", "type: basic"),
    ("Accept: application/json", "X-Token: \"${settings.token}\""),
    ("    hosts: {allow: [\"*.example.com\"]}\n", ""),
    ("hosts: {allow: [\"*.example.com\"]}", "hosts: {allow: [\"*.com\"]}"),
    ("baseUrl: \"https://", "baseUrl: \"http://"),
    ("per: 1s", "per: 1"),
    ("class: throttle", "class: throtle"),
    ("when: \"status == 429\"", "when: \"stauts == 429\""),
    ("syncModes: [Upsert]", "syncModes: [Upsert, Mirror]"),
    ("x-role: matchKey", "x-role: matchkey"),
    ("x-normalize: [trim, lower]", "x-normalize: [trim, loer]"),
    ("pattern: \"^[a-z]+$\"", "pattern: \"^[a-z+$\""),
    ("path: \"/lists", "path: \"lists"),
    ("plan: \"${f.?plan}\"", "plan: \"${f.plan}\""),
    ("plan: \"${f.?plan}\"", "plan: \"${uper(f.?plan)}\""),
    ("body: {contacts: $items}", "body: {contacts: []}"),
    ("mode: byIndex", "mode: byindex"),
    (", ok: \"${it.ok}\"", ""),
];

fn findings(text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let file = File { name: "shop.yaml".to_owned(), folder: ".".into(), text: text.to_owned() };
    let manifests = Manifests::read(vec![file], "default", &mut problems);
    found(&manifests, &Given::default(), &mut problems);
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

#[test]
fn the_manifests_themselves_are_right() {
    assert_eq!(findings(SHOP).iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_planted_mistake_is_found_at_its_place_with_its_cure() {
    let mut report = String::new();
    for (part, instead) in PLANTED {
        assert!(SHOP.contains(part), "{part:?} is in the manifests");
        let text = SHOP.replacen(part, instead, 1);
        let problems = findings(&text);
        report += &format!("## {} -> {}\n", part.trim().replace('\n', "⏎"), instead.trim().replace('\n', "⏎"));
        assert!(!problems.is_empty(), "{instead:?} is not found");
        for problem in problems {
            assert!(problem.line > 0 && problem.column > 0, "{problem}");
            assert!(!problem.message.contains("hunter2"), "a secret is repeated: {problem}");
            report += &format!("{problem}\n");
        }
    }
    insta::assert_snapshot!("planted", report);
}
