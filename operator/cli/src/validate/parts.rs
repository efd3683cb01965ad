//! One resource against what a run makes of it: the findings of `backflow_plan`, which the controller reports too.

use backflow_core::plan::{
    Connection, DestinationLimits, DestinationPlan, DiffEngine, ModelPlan, ModelQuery, SourcePlan, Sqlite,
    StateLocation,
};
use backflow_crds::v1alpha1::{Finding, MappingSpec};
use backflow_plan::{DefinitionProblem, Parts};

use crate::local;
use crate::manifests::{Manifests, Resource, Spec};
use crate::problem::Problem;

/// Checks one resource. What the schema already said of a field is not said again.
pub(super) fn check(manifests: &Manifests, resource: &Resource, problems: &mut Vec<Problem>) {
    let Some(spec) = &resource.spec else {
        // The schema names the fields. If it does not, the types know more than it does.
        if problems.is_empty() {
            let message = format!(
                "cannot be read as a {}; see `kubectl explain {}`",
                resource.kind,
                resource.kind.to_lowercase()
            );
            problems.push(resource.problem("spec", "InvalidSpec", message));
        }
        return;
    };
    if let Spec::DestinationDefinition(found) = spec {
        return definition(resource, found, problems);
    }
    let findings = match spec {
        Spec::Source(_) => local::source(resource).err(),
        Spec::Model(model) => backflow_plan::model(&resource.name, model).err(),
        Spec::DestinationDefinition(_) => None,
        Spec::Destination(_) => local::destination(&manifests.definitions, resource).err(),
        Spec::Mapping(mapping) => Some(self::mapping(manifests, resource, mapping)),
        Spec::Sync(sync) => Some(backflow_plan::check_sync(sync)),
    };
    for Finding { path, code, message } in findings.into_iter().flatten() {
        let path = path.split_once(": ").map(|(path, _)| path.to_owned()).unwrap_or(path);
        if !problems.iter().any(|problem| said(problem, &path, &code)) {
            problems.push(resource.problem(path, &code, message));
        }
    }
}

/// The loader of definitions knows the places itself.
fn definition(resource: &Resource, found: &[DefinitionProblem], problems: &mut Vec<Problem>) {
    for DefinitionProblem { code, problem: found } in found {
        if !problems.iter().any(|problem| said(problem, &found.path, code)) {
            let mut problem = resource.problem(&found.path, code, &found.message);
            if found.line > 0 {
                (problem.line, problem.column) = (found.line, found.column);
            }
            problems.push(problem);
        }
    }
}

/// Whether a problem says the same already: it is about this field, or it is a rule of the whole that names it.
fn said(problem: &Problem, path: &str, code: &str) -> bool {
    let field = path.rsplit('.').next().unwrap_or_default();
    let parent = path.strip_suffix(field).and_then(|parent| parent.strip_suffix('.'));
    let of_whole = problem.code == code && parent == Some(&problem.path) && problem.message.contains(field);
    problem.is_error() && (problem.path == path || of_whole)
}

/// What it refers to may be missing or wrong itself; then the rest is checked nevertheless.
fn mapping(manifests: &Manifests, resource: &Resource, spec: &MappingSpec) -> Vec<Finding> {
    let namespace = &resource.namespace;
    let model = manifests.find("Model", namespace, &spec.model_ref.name).and_then(|model| local::model(model).ok());
    let destination = manifests
        .find("Destination", namespace, &spec.destination_ref.name)
        .and_then(|destination| local::destination(&manifests.definitions, destination).ok());
    let nothing = SourcePlan {
        name: String::new(),
        connection: Connection::Sqlite(Sqlite { path: String::new() }),
        state: StateLocation::Schema(String::new()),
        diff: DiffEngine::Streaming,
    };
    let parts = Parts {
        source: &nothing,
        model: &model.unwrap_or_else(|| ModelPlan {
            name: String::new(),
            query: ModelQuery::Table(String::new()),
            primary_key: Vec::new(),
        }),
        // Without a type there is no definition, and nothing to say about actions and fields.
        destination: &destination.unwrap_or_else(|| DestinationPlan {
            name: String::new(),
            kind: String::new(),
            definition: None,
            definition_version: 0,
            auth: String::new(),
            settings: Default::default(),
            secrets: Default::default(),
            limits: DestinationLimits::default(),
            allow_loopback: true,
        }),
        definitions: &manifests.definitions,
        columns: None,
    };
    let mut findings = backflow_plan::schedule(&spec.schedule).err().unwrap_or_default();
    findings.extend(backflow_plan::mapping(namespace, &resource.name, spec, parts).err().unwrap_or_default());
    findings
}
