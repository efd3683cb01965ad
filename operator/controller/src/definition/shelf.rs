//! The definitions that users supply, read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backflow_crds::v1alpha1::{DestinationDefinition, Finding};
use backflow_plan::Definitions;
use backflow_yaml::Node;
use kube::ResourceExt as _;
use serde_json::Value;

/// The definitions that users supply, as they were last seen.
#[derive(Debug, Default)]
pub struct Shelf(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    /// What plans are made with. Who has it keeps it: a change makes another one.
    fit: Arc<Definitions>,
    /// What is wrong with the others.
    wrong: BTreeMap<String, Arc<Vec<Finding>>>,
}

impl Shelf {
    /// What plans are made with now.
    #[must_use]
    pub fn definitions(&self) -> Arc<Definitions> {
        self.lock().fit.clone()
    }

    /// What is wrong with the definition of this name; nothing if it can be used.
    #[must_use]
    pub fn findings(&self, name: &str) -> Arc<Vec<Finding>> {
        self.lock().wrong.get(name).cloned().unwrap_or_default()
    }

    /// Reads one, in place of what it was before.
    pub fn put(&self, object: &DestinationDefinition) {
        let name = object.name_any();
        let read = backflow_plan::definition(&name, &Node::from(&Value::Object(object.spec.0.clone())));
        let mut inside = self.lock();
        let mut fit = (*inside.fit).clone();
        match read {
            Ok(supplied) => {
                inside.wrong.remove(&name);
                fit.put(name, Some(Arc::new(supplied)));
            }
            Err(problems) => {
                inside.wrong.insert(name.clone(), Arc::new(problems.into_iter().map(Finding::from).collect()));
                fit.put(name, None);
            }
        }
        inside.fit = Arc::new(fit);
    }

    /// Takes one away.
    pub fn remove(&self, name: &str) {
        let mut inside = self.lock();
        inside.wrong.remove(name);
        let mut fit = (*inside.fit).clone();
        fit.remove(name);
        inside.fit = Arc::new(fit);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
