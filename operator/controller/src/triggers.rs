//! Who must look again when something was seen. What was seen and concerns nobody costs nothing.

use std::collections::HashSet;
use std::time::Duration;

use backflow_crds::conditions::ConditionType;
use backflow_crds::v1alpha1::{Destination, DestinationDefinition, Mapping, Model, Source, Sync};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource, ResourceExt as _};

use crate::context::Context;
use crate::mapping::status::lacks_a_column;
use crate::metrics::Kind;
use crate::runs::{JobMeta, PodView, Seen};
use crate::status::condition;
use crate::store::{Key, Store, version};

/// The counts of a Source or Destination are brought up to date this long after a Sync moved: many move at once.
const COUNTS: Duration = Duration::from_secs(1);

/// Where a sight of an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A watch.
    Watch,
    /// The answer to a write of our own: its own reconcile has just ended.
    Own,
}

/// One of the kinds.
pub trait Observed: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + std::marker::Sync + 'static {
    /// Which.
    const KIND: Kind;

    /// Where the objects of this kind are kept.
    fn store(context: &Context) -> &Store<Self>;

    /// The object is new or has changed: who else must look. `before` is what was known.
    fn changed(&self, context: &Context, before: Option<&Self>);

    /// The object is gone: who else must look.
    fn lost(&self, context: &Context);

    /// Whether the object is kept.
    fn is_kept(&self) -> bool {
        true
    }
}

/// An object was seen.
pub fn saw<K: Observed>(context: &Context, mut object: K, origin: Origin) {
    let meta = object.meta_mut();
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let key = Key::of(&object);
    let before = K::store(context).get(&key);
    let known = before.as_ref().is_some_and(|before| version(&**before) >= version(&object));
    if known && origin == Origin::Watch {
        return;
    }
    if object.is_kept() {
        K::store(context).put(key.clone(), version(&object), object.clone());
    } else {
        K::store(context).remove(&key);
    }
    object.changed(context, before.as_deref());
    if !object.is_kept() {
        object.lost(context);
    } else if origin == Origin::Watch {
        context.queue(K::KIND).add(key);
    }
}

/// An object is gone.
pub fn lost<K: Observed>(context: &Context, key: &Key) {
    if let Some(object) = K::store(context).remove(key) {
        object.lost(context);
    }
    context.queue(K::KIND).add(key.clone());
}

/// What others see of an object: its spec, and how it stands with it.
fn standing(
    generation: Option<i64>,
    conditions: &[Condition],
    checked: Option<&Time>,
) -> (Option<i64>, Option<Time>, Vec<String>) {
    let ready = condition(conditions, ConditionType::Ready);
    let words =
        ready.map(|ready| vec![ready.status.clone(), ready.reason.clone(), format!("{:?}", ready.observed_generation)]);
    (generation, checked.cloned(), words.unwrap_or_default())
}

macro_rules! standing {
    ($object:expr) => {{
        let status = $object.status.as_ref();
        standing(
            $object.metadata.generation,
            status.map(|status| status.conditions.as_slice()).unwrap_or_default(),
            status.and_then(|status| status.last_check_time.as_ref()),
        )
    }};
}

impl Observed for Source {
    const KIND: Kind = Kind::Source;

    fn store(context: &Context) -> &Store<Self> {
        &context.stores.sources
    }

    fn changed(&self, context: &Context, before: Option<&Self>) {
        if before.is_none_or(|before| standing!(before) != standing!(self)) {
            self.lost(context);
        }
    }

    fn lost(&self, context: &Context) {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        for model in context.stores.models.in_namespace(&namespace) {
            if model.spec.source_ref.name == name {
                context.queues.models.add(Key::of(&*model));
                mappings_of_model(context, &namespace, &model.name_any());
            }
        }
        context.admit(&namespace);
    }
}

impl Observed for Model {
    const KIND: Kind = Kind::Model;

    fn store(context: &Context) -> &Store<Self> {
        &context.stores.models
    }

    fn changed(&self, context: &Context, before: Option<&Self>) {
        if before.is_none_or(|before| standing!(before) != standing!(self)) {
            self.lost(context);
        }
    }

    fn lost(&self, context: &Context) {
        let namespace = self.namespace().unwrap_or_default();
        mappings_of_model(context, &namespace, &self.name_any());
        context.admit(&namespace);
    }
}

impl Observed for DestinationDefinition {
    const KIND: Kind = Kind::DestinationDefinition;

    fn store(context: &Context) -> &Store<Self> {
        &context.stores.definitions
    }

    fn changed(&self, context: &Context, before: Option<&Self>) {
        let is_new = |before: &Self| {
            (&before.metadata.uid, before.metadata.generation) != (&self.metadata.uid, self.metadata.generation)
        };
        if before.is_none_or(is_new) {
            context.shelf.put(self);
            self.users(context);
        } else if before.is_some_and(|before| accepted(before) != accepted(self)) {
            self.users(context);
        }
    }

