//! What the controller knows of the cluster: objects by namespace and name, filled by watches.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use kube::{Resource, ResourceExt as _};

/// Names an object of one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The object `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The objects of one kind.
#[derive(Debug)]
pub struct Store<T>(RwLock<BTreeMap<Key, Entry<T>>>);

#[derive(Debug)]
struct Entry<T> {
    version: u64,
    object: Arc<T>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }
}

impl<T> Store<T> {
    /// The object, if it is there.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.read().get(key).map(|entry| entry.object.clone())
    }

    /// The object `name` in `namespace`.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.get(&Key::new(namespace, name))
    }

    /// All objects of a namespace, by name.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        self.select(namespace, |_| true)
    }

    /// The objects of a namespace that are chosen, by name. Nothing else is touched: there may be thousands. `chosen` must not look at
    /// this store.
    #[must_use]
    pub fn select(&self, namespace: &str, chosen: impl Fn(&T) -> bool) -> Vec<Arc<T>> {
        let from = Key::new(namespace, "");
        let objects = self.read();
        let range = objects.range((Bound::Included(from), Bound::Unbounded));
        let range = range.take_while(|(key, _)| key.namespace == namespace).map(|(_, entry)| &entry.object);
        range.filter(|object| chosen(object)).cloned().collect()
    }

    /// The keys of all objects.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.read().keys().cloned().collect()
    }

    /// All objects.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<T>> {
        self.read().values().map(|entry| entry.object.clone()).collect()
    }

    /// Puts an object in, unless a newer version of it is there: an answer to our own write and the watch race. Says whether it did.
    pub fn put(&self, key: Key, version: u64, object: T) -> bool {
        let mut objects = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if objects.get(&key).is_some_and(|entry| entry.version > version) {
            return false;
        }
        objects.insert(key, Entry { version, object: Arc::new(object) });
        true
    }

    /// Takes an object out.
    pub fn remove(&self, key: &Key) -> Option<Arc<T>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(key).map(|entry| entry.object)
    }

    /// The keys that a complete list of `namespace` (or of all) did not name: of what is gone.
    #[must_use]
    pub fn not_in(&self, namespace: Option<&str>, listed: &BTreeSet<Key>) -> Vec<Key> {
        let objects = self.read();
        let keys = objects.keys().filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace));
        keys.filter(|key| !listed.contains(key)).cloned().collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<Key, Entry<T>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object's resource version as a number. Versions of one kind are ordered; what is no number is older than everything.
#[must_use]
pub fn version<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_does_not_replace_a_newer_one() {
        let store = Store::default();
        let key = Key::new("ns", "a");
        assert!(store.put(key.clone(), 5, "new"));
        assert!(!store.put(key.clone(), 4, "old"));
        assert!(store.put(key.clone(), 5, "same"));
        assert_eq!(store.get(&key).as_deref(), Some(&"same"));
    }

    #[test]
    fn a_namespace_is_listed_without_its_neighbours() {
        let store = Store::default();
        for (namespace, name) in [("a", "z"), ("b", "1"), ("b", "2"), ("b-", "3"), ("c", "4")] {
            store.put(Key::new(namespace, name), 1, name);
        }
        assert_eq!(store.in_namespace("b").iter().map(|name| **name).collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn a_new_list_tells_what_is_gone_in_its_namespace_only() {
        let store = Store::default();
        for (namespace, name) in [("a", "x"), ("b", "y"), ("b", "z")] {
            store.put(Key::new(namespace, name), 1, ());
        }
        assert_eq!(store.not_in(Some("b"), &BTreeSet::from([Key::new("b", "z")])), [Key::new("b", "y")]);
        assert_eq!(store.not_in(None, &BTreeSet::new()).len(), 3);
    }
}
