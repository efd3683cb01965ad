//! Twenty destinations by their built-in definitions, unaltered, in pods: the chart hands workers a proxy, which plays the vendors, and
//! the proxy's authority. Rows and Mappings are made of the definitions' own fixtures.
//!
//! Pods are what this costs, so there are few: all Mappings share a Source and a Model, which say that they were checked, and run at once,
//! and all that can go wrong does so in the second run. Every Destination is checked before it is used.

#[path = "../local/destinations_fake/exact.rs"]
mod exact;
#[path = "../local/destinations_fake/fixture.rs"]
#[allow(dead_code, reason = "the suite without a cluster asks for more")]
mod fixture;
mod route;
mod table;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use backflow_crds::v1alpha1::{Destination, Sync, SyncPhase, SyncStatus};
use backflow_tests::cluster::manifests::object;
use backflow_tests::cluster::scene::status;
use backflow_tests::cluster::{Cluster, Namespace, Operator};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use self::exact::{Report, exact, taken};
use self::route::{GONE, LIMITED, REFUSED, ROWS, Route, SILENT};
use self::world::{BUNDLE, Manifests, World};

/// Definitions and actions. Those that wait for jobs of the vendor begin first.
const ACTIONS: [(&str, &str); 19] = [
    ("klaviyo", "upsertProfile"),
    ("sendgrid", "updateUserProfile"),
    ("slack", "postToChannel"),
    ("salesforce", "lead"),
    ("google-ads", "userList"),
    ("google-sheets", "postSheet"),
    ("amplitude", "identifyUser"),
    ("facebook-conversions-api", "purchase"),
    ("facebook-custom-audiences", "sync"),
    ("braze", "updateUserProfile"),
    ("customerio", "createUpdatePerson"),
    ("google-analytics-4", "purchase"),
    ("hubspot", "upsertContact"),
    ("intercom", "identifyContact"),
    ("iterable", "updateUser"),
    ("mixpanel", "identifyUser"),
    ("segment", "sendIdentify"),
    ("segment-profiles", "sendIdentify"),
    ("webhook", "send"),
];
/// Mappings that run once more when there is nothing left to send.
const IDLE: [&str; 3] = ["hubspot", "google-analytics-4", table::NAME];

type Ended = BTreeMap<String, SyncStatus>;

/// Applies all manifests. Nobody serves them yet.
async fn apply(namespace: &Namespace, world: &World) {
    let Manifests { rows, others } = world.manifests();
    let all: Vec<Value> = others.into_iter().chain(rows.iter().cloned()).collect();
    namespace.apply(&all).await.unwrap();
    namespace.say_checked(&rows).await.unwrap();
}

/// Waits until all Destinations are checked; what is wrong with the accounts that vendors told then.
async fn checked(namespace: &Namespace, world: &World) -> Vec<String> {
    let names: Vec<&str> = world.routes.iter().map(|route| route.name).chain([table::NAME]).collect();
    let ready = |destinations: &[Arc<Destination>]| {
        let of = |name: &&str| {
            let destination = destinations.iter().find(|destination| destination.name_any() == *name)?;
            let status = destination.status.clone()?;
            let ready =
                status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            ready.then(|| ((*name).to_owned(), status.account.unwrap_or_default()))
        };
        names.iter().map(of).collect::<Option<BTreeMap<String, String>>>()
    };
    let accounts = namespace.until_all("all are checked", ready).await.unwrap();
    let told = |route: &Route| {
        let (is, wanted) = (&accounts[route.name], route.account()?);
        (*is != wanted).then(|| format!("{}: the account is {is:?} instead of {wanted:?}", route.name))
    };
    world.routes.iter().filter_map(told).collect()
}

/// Runs Mappings at once; how they ended.
async fn run(namespace: &Namespace, mappings: &[&str], pass: &str) -> Ended {
    let name = |mapping: &str| format!("{mapping}-{pass}");
    let sync = |mapping: &&str| object("Sync", &name(mapping), json!({"mappingRef": {"name": mapping}}));
    namespace.apply(&mappings.iter().map(sync).collect::<Vec<_>>()).await.unwrap();
    let ended = |syncs: &[Arc<Sync>]| {
        let of = |mapping: &&str| {
            let sync = syncs.iter().find(|sync| sync.name_any() == name(mapping))?;
            status(sync).is_finished().then(|| ((*mapping).to_owned(), status(sync)))
        };
        mappings.iter().map(of).collect::<Option<Ended>>()
    };
    namespace.until_all("all ended", ended).await.unwrap()
}

/// How many records a run delivered, and how many were rejected.
fn counts(status: &SyncStatus) -> (usize, usize) {
    let of = status.delivered.unwrap_or_default();
    let delivered = of.inserted + of.updated + of.upserted + of.deleted;
    let count = |count: i64| usize::try_from(count).unwrap();
    (count(delivered), count(status.rejected.unwrap_or_default()))
}

