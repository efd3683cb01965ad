//! An API server in memory, with faults at any call, and a controller that looks at everything until nothing moves.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use backflow_core::result::{Counters, Phase, RESULT_VERSION, RunResult};
use backflow_crds::v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source, Sync, WorkerTemplate};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PartialObjectMeta;
use kube::client::Body;
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::context::{Context, Marks, Queues, Stores};
use crate::events::{Event, Events};
use crate::metrics::Metrics;
use crate::runs::{JobMeta, PodView, Runs, Seen, Terminated};
use crate::store::Key;
use crate::sync::job::Image;
use crate::triggers::{self, Origin};
use crate::{admission, check, definition, destination, mapping, progress, sync};

pub(crate) const NAMESPACE: &str = "shop";
/// When scenarios begin: 2026-01-01.
pub(crate) const BEGIN: i64 = 1_767_225_600;

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(BEGIN) };
}

pub(crate) fn set_clock(second: i64) {
    NOW.set(second);
}

fn clock() -> Timestamp {
    Timestamp::from_second(NOW.get()).unwrap()
}

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The call is done, and the controller dies before it hears of it.
    Crash,
    /// The call is not done: the API server answers with this code.
    Refuse(u16),
    /// The call is done, and the API server answers with an error: the answer was lost.
    Lost,
}

/// The API server.
#[derive(Debug, Default)]
pub(crate) struct Api {
    state: Mutex<State>,
    crashed: Notify,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    calls: Vec<String>,
    /// Everything that was ever created, by path.
    created: Vec<String>,
    fault: Option<(usize, Fault)>,
}

impl Api {
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if path.contains("/namespaces/") {
            object["metadata"]["namespace"] = json!(NAMESPACE);
        }
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{version}"));
            object["metadata"]["creationTimestamp"] = json!(clock().to_string());
            object["metadata"]["generation"] = json!(1);
        }
        state.objects.insert(path.to_owned(), object);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().objects.remove(path);
    }

    pub(crate) fn fail_at(&self, call: usize, fault: Fault) {
        self.state.lock().unwrap().fault = Some((call, fault));
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn created(&self, plural: &str) -> Vec<String> {
        let created = self.state.lock().unwrap().created.clone();
        created.into_iter().filter(|path| path.contains(&format!("/{plural}/"))).collect()
    }

    pub(crate) fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let objects = &self.state.lock().unwrap().objects;
        objects.iter().find(|(path, _)| path.ends_with(&format!("/{plural}/{name}"))).map(|(_, object)| object.clone())
    }

    pub(crate) fn all(&self, plural: &str) -> Vec<Value> {
        let objects = &self.state.lock().unwrap().objects;
        objects
            .iter()
            .filter(|(path, _)| path.contains(&format!("/{plural}/")))
            .map(|(_, object)| object.clone())
            .collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let (code, answer, fault) = {
            let mut state = self.state.lock().unwrap();
            let place = path.rsplit_once("/namespaces/").map_or(&*path, |(_, place)| place);
            state.calls.push(format!("{} {place}", parts.method));
            let at = state.calls.len();
            let fault = state.fault.filter(|(call, _)| *call == at).map(|(_, fault)| fault);
            match fault {
                Some(Fault::Refuse(code)) => (code, status(code), fault),
                _ => {
                    let (code, answer) = state.call(&parts.method, &path, parts.uri.query().unwrap_or_default(), &body);
                    (code, answer, fault)
                }
            }
        };
        match fault {
            Some(Fault::Crash) => {
                self.crashed.notify_one();
                std::future::pending().await
            }
            Some(Fault::Lost) => respond(500, &status(500)),
            _ => respond(code, &answer),
        }
    }
}

fn respond(code: u16, body: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(serde_json::to_vec(body).unwrap())).unwrap()
}

fn status(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "made to fail"})
}

