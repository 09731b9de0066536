//! The objects, and the history of their changes that watches read.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use serde_json::json;

use super::{
    error::ApiError,
    object::Object,
    resource::{Key, Resource},
};

/// How many changes are kept for watches that resume.
const HISTORY: usize = 20_000;

/// All objects at one resource version.
#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Change>,
    version: u64,
    horizon: u64,
}

/// One object's step from one state to the next; `None` is "does not exist".
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub version: u64,
    pub key: Key,
    pub before: Option<Arc<Object>>,
    pub after: Option<Arc<Object>>,
}

impl Store {
    /// The version of the last change; it grows by one with each.
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The objects of a resource in the order of namespace and name, after `after`.
    pub fn list(&self, resource: Resource, after: Option<&Key>) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        let first = Key::cluster(resource, "");
        let start = match after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Included(first),
        };
        self.objects.range((start, Bound::Unbounded)).take_while(move |(key, _)| key.resource == resource)
    }

    /// Stores an object under a new resource version.
    pub fn put(&mut self, key: Key, mut object: Object) -> Arc<Object> {
        self.version += 1;
        object.set_metadata("resourceVersion", Some(json!(self.version.to_string())));
        let after = Arc::new(object);
        let before = self.objects.insert(key.clone(), after.clone());
        self.remember(Change { version: self.version, key, before, after: Some(after.clone()) });
        after
    }

    /// Removes an object and gives its last state, which carries the version of its removal.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        let mut last = Object::clone(&before);
        last.set_metadata("resourceVersion", Some(json!(self.version.to_string())));
        let last = Arc::new(last);
        self.remember(Change { version: self.version, key: key.clone(), before: Some(last.clone()), after: None });
        Some(last)
    }

    fn remember(&mut self, change: Change) {
        self.history.push_back(change);
        if self.history.len() > HISTORY
            && let Some(forgotten) = self.history.pop_front()
        {
            self.horizon = forgotten.version;
        }
    }

    /// The changes after a version.
    ///
    /// # Errors
    ///
    /// 410 Expired, if some of them are forgotten.
    pub fn changes_since(&self, version: u64) -> Result<impl Iterator<Item = &Change>, ApiError> {
        if version < self.horizon {
            return Err(ApiError::expired(version, self.horizon));
        }
        let start = self.history.partition_point(|change| change.version <= version);
        Ok(self.history.range(start..))
    }

    /// Forgets all changes: nothing older than now can be resumed.
    pub fn compact(&mut self) {
        self.history.clear();
        self.version += 1;
        self.horizon = self.version;
    }
}