/// What is wrong with what a vendor has, `after` being 0 for the first sync and 1 for all.
fn wrong(world: &World, route: &Route, after: usize, each: usize) -> Vec<String> {
    let mut report = Report::default();
    let account = world.account(route.name);
    report.check("violations", account.violations.clone(), Vec::new());
    if after == 0 || route.counts_rows() {
        exact(&mut report, &route.fixture, &account, &route.ledgers()[after], each);
    }
    report.0.into_iter().map(|what| format!("{}: {what}", route.name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_destinations_get_everything_once_whatever_goes_wrong() {
    let cluster = Cluster::connect().await.unwrap();
    Operator::ensure_crds(&cluster).await.unwrap();
    let (world, stopped) = tokio::join!(World::new(cluster.host, &ACTIONS), Operator::stop(&cluster));
    stopped.unwrap();
    world.write(0..ROWS, 0).await;
    let namespace = Namespace::create(&cluster, "destinations").await.unwrap();
    apply(&namespace, &world).await;
    let values = [
        "worker.scratch=64Mi",
        "worker.env[0].name=HTTPS_PROXY",
        &format!("worker.env[0].value={}", world.fakes.url()),
        &format!("worker.caBundle.configMapKeyRef.name={}", BUNDLE.0),
        &format!("worker.caBundle.configMapKeyRef.key={}", BUNDLE.1),
    ];
    Operator::install(&cluster, &values).await.unwrap();

    assert_eq!(checked(&namespace, &world).await, Vec::<String>::new());
    let mappings: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).chain([table::NAME]).collect();
    let first = run(&namespace, &mappings, "first").await;
    for (name, status) in &first {
        let is = (status.phase, counts(status));
        assert_eq!(is, (Some(SyncPhase::Succeeded), (ROWS, 0)), "{name}: {status:?}");
    }
    // An event may be several at the vendor's, each row as many as the others.
    let seen = |route: &Route| world.account(route.name);
    let each: Vec<usize> = world.routes.iter().map(|route| (taken(&seen(route)) / ROWS).max(1)).collect();
    let tokens: Vec<usize> = world.routes.iter().map(|route| seen(route).tokens).collect();
    let check = |after: usize| -> Vec<String> {
        world.routes.iter().zip(&each).flat_map(|(route, each)| wrong(&world, route, after, *each)).collect()
    };
    assert_eq!((check(0), world.noted().await), (Vec::new(), table::ledgers()[0].clone()));

    for (route, tokens) in world.routes.iter().zip(&tokens) {
        world.fakes.script(route.name, route.storm(*tokens));
    }
    world.write([0], 1).await;
    world.remove(GONE).await;
    world.write(ROWS..=REFUSED, 0).await;
    let second = run(&namespace, &mappings, "second").await;
    for (name, status) in &second {
        let [before, after] = match world.routes.iter().find(|route| route.name == name) {
            Some(route) => route.ledgers().map(|rows| rows.values().map(|row| row.0).sum::<usize>()),
            None => table::ledgers().map(|lines| lines.len()),
        };
        let rejected = usize::from(name != SILENT);
        let phase = if rejected == 0 { SyncPhase::Succeeded } else { SyncPhase::PartiallySucceeded };
        assert_eq!((status.phase, counts(status)), (Some(phase), (after - before, rejected)), "{name}: {status:?}");
    }
    assert_eq!((check(1), world.noted().await), (Vec::new(), table::ledgers()[1].clone()));
    for (route, before) in world.routes.iter().zip(tokens) {
        assert!(before == 0 || seen(route).tokens > before, "{} needed no other token", route.name);
    }

    // Nothing is left to send, but to the one that must not send.
    let limited = world.routes.iter().find(|route| route.name == LIMITED).unwrap();
    world.fakes.script(LIMITED, limited.limit());
    world.change(limited, 1).await;
    let third = run(&namespace, &[&IDLE[..], &[LIMITED]].concat(), "third").await;
    for (name, status) in &third {
        assert_eq!(counts(status), (0, 0), "{name}: {status:?}");
    }
    for name in IDLE {
        assert_eq!(third[name].phase, second[name].phase, "{name}: what was rejected still is");
    }
    let ended = (third[LIMITED].phase, third[LIMITED].reason.as_deref());
    assert_eq!(ended, (Some(SyncPhase::Failed), Some("RetriesExhausted")), "{:?}", third[LIMITED]);
    let left_alone = |to: &Destination| to.status.as_ref().is_some_and(|status| status.throttled_until.is_some());
    namespace.until(LIMITED, "left alone for a while", left_alone).await.unwrap();
    assert_eq!((check(1), world.noted().await), (Vec::new(), table::ledgers()[1].clone()));
    assert_eq!(world.fakes.ledger().violations, Vec::<String>::new(), "requests for nobody");
    namespace.end();
}