impl State {
    fn call(&mut self, method: &Method, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let is_status = path.ends_with("/status");
        let object = path.trim_end_matches("/status").to_owned();
        match *method {
            Method::POST => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    let mut taken = status(409);
                    taken["reason"] = json!("AlreadyExists");
                    return (409, taken);
                }
                self.version += 1;
                let mut created = body.clone();
                created["metadata"]["uid"] = json!(format!("uid-{}", self.version));
                created["metadata"]["resourceVersion"] = json!(self.version.to_string());
                created["metadata"]["creationTimestamp"] = json!(clock().to_string());
                created["metadata"]["generation"] = json!(1);
                self.created.push(path.clone());
                self.objects.insert(path, created.clone());
                (201, created)
            }
            Method::PATCH if is_status => {
                let Some(present) = self.objects.get_mut(&object) else { return (404, status(404)) };
                if body["metadata"]["resourceVersion"] != present["metadata"]["resourceVersion"] {
                    return (409, status(409));
                }
                merge(&mut present["status"], &body["status"]);
                self.version += 1;
                present["metadata"]["resourceVersion"] = json!(self.version.to_string());
                (200, present.clone())
            }
            Method::DELETE => {
                let Some(gone) = self.objects.remove(&object) else { return (404, status(404)) };
                let uid = gone["metadata"]["uid"].clone();
                self.objects.retain(|_, other| other["metadata"]["ownerReferences"][0]["uid"] != uid);
                (200, gone)
            }
            _ if path
                .rsplit('/')
                .next()
                .is_some_and(|last| last.ends_with('s') && !self.objects.contains_key(path))
                && !is_object(path) =>
            {
                let mapping =
                    query.split("mappingRef.name%3D").nth(1).map(|rest| rest.split('&').next().unwrap().to_owned());
                let items: Vec<Value> = self
                    .objects
                    .iter()
                    .filter(|(key, _)| key.starts_with(&format!("{path}/")))
                    .filter(|(_, item)| {
                        mapping.as_ref().is_none_or(|mapping| item["spec"]["mappingRef"]["name"] == **mapping)
                    })
                    .map(|(_, item)| item.clone())
                    .collect();
                (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
            }
            _ => self.objects.get(&object).map_or_else(|| (404, status(404)), |object| (200, object.clone())),
        }
    }
}

