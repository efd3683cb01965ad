//! Pods that outlive their Sync: one that was deleted, or given up, while its worker could still send. The next run of the Mapping
//! waits for them, so that two never send at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::runs::PodView;
use crate::store::Key;

/// The pods by name, each with its Mapping.
#[derive(Debug, Default)]
pub struct Ending(Mutex<BTreeMap<Key, String>>);

impl Ending {
    /// A pod without an open Sync was seen. Says whether somebody may go on because of it.
    pub fn saw(&self, namespace: &str, pod: &PodView) -> bool {
        let key = Key::new(namespace, &pod.name);
        match pod.mapping.clone().filter(|_| pod.may_send()) {
            Some(mapping) => {
                self.lock().insert(key, mapping);
                false
            }
            None => self.lock().remove(&key).is_some(),
        }
    }

    /// Whether it is one of them.
    #[must_use]
    pub fn has(&self, pod: &Key) -> bool {
        self.lock().contains_key(pod)
    }

    /// A pod that may still send for a Mapping.
    #[must_use]
    pub fn of(&self, namespace: &str, mapping: &str) -> Option<String> {
        let pods = self.lock();
        let mut pods = pods.range(Key::new(namespace, "")..).take_while(|(key, _)| key.namespace == namespace);
        pods.find(|(_, of)| *of == mapping).map(|(key, _)| key.name.clone())
    }

    /// A complete list of pods of `namespace` (or of all) was seen: others are gone. Returns the namespaces where one is.
    pub fn retain(&self, namespace: Option<&str>, listed: &BTreeSet<Key>) -> BTreeSet<String> {
        let mut gone = BTreeSet::new();
        self.lock().retain(|key, _| {
            let stays = namespace.is_some_and(|namespace| key.namespace != namespace) || listed.contains(key);
            if !stays {
                gone.insert(key.namespace.clone());
            }
            stays
        });
        gone
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
