//! The samples, as the README says to use them, and what kubectl shows of them.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Destination, Mapping, Source, Sync};
use backflow_tests::cluster::manifests::secret;
use backflow_tests::cluster::scene::{conditions, is_true, status};
use backflow_tests::cluster::{Cluster, Namespace, Operator, root};
use backflow_tests::postgres::{PostgresServer, ServerTls, secret as password};
use backflow_tests::receiver::{Expect, Receiver};
use k8s_openapi::api::events::v1::Event;
use serde_json::{Value, json};

/// A name of the namespace for a process of this machine.
fn service(name: &str, port: u16, target: SocketAddr) -> [Value; 2] {
    let ports = json!([{"port": port, "targetPort": target.port()}]);
    [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}}),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"port": target.port()}], "endpoints": [{"addresses": [target.ip().to_string()]}],
        }),
    ]
}

/// What differs from run to run gets a name, and columns lose their widths, which depend on it.
fn normal(text: &str, names: &[(String, &str)]) -> String {
    let mut text = text.to_owned();
    for (name, stands) in names {
        text = text.replace(name, stands);
    }
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let indent: String = line.chars().take_while(|c| *c == ' ').collect();
        let mut words: Vec<String> = line.split_whitespace().map(word).collect();
        if words.starts_with(&["Resource".into(), "Version:".into()]) {
            words[2] = "<version>".into();
        }
        if let Some(at) = words.iter().position(|word| word == "PostgreSQL") {
            words[at + 1] = "<version>".into();
        }
        lines.push(format!("{indent}{}", words.join(" ")).trim_end().to_owned());
    }
    // Events are sorted by their age, and that is in whole seconds.
    if let Some(events) = lines.iter().position(|line| line == "Events:") {
        lines[events..].get_mut(3..).unwrap_or_default().sort();
    }
    // So are Syncs by their names, which begin alike and end at random.
    lines.sort_by(|a, b| match (a.starts_with("sync.backflow.dev/"), b.starts_with("sync.backflow.dev/")) {
        (true, true) => a.cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    lines.join("\n")
}

fn word(word: &str) -> String {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let hex = |part: &str| part.chars().all(|c| c.is_ascii_hexdigit());
    let unit = |c: char| "dhms".contains(c);
    if word.parse::<jiff::Timestamp>().is_ok() {
        "<time>".into()
    } else if word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && word.split('-').all(hex) {
        "<uid>".into()
    } else if digits > 0 && word.ends_with(unit) && word.chars().all(|c| c.is_ascii_digit() || unit(c) || c == '.') {
        "<duration>".into()
    } else if word.len() == 32 && hex(word) {
        "<hash>".into()
    } else {
        word.to_owned()
    }
}

/// Waits for what is told a moment after the end of a run: events, and that nothing is active any more.
async fn settled(namespace: &Namespace) {
    let told = |events: &[Arc<Event>]| {
        let ends = events.iter().filter(|event| event.reason.as_deref() == Some("SyncSucceeded"));
        (ends.count() == 4).then_some(())
    };
    namespace.until_all("told of both ends, by Mapping and Sync", told).await.unwrap();
    let idle = |source: &Source| source.status.as_ref().is_some_and(|status| status.active_syncs == Some(0));
    namespace.until("shop", "idle", idle).await.unwrap();
    let idle =
        |destination: &Destination| destination.status.as_ref().is_some_and(|status| status.active_syncs == Some(0));
    namespace.until("crm", "idle", idle).await.unwrap();
}

#[tokio::test]
async fn the_samples_work_in_reverse_order_and_kubectl_shows_how() {
    let cluster = Cluster::connect().await.unwrap();
    Operator::ensure(&cluster).await.unwrap();
    let samples = root().unwrap().join("deploy/samples");
    let server = Arc::new(PostgresServer::start_at(cluster.host, ServerTls::Good).await.unwrap());
    server.exec("postgres", "CREATE DATABASE shop").await.unwrap();
    let (warehouse, token, signing) = (password(), password(), password());
    let sql = fs::read_to_string(samples.join("shop.sql")).unwrap().replace(":'password'", &format!("'{warehouse}'"));
    server.exec("shop", &sql).await.unwrap();
    let expect = Expect { token: Some(token.clone()), signing_key: Some(signing.clone()), ..Expect::default() };
    let receiver = Receiver::bind(SocketAddr::from((cluster.host, 0)), expect).await.unwrap();
    let namespace = Namespace::create(&cluster, "sync-samples").await.unwrap();
    let mut objects = vec![
        secret("shop", &[("password", &warehouse)]),
        secret("crm", &[("token", &token), ("signing-key", &signing)]),
    ];
    objects.extend(service("postgres", 5432, SocketAddr::from((cluster.host, server.port()))));
    objects.extend(service("receiver", 8080, receiver.address()));
    namespace.apply(&objects).await.unwrap();
    for (name, port) in [("postgres", 5432), ("receiver", 8080)] {
        namespace.until_reachable(name, port).await.unwrap();
    }

    let mut transcript = String::new();
    let mut names = vec![(namespace.name.clone(), "shop")];
    let mut show = async |command: &str, names: &[(String, &str)]| {
        let said = namespace.kubectl(command).await.unwrap();
        let before = if transcript.is_empty() { "" } else { "\n" };
        transcript += &format!("{before}$ kubectl {}\n{}\n", normal(command, names), normal(&said, names));
    };
    let file = |name: &str| format!("-f deploy/samples/{name}.yaml");
    let four = ["mapping", "destination", "model", "source"].map(file).join(" ");
    show(&format!("apply {four}"), &names).await;
    show("wait --for=condition=Ready mapping/customers-to-crm --timeout=2m", &names).await;
    let mapping = namespace
        .until("customers-to-crm", "done", |mapping: &Mapping| {
            let status = mapping.status.as_ref();
            is_true(&conditions(mapping), ConditionType::LastSyncSucceeded)
                && status.is_some_and(|status| status.active.is_none())
        })
        .await
        .unwrap();
    assert_eq!(receiver.ledger().summary().rows, 10_000);
    server.exec("shop", &fs::read_to_string(samples.join("changes.sql")).unwrap()).await.unwrap();
    show("annotate mapping customers-to-crm backflow.dev/requestedAt=today", &names).await;
    let first = mapping.status.unwrap().last_sync.unwrap().name;
    names.push((first.clone(), "customers-to-crm-<slot>"));
    let done = namespace
        .until("customers-to-crm", "done again", |mapping: &Mapping| {
            let Some(status) = &mapping.status else { return false };
            status.active.is_none() && status.last_sync.as_ref().is_some_and(|last| last.name != first)
        })
        .await
        .unwrap();
    let last = done.status.unwrap().last_sync.unwrap().name;
    names.push((last.clone(), "customers-to-crm-<request>"));
    let found = status(&namespace.get::<Sync>(&last).await.unwrap()).extracted.unwrap();
    assert_eq!((found.added, found.updated, found.deleted), (3, 5, 2));
    settled(&namespace).await;
    show("get backflow", &names).await;
    show("describe source shop", &names).await;
    show("describe model customers", &names).await;
    show("describe destination crm", &names).await;
    show("describe mapping customers-to-crm", &names).await;
    show(&format!("describe sync {last}"), &names).await;

    let others = ["after", "cron", "day-and-time", "interval", "manual"].map(|name| file(&format!("schedules/{name}")));
    show(&format!("apply {}", others.join(" ")), &names).await;
    show("wait --for=condition=Ready mapping --all --timeout=2m", &names).await;
    show(&format!("delete {} {four}", others.join(" ")), &names).await;
    namespace.until_all::<Sync, _>("gone", |left| left.is_empty().then_some(())).await.unwrap();
    insta::assert_snapshot!("samples", transcript);
    assert_eq!(receiver.ledger().violations, Vec::<String>::new());
    namespace.end();
}