/// Paths of objects have one part more than those of collections.
fn is_object(path: &str) -> bool {
    path.split("/namespaces/").nth(1).is_some_and(|rest| rest.split('/').count() > 2)
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// A controller.
pub(crate) struct World {
    pub(crate) api: Arc<Api>,
    pub(crate) context: Arc<Context>,
    events: tokio::sync::mpsc::Receiver<Event>,
    /// Pods outlive the controllers that watch them.
    pods: Arc<Mutex<Vec<Pod>>>,
}

/// The run that a pod belongs to, whether that is a Sync's, and the pod.
type Pod = (Key, bool, PodView);

impl World {
    pub(crate) fn new() -> Self {
        set_clock(BEGIN);
        Self::boot(Arc::default(), Arc::default())
    }

    /// A second controller at the same time.
    pub(crate) fn boot_beside(other: &Self) -> Self {
        Self::boot(other.api.clone(), other.pods.clone())
    }

    /// A new controller for the same cluster.
    pub(crate) fn restart(self) -> Self {
        Self::boot(self.api, self.pods)
    }

    fn boot(api: Arc<Api>, pods: Arc<Mutex<Vec<Pod>>>) -> Self {
        let server = api.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let (events, receiver) = Events::channel();
        let context = Arc::new(Context {
            client: Client::new(service, NAMESPACE),
            image: Image { name: "image".into(), pull_policy: "Never".into(), pull_secrets: Vec::new() },
            worker: WorkerTemplate::default(),
            log: "info".into(),
            owner: "cluster".into(),
            stores: Stores::default(),
            shelf: definition::Shelf::default(),
            runs: Runs::default(),
            ending: crate::ending::Ending::default(),
            queues: Queues::default(),
            desk: admission::Desk::default(),
            attempts: check::Attempts::default(),
            throttled: destination::status::Throttled::default(),
            board: progress::Board::default(),
            unfolded: Marks::default(),
            deleted: Marks::default(),
            metrics: Arc::new(Metrics::default()),
            events,
            clock,
        });
        let world = Self { api, context, events: receiver, pods };
        world.watch();
        for sync in world.api.all("syncs") {
            triggers::found(&world.context, &serde_json::from_value(sync).unwrap());
        }
        world
    }

    /// What the watches would bring.
    pub(crate) fn watch(&self) {
        let context = &*self.context;
        self.kind::<Source>("sources");
        self.kind::<Model>("models");
        self.kind::<DestinationDefinition>("destinationdefinitions");
        self.kind::<Destination>("destinations");
        self.kind::<Mapping>("mappings");
        self.kind::<Sync>("syncs");
        for job in self.api.all("jobs") {
            let job: PartialObjectMeta<Job> = serde_json::from_value(job).unwrap();
            triggers::job(context, &Key::of(&job), JobMeta::of(&job), Seen::Present);
        }
        let jobs = self.api.all("jobs");
        let present = jobs.iter().map(|job| Key::new(NAMESPACE, job["metadata"]["name"].as_str().unwrap())).collect();
        for (run, job) in context.runs.jobs_not_in(None, &present) {
            triggers::job(context, &run, (*job).clone(), Seen::Deleted);
        }
        for (run, of_sync, pod) in self.pods.lock().unwrap().iter() {
            triggers::pod(context, run, *of_sync, pod.clone(), Seen::Present);
        }
    }

    fn kind<K: triggers::Observed + serde::de::DeserializeOwned>(&self, plural: &str) {
        let objects: Vec<K> =
            self.api.all(plural).into_iter().map(|object| serde_json::from_value(object).unwrap()).collect();
        let keys = objects.iter().map(Key::of).collect();
        for key in K::store(&self.context).not_in(None, &keys) {
            triggers::lost::<K>(&self.context, &key);
        }
        for object in objects {
            triggers::saw(&self.context, object, Origin::Watch);
        }
    }

    /// Looks at everything until nothing moves. False: the controller died.
    pub(crate) async fn settle(&self) -> bool {
        for _ in 0..20 {
            let before = self.api.state.lock().unwrap().version;
            tokio::select! {
                biased;
                () = self.api.crashed.notified() => return false,
                () = self.look() => {}
            }
            self.watch();
            if self.api.state.lock().unwrap().version == before {
                return true;
            }
        }
        panic!("it never comes to rest: {:#?}", self.api.calls());
    }

    async fn look(&self) {
        let context = &self.context;
        let mut keys = context.stores.mappings.keys();
        keys.push(Key::new(NAMESPACE, "gone"));
        for key in keys {
            let _ = mapping::reconcile(context.clone(), key).await;
        }
        for _ in 0..2 {
            admission::pass(context, NAMESPACE);
            for key in context.stores.syncs.keys() {
                let _ = sync::reconcile(context.clone(), key).await;
            }
        }
    }

    /// The cluster runs a Sync's Job to its end.
    pub(crate) fn finish(&self, job: &str, phase: Phase) {
        self.finish_with(
            job,
            RunResult {
                phase,
                counters: Counters { upserted: 3, ..Counters::default() },
                findings: Some(backflow_core::extraction::Findings { added: 3, ..Default::default() }),
                ..RunResult::default()
            },
        );
    }

    /// The cluster runs a Job to its end, with this result.
    pub(crate) fn finish_with(&self, job: &str, result: RunResult) {
        let path = format!("/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job}");
        let mut object = self.api.get("jobs", job).unwrap();
        object["status"]["conditions"] =
            json!([{"type": "Complete", "status": "True", "lastTransitionTime": clock().to_string()}]);
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        let of_sync = object["metadata"]["ownerReferences"][0]["kind"] == "Sync";
        self.api.put(&path, object);
        let result = RunResult { v: RESULT_VERSION, run: job.into(), ..result };
        let message = String::from_utf8(result.to_message()).unwrap();
        let pod = PodView {
            name: format!("{job}-pod"),
            job: Some(uid),
            terminated: Some(Terminated { message: Some(message), ..Terminated::default() }),
            ..PodView::default()
        };
        self.pods.lock().unwrap().push((Key::new(NAMESPACE, job), of_sync, pod));
        self.watch();
    }

    /// A shop with one Mapping, and everything that it needs Ready.
    pub(crate) fn shop(&self, mapping: Value) {
        let ready = json!({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True", "reason": "CheckSucceeded",
            "message": "Fine.", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}]});
        let group = format!("/apis/backflow.dev/v1alpha1/namespaces/{NAMESPACE}");
        let put = |kind: &str, plural: &str, name: &str, spec: Value, status: Value| {
            let object = json!({"apiVersion": "backflow.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
                "status": status});
            self.api.put(&format!("{group}/{plural}/{name}"), object);
        };
        let source =
            json!({"postgres": {"host": "db", "port": 5432, "database": "d", "user": "u", "tls": {"mode": "Disable"}}});
        put("Source", "sources", "warehouse", source, ready.clone());
        let model = json!({"sourceRef": {"name": "warehouse"}, "sql": "select 1 as id", "primaryKey": ["id"]});
        put("Model", "models", "customers", model, ready.clone());
        let destination = json!({"type": "webhook", "settings": {"url": "https://example.com/"}});
        put("Destination", "destinations", "hook", destination, ready);
        let mut spec = json!({"modelRef": {"name": "customers"}, "destinationRef": {"name": "hook"}, "action": "send",
            "syncMode": "Mirror", "fields": {"id": {"column": "id"}}, "schedule": {"interval": "15m"}});
        merge(&mut spec, &mapping);
        put("Mapping", "mappings", "crm", spec, json!({"observedGeneration": -1}));
        self.watch();
    }

    /// What people were told since the last question.
    pub(crate) fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            told.push(format!("{} {}", event.about.kind.unwrap_or_default(), event.happening.as_str()));
        }
        told
    }

    pub(crate) fn mapping(&self) -> Mapping {
        serde_json::from_value(self.api.get("mappings", "crm").unwrap()).unwrap()
    }

    pub(crate) fn syncs(&self) -> Vec<Sync> {
        self.api.all("syncs").into_iter().map(|sync| serde_json::from_value(sync).unwrap()).collect()
    }

    pub(crate) fn phase(&self, sync: &str) -> String {
        let sync = self.syncs().into_iter().find(|known| known.name_any() == sync);
        sync.and_then(|sync| sync.status?.phase).map(|phase| format!("{phase:?}")).unwrap_or_default()
    }
}
