//! From resources to plans that run on this machine.

use backflow_core::plan::{DestinationPlan, ModelPlan, Plan, SourcePlan, Task};
use backflow_crds::v1alpha1::{Finding, MappingSpec, SyncSpec};
use backflow_plan::{Definitions, Parts, Place, Resolved};

use crate::manifests::{Manifests, Resource, Spec};
use crate::problem::Problem;

/// What owns the state of local runs.
const OWNER: &str = "local";

type Findings = Vec<Finding>;

/// Plans a Source. Relative paths begin at the manifest's folder.
///
/// # Errors
/// All findings.
pub(crate) fn source(resource: &Resource) -> Result<SourcePlan, Findings> {
    match &resource.spec {
        Some(Spec::Source(spec)) => backflow_plan::source(&resource.name, spec, &Place::Local(resource.folder.clone())),
        _ => Err(Vec::new()),
    }
}

/// Plans a Model.
///
/// # Errors
/// All findings.
pub(crate) fn model(resource: &Resource) -> Result<ModelPlan, Findings> {
    match &resource.spec {
        Some(Spec::Model(spec)) => backflow_plan::model(&resource.name, spec),
        _ => Err(Vec::new()),
    }
}

/// Plans a Destination; it may be on this machine.
///
/// # Errors
/// All findings.
pub(crate) fn destination(definitions: &Definitions, resource: &Resource) -> Result<DestinationPlan, Findings> {
    match &resource.spec {
        Some(Spec::Destination(spec)) => {
            backflow_plan::destination(&resource.name, spec, definitions, &Place::Local(resource.folder.clone()))
        }
        _ => Err(Vec::new()),
    }
}

/// A Mapping with all that it needs, each in its manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain<'a> {
    /// The Mapping.
    pub mapping: &'a Resource,
    /// Its spec.
    pub spec: &'a MappingSpec,
    /// Its Model.
    pub model: &'a Resource,
    /// The Model's Source.
    pub source: &'a Resource,
    /// Its Destination.
    pub destination: &'a Resource,
    /// The definitions that this may name.
    pub definitions: &'a Definitions,
}

impl<'a> Chain<'a> {
    /// Finds what a Mapping refers to.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn of(manifests: &'a Manifests, mapping: &'a Resource) -> Result<Self, Box<Problem>> {
        let Some(Spec::Mapping(spec)) = &mapping.spec else {
            return Err(Box::new(mapping.problem("spec", "InvalidSpec", "cannot be read as a Mapping")));
        };
        let model = needed(manifests, mapping, "Model", "modelRef")?;
        let source = needed(manifests, model, "Source", "sourceRef")?;
        let destination = needed(manifests, mapping, "Destination", "destinationRef")?;
        Ok(Self { mapping, spec, model, source, destination, definitions: &manifests.definitions })
    }

    /// The first of Source, Model and Destination that is suspended.
    #[must_use]
    pub(crate) fn suspended(&self) -> Option<&'a Resource> {
        [self.source, self.model, self.destination].into_iter().find(|resource| match &resource.spec {
            Some(Spec::Source(spec)) => spec.suspend,
            Some(Spec::Model(spec)) => spec.suspend,
            Some(Spec::Destination(spec)) => spec.suspend,
            _ => false,
        })
    }

    /// The resources of the chain.
    #[must_use]
    pub(crate) fn resources(&self) -> [&'a Resource; 4] {
        [self.mapping, self.model, self.source, self.destination]
    }

    /// Plans a run.
    ///
    /// # Errors
    /// All findings.
    pub(crate) fn plan(&self, sync: &SyncSpec) -> Result<Task, Findings> {
        let (source, model) = (source(self.source)?, model(self.model)?);
        let destination = destination(self.definitions, self.destination)?;
        let definitions = self.definitions;
        let parts = Parts { source: &source, model: &model, destination: &destination, definitions, columns: None };
        let mapping = backflow_plan::mapping(&self.mapping.namespace, &self.mapping.name, self.spec, parts)?;
        backflow_plan::sync(
            sync,
            Resolved::Mapping { source, model, mapping: Box::new(mapping), destination: Box::new(destination) },
        )
    }
}

/// The resource that `spec.<reference>` of another one names.
///
/// # Errors
/// It is not among the manifests.
pub(crate) fn needed<'a>(
    manifests: &'a Manifests,
    resource: &Resource,
    kind: &str,
    reference: &str,
) -> Result<&'a Resource, Box<Problem>> {
    let name = resource.refers_to(&[reference]).unwrap_or_default();
    manifests.find(kind, &resource.namespace, name).ok_or_else(|| {
        let message =
            format!("there is no {kind} \"{name}\" in these manifests; add it, or name its file with another -f");
        Box::new(resource.problem(format!("spec.{reference}.name"), &format!("{kind}NotFound"), message))
    })
}

/// A plan around a task. Each run has a name of its own: the counters of a run are kept under it.
#[must_use]
pub(crate) fn plan(namespace: &str, name: &str, deadline_seconds: Option<u64>, task: Task) -> Plan {
    let mut moment = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let mut digits = Vec::new();
    while moment > 0 {
        digits.push(char::from_digit((moment % 36) as u32, 36).unwrap_or('0'));
        moment /= 36;
    }
    let suffix: String = digits.iter().rev().collect();
    Plan {
        version: backflow_core::plan::PLAN_VERSION,
        run: format!("{name}-{suffix}"),
        namespace: namespace.to_owned(),
        token: String::new(),
        owner: OWNER.to_owned(),
        deadline_seconds,
        task,
    }
}