    fn lost(&self, context: &Context) {
        context.shelf.remove(&self.name_any());
        self.users(context);
    }
}

/// When a definition was accepted.
pub(crate) fn accepted(definition: &DestinationDefinition) -> Option<&Time> {
    definition.status.as_ref()?.accepted_time.as_ref()
}

/// Who is concerned by a definition.
trait Users {
    /// The Destinations of its type in all namespaces, and their Mappings, which are judged by its actions.
    fn users(&self, context: &Context);
}

impl Users for DestinationDefinition {
    fn users(&self, context: &Context) {
        let name = self.name_any();
        for destination in context.stores.destinations.all() {
            if destination.spec.type_ == name {
                context.queues.destinations.add(Key::of(&*destination));
                destination.lost(context);
            }
        }
    }
}

impl Observed for Destination {
    const KIND: Kind = Kind::Destination;

    fn store(context: &Context) -> &Store<Self> {
        &context.stores.destinations
    }

    fn changed(&self, context: &Context, before: Option<&Self>) {
        if before.is_none_or(|before| standing!(before) != standing!(self)) {
            self.lost(context);
        }
    }

    fn lost(&self, context: &Context) {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        mappings(context, &namespace, |mapping| mapping.spec.destination_ref.name == name);
        context.admit(&namespace);
    }
}

impl Observed for Mapping {
    const KIND: Kind = Kind::Mapping;

    fn store(context: &Context) -> &Store<Self> {
        &context.stores.mappings
    }

    fn changed(&self, context: &Context, before: Option<&Self>) {
        let namespace = self.namespace().unwrap_or_default();
        let stands = |mapping: &Self| {
            let conditions = mapping.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
            standing(mapping.metadata.generation, &conditions, None)
        };
        if before.is_none_or(|before| stands(before) != stands(self)) {
            context.admit(&namespace);
        }
        // A check that did not find a column which a Mapping names is repeated.
        if lacks_a_column(self) != before.is_some_and(lacks_a_column) {
            context.queues.models.add(Key::new(&namespace, &self.spec.model_ref.name));
        }
        let last = |mapping: &Self| mapping.status.as_ref().and_then(|status| status.last_sync.clone());
        if before.is_none_or(|before| before.metadata.generation != self.metadata.generation) {
            self.neighbours(context, before);
            recount(context, &namespace);
        } else if before.is_some_and(|before| last(before) != last(self)) {
            self.followers(context);
        }
    }

    fn lost(&self, context: &Context) {
        self.neighbours(context, None);
        recount(context, &self.namespace().unwrap_or_default());
        context.deleted.set(Key::of(self));
        let namespace = self.namespace().unwrap_or_default();
        let name = self.name_any();
        let of_it = |sync: &Sync| sync.spec.mapping_ref.as_ref().is_some_and(|mapping| mapping.name == name);
        for sync in context.stores.syncs.select(&namespace, of_it) {
            context.queues.syncs.add(Key::of(&*sync));
        }
        context.admit(&namespace);
    }
}

/// What else concerns a Mapping.
trait Beside {
    /// Mappings that run after this one.
    fn followers(&self, context: &Context);

    /// Mappings that are judged beside this one, or were: a circle may lead through it, and a state be shared with it.
    fn neighbours(&self, context: &Context, before: Option<&Self>);
}

impl Beside for Mapping {
    fn followers(&self, context: &Context) {
        let name = self.name_any();
        mappings(context, &self.namespace().unwrap_or_default(), |mapping| {
            mapping.spec.schedule.after.as_ref().is_some_and(|after| after.mapping_ref.name == name)
        });
    }

    fn neighbours(&self, context: &Context, before: Option<&Self>) {
        let name = self.name_any();
        let states: Vec<String> = before.into_iter().chain([self]).map(state).collect();
        // Default keys differ by name, so at least one of two must say its own.
        let says = before.into_iter().chain([self]).any(|mapping| mapping.spec.state_key.is_some());
        mappings(context, &self.namespace().unwrap_or_default(), |mapping| {
            let shares = (says || mapping.spec.state_key.is_some()) && states.contains(&state(mapping));
            (mapping.spec.schedule.after.is_some() || shares) && mapping.name_any() != name
        });
    }
}

/// What the state of a Mapping is filed under.
fn state(mapping: &Mapping) -> String {
    backflow_plan::state_key(&mapping.namespace().unwrap_or_default(), &mapping.name_any(), &mapping.spec)
}

impl Observed for Sync {
    const KIND: Kind = Kind::Sync;

    fn store(context: &Context) -> &Store<Self> {
        &context.stores.syncs
    }

    fn changed(&self, context: &Context, before: Option<&Self>) {
        let place = |sync: &Self| sync.status.as_ref().map(|status| (status.phase, status.started_at.clone()));
        if before.is_none_or(|before| place(before) != place(self)) {
            moved(context, self);
        }
    }

