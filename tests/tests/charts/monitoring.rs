//! Dashboard and alerts ask for metrics that the controller has, by labels that it gives them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::render::{only, read, rendered};

/// Every metric of the controller, with its labels. Histograms are asked for by `_bucket` and `le`.
const METRICS: &[(&str, &[&str])] = &[
    ("backflow_leader", &[]),
    ("backflow_objects", &["kind", "ready"]),
    ("backflow_reconcile_total", &["kind", "result"]),
    ("backflow_reconcile_duration_seconds", &["kind", "le"]),
    ("backflow_syncs_total", &["mode", "phase", "reason"]),
    ("backflow_sync_duration_seconds", &["le", "mode"]),
    ("backflow_sync_records_total", &["outcome"]),
    ("backflow_delivery_requests_total", &["answer"]),
    ("backflow_delivery_request_seconds_total", &[]),
    ("backflow_delivery_retries_total", &[]),
    ("backflow_delivery_throttled_seconds_total", &[]),
    ("backflow_delivery_breaks_total", &[]),
    ("backflow_sync_start_skew_seconds", &["le"]),
    ("backflow_missed_slots_total", &[]),
];

#[test]
fn the_dashboard_asks_for_every_metric_and_for_no_other() {
    let objects = rendered(&["grafanaDashboard.enabled=true"]);
    let text = only(&objects, "ConfigMap")["data"]["backflow.json"].as_str().expect("the dashboard").to_owned();
    let dashboard: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
    assert_eq!(only(&objects, "ConfigMap")["metadata"]["labels"]["grafana_dashboard"], "1");

    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have one id");
    let mut asked = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{}", panel["title"]);
        for target in panel["targets"].as_array().expect("targets") {
            let expression = target["expr"].as_str().expect("an expression");
            asked.extend(check(expression));
            assert!(expression.contains(r#"namespace="$namespace""#), "not of one installation: {expression}");
        }
    }
    let known: BTreeSet<_> = METRICS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(asked, known);
}

#[test]
fn alerts_ask_for_known_metrics_of_this_installation() {
    let objects = rendered(&["prometheusRule.enabled=true", "prometheusRule.labels.release=main"]);
    let rule = only(&objects, "PrometheusRule");
    assert_eq!(rule["metadata"]["labels"]["release"], "main");
    let rules = rule["spec"]["groups"][0]["rules"].as_array().expect("rules");
    assert!(rules.len() >= 5);
    for rule in rules {
        let expression = rule["expr"].as_str().expect("an expression");
        assert!(!check(expression).is_empty(), "{expression}");
        assert!(expression.contains(r#"namespace="backflow-system""#), "{expression}");
        for text in ["summary", "description"] {
            assert!(
                rule["annotations"][text].as_str().is_some_and(|text| text.ends_with(['.', 'd', 'A', ';'])),
                "{rule}"
            );
        }
    }
}

#[test]
fn the_pod_monitor_finds_the_pods_port() {
    let objects = rendered(&["podMonitor.enabled=true", "podMonitor.interval=10s", "podMonitor.labels.release=main"]);
    let monitor = only(&objects, "PodMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "main");
    let pod = &only(&objects, "Deployment")["spec"]["template"];
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["port"], pod["spec"]["containers"][0]["ports"][0]["name"]);
    assert_eq!(monitor["spec"]["podMetricsEndpoints"][0]["interval"], "10s");
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().expect("a selector") {
        assert_eq!(&pod["metadata"]["labels"][key], value);
    }
}

#[test]
fn the_readme_has_every_metric_with_its_labels() {
    let readme = read("charts/backflow/README.md");
    for (name, labels) in METRICS {
        let line = readme.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap_or_else(|| panic!("{name}"));
        for label in labels.iter().filter(|label| **label != "le") {
            assert!(line.contains(&format!("`{label}`")), "{line} does not have {label}");
        }
    }
}

/// The metrics of an expression; every one of them, and every label beside it, must be known.
fn check(expression: &str) -> BTreeSet<String> {
    let known: BTreeMap<_, _> = METRICS.iter().copied().collect();
    let mut metrics = BTreeSet::new();
    let mut labels = BTreeSet::from(["namespace"]);
    for word in words(expression).filter(|word| word.starts_with("backflow_")) {
        let base = word.strip_suffix("_bucket").unwrap_or(word);
        let of = known.get(base).unwrap_or_else(|| panic!("{word} is no metric of the controller: {expression}"));
        assert_eq!(word != base, of.contains(&"le"), "a histogram is asked for by its buckets: {expression}");
        labels.extend(*of);
        metrics.insert(base.to_owned());
    }
    for group in expression.split("by (").skip(1) {
        for label in words(group.split(')').next().unwrap_or_default()) {
            assert!(labels.contains(label), "{label} is no label here: {expression}");
        }
    }
    for selector in expression.split('{').skip(1) {
        let selector = selector.split('}').next().unwrap_or_default();
        for label in selector.split(',').filter_map(|part| part.split(['=', '!']).next()) {
            assert!(labels.contains(label.trim()), "{label} is no label here: {expression}");
        }
    }
    metrics
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}
