//! The API as a real API server knows it: every case that it must accept or refuse, and what kubectl shows of it.

use std::collections::BTreeMap;
use std::fs;

use axum::http::Request;
use backflow_crds::v1alpha1::{Destination, Mapping, Model, Source, Sync};
use backflow_tests::cluster::{Cluster, Namespace, Operator, Watched, root};
use backflow_tests::until;
use kube::api::DeleteParams;
use serde_json::Value;

async fn namespace(name: &str) -> Namespace {
    let cluster = Cluster::connect().await.unwrap();
    Operator::ensure_crds(&cluster).await.unwrap();
    Namespace::create(&cluster, name).await.unwrap()
}

fn cases(folder: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(root().unwrap().join("crds/tests/cases").join(folder)).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn header<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let prefix = format!("# {name}: ");
    text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
}

/// What the API server answers to the documents of a case; those before the last must be accepted.
async fn answers(namespace: &Namespace, text: &str) -> Result<(), String> {
    let documents: Vec<Value> = text.split("---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let (last, before) = documents.split_last().unwrap();
    for (at, document) in before.iter().enumerate() {
        let how = if repeats(document, &before[..at]) { How::Replace } else { How::Create };
        send(namespace, document, how).await.expect("only the last document of a case is refused");
    }
    // What comes last need not be kept: the server judges it all the same.
    let answer = send(namespace, last, if repeats(last, before) { How::Replace } else { How::TryToCreate }).await;
    if !before.is_empty() {
        clear::<Source>(namespace).await;
        clear::<Model>(namespace).await;
        clear::<Destination>(namespace).await;
        clear::<Mapping>(namespace).await;
        clear::<Sync>(namespace).await;
    }
    answer.map(drop)
}

/// Whether an object of the same name came before: then this is an update.
fn repeats(document: &Value, before: &[Value]) -> bool {
    let name = |document: &Value| (document["kind"].clone(), document["metadata"]["name"].clone());
    before.iter().any(|earlier| name(earlier) == name(document))
}

#[derive(Clone, Copy)]
enum How {
    Create,
    TryToCreate,
    Replace,
}

/// Creates or replaces as `kubectl create` and `kubectl replace` do: unknown fields are refused.
async fn send(namespace: &Namespace, document: &Value, how: How) -> Result<(), String> {
    let client = &namespace.cluster.client;
    let kind = document["kind"].as_str().unwrap().to_lowercase();
    let group = "/apis/backflow.dev/v1alpha1";
    let all = match kind.as_str() {
        "destinationdefinition" => format!("{group}/{kind}s"),
        _ => format!("{group}/namespaces/{}/{kind}s", namespace.name),
    };
    let one = format!("{all}/{}", document["metadata"]["name"].as_str().unwrap());
    let (method, path) = match how {
        How::Create => ("POST", format!("{all}?fieldValidation=Strict")),
        How::TryToCreate => ("POST", format!("{all}?fieldValidation=Strict&dryRun=All")),
        How::Replace => ("PUT", format!("{one}?fieldValidation=Strict")),
    };
    loop {
        let mut body = document.clone();
        if matches!(how, How::Replace) {
            let present = client.request::<Value>(Request::get(&one).body(Vec::new()).unwrap()).await.unwrap();
            body["metadata"]["resourceVersion"] = present["metadata"]["resourceVersion"].clone();
        }
        let request = Request::builder().method(method).uri(&path).header("content-type", "application/json");
        let answer = client.request::<Value>(request.body(body.to_string().into_bytes()).unwrap()).await;
        match answer.map_err(|error| error.to_string()) {
            // A controller was faster with the status.
            Err(error) if error.contains("the object has been modified") => {}
            answer => return answer.map(drop),
        }
    }
}

async fn clear<K: Watched>(namespace: &Namespace) {
    let all = kube::api::ListParams::default();
    namespace.api::<K>().delete_collection(&DeleteParams::default(), &all).await.unwrap();
}

#[tokio::test]
async fn every_accepted_case_is_accepted() {
    let namespace = namespace("api-accept").await;
    let mut wrong = Vec::new();
    for (name, text) in cases("accept") {
        if let Err(answer) = answers(&namespace, &text).await {
            wrong.push(format!("{name}: {answer}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    namespace.end();
}

#[tokio::test]
async fn every_refused_case_is_refused_with_its_message() {
    let namespace = namespace("api-refuse").await;
    let mut wrong = Vec::new();
    for (name, text) in cases("refuse") {
        let Err(answer) = answers(&namespace, &text).await else {
            wrong.push(format!("{name}: accepted"));
            continue;
        };
        let absent = header(&text, "expect").into_iter().filter(|expected| !answer.contains(expected));
        wrong.extend(absent.map(|expected| format!("{name}: not {expected:?} but {answer:?}")));
        let present = header(&text, "never").into_iter().filter(|never| answer.contains(never));
        wrong.extend(present.map(|never| format!("{name}: {never:?} is repeated: {answer:?}")));
    }
    assert_eq!(wrong, Vec::<String>::new());
    namespace.end();
}

#[tokio::test]
async fn short_names_and_the_category_find_the_kinds() {
    let namespace = namespace("api-names").await;
    let resources = namespace.kubectl("api-resources --api-group=backflow.dev --sort-by=name -o wide").await.unwrap();
    insta::assert_snapshot!("api_resources", columns(&resources));
    assert_eq!(namespace.kubectl("get backflow -o name").await.unwrap(), "");
    for short in ["bfsource", "bfmodel", "bfdef", "bfdest", "bfmap", "bfsync"] {
        assert_eq!(namespace.kubectl(&format!("get {short} -o name")).await.unwrap(), "");
    }
    for selector in [
        "bfmodel --field-selector=spec.sourceRef.name=a",
        "bfmap --field-selector=spec.modelRef.name=a,spec.destinationRef.name=b",
        "bfsync --field-selector=spec.mappingRef.name=a,status.phase=Queued",
    ] {
        assert_eq!(namespace.kubectl(&format!("get {selector} -o name")).await.unwrap(), "", "{selector}");
    }
    let unknown = namespace.kubectl("get bfmap --field-selector=spec.action=a").await.unwrap_err();
    assert!(unknown.to_string().contains("field label not supported"), "{unknown}");
    namespace.end();
}

#[tokio::test]
async fn kubectl_explains_every_kind() {
    let namespace = namespace("api-explain").await;
    for kind in ["source", "model", "destinationdefinition", "destination", "mapping", "sync"] {
        let explain = format!("explain {kind}.spec --api-version=backflow.dev/v1alpha1");
        // The server publishes its schemas a while after it serves the kinds.
        until(&format!("kubectl does not explain {kind}"), async || namespace.kubectl(&explain).await.is_ok())
            .await
            .unwrap();
        let text = namespace.kubectl(&explain).await.unwrap();
        insta::assert_snapshot!(format!("explain_{kind}"), text);
    }
    namespace.end();
}

/// The text with single blanks between columns: their widths are kubectl's business.
fn columns(text: &str) -> String {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n")
}