    fn lost(&self, context: &Context) {
        let key = Key::of(self);
        for pod in context.runs.close(&key) {
            context.ending.saw(&key.namespace, &pod);
        }
        context.board.forget(&key);
        context.desk.forget(&key);
        if let Some(mapping) = &self.spec.mapping_ref {
            context.unfolded.set(Key::new(&key.namespace, &mapping.name));
        }
        moved(context, self);
    }

    fn is_kept(&self) -> bool {
        !self.status.as_ref().is_some_and(|status| status.is_finished())
    }
}

/// A Sync began, ended, came or went.
fn moved(context: &Context, sync: &Sync) {
    let namespace = sync.namespace().unwrap_or_default();
    context.admit(&namespace);
    let mut model = sync.spec.model_ref.as_ref().map(|model| model.name.clone());
    if let Some(mapping) = &sync.spec.mapping_ref {
        context.queues.mappings.add(Key::new(&namespace, &mapping.name));
        // Where it was counted is not known any more when its Mapping is gone; then that one's end counts all.
        let Some(mapping) = context.stores.mappings.find(&namespace, &mapping.name) else { return };
        context.queues.destinations.add_after(Key::new(&namespace, &mapping.spec.destination_ref.name), COUNTS);
        model = Some(mapping.spec.model_ref.name.clone());
    }
    let model = model.and_then(|model| context.stores.models.find(&namespace, &model));
    let of_model = model.map(|model| model.spec.source_ref.name.clone());
    let source = of_model.or_else(|| sync.spec.forget.as_ref().map(|forget| forget.source_ref.name.clone()));
    if let Some(source) = source {
        context.queues.sources.add_after(Key::new(&namespace, &source), COUNTS);
    }
}

/// Syncs may be counted at other Sources and Destinations now.
fn recount(context: &Context, namespace: &str) {
    for source in context.stores.sources.in_namespace(namespace) {
        context.queues.sources.add_after(Key::of(&*source), COUNTS);
    }
    for destination in context.stores.destinations.in_namespace(namespace) {
        context.queues.destinations.add_after(Key::of(&*destination), COUNTS);
    }
}

/// A Sync that ended while nobody watched.
pub fn found(context: &Context, sync: &Sync) {
    let Some(status) = sync.status.as_ref().filter(|status| status.is_finished()) else { return };
    let Some(mapping) = &sync.spec.mapping_ref else { return };
    let key = Key::new(sync.namespace().unwrap_or_default(), &mapping.name);
    let folded = context.stores.mappings.get(&key).and_then(|mapping| mapping.status.clone()?.last_sync?.finished_at);
    if status.finished_at > folded {
        context.unfolded.set(key.clone());
        context.queues.mappings.add(key);
    }
}

/// A Job was seen.
pub fn job(context: &Context, run: &Key, job: JobMeta, seen: Seen) {
    let Some(owner) = job.owner.clone() else { return };
    let of_sync = owner.kind == Kind::Sync.as_str();
    if of_sync && context.stores.syncs.get(run).is_none() {
        return;
    }
    context.runs.saw_job(run.clone(), job, seen);
    if !of_sync && seen == Seen::Deleted {
        context.runs.close(run);
    }
    wake(context, run, &owner.kind, owner.name);
}

/// A pod was seen.
pub fn pod(context: &Context, run: &Key, of_sync: bool, mut pod: PodView, seen: Seen) {
    pod.gone |= seen == Seen::Deleted;
    if of_sync {
        let open = context.stores.syncs.get(run).is_some();
        // A pod may outlive its Sync, and even see another of the same name.
        let ending = !open || context.ending.has(&Key::new(&run.namespace, &pod.name));
        if ending && context.ending.saw(&run.namespace, &pod) {
            context.admit(&run.namespace);
        }
        if !open {
            return;
        }
    }
    context.runs.saw_pod(run.clone(), pod, seen);
    if !of_sync && seen == Seen::Deleted && context.runs.job(run).is_none() {
        context.runs.close(run);
    }
    self::run(context, run);
}

/// Something of a run changed.
pub fn run(context: &Context, run: &Key) {
    if context.stores.syncs.get(run).is_some() {
        context.queues.syncs.add(run.clone());
    } else if let Some(owner) = context.runs.job(run).and_then(|job| job.owner.clone()) {
        wake(context, run, &owner.kind, owner.name);
    }
}

fn wake(context: &Context, run: &Key, kind: &str, name: String) {
    if let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) {
        context.queue(kind).add(Key::new(&run.namespace, name));
    }
}

/// Those of a Model, and those that share a state with one of them: over another Source, it is another state.
fn mappings_of_model(context: &Context, namespace: &str, model: &str) {
    let own = context.stores.mappings.select(namespace, |mapping| mapping.spec.model_ref.name == model);
    let states: HashSet<String> = own.iter().map(|own| state(own)).collect();
    mappings(context, namespace, |mapping| states.contains(&state(mapping)));
}

fn mappings(context: &Context, namespace: &str, concerned: impl Fn(&Mapping) -> bool) {
    for mapping in context.stores.mappings.select(namespace, concerned) {
        context.queues.mappings.add(Key::of(&*mapping));
    }
}
