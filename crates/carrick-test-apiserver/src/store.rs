//! The objects, and the history of their changes for watches.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::json;

use crate::error::ApiError;
use crate::object::Object;
use crate::resource::{Key, Resource};

/// How many changes the store keeps for watches that resume.
const HISTORY: usize = 20_000;

/// All objects at one resource version.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Change>,
    version: u64,
    /// Changes up to this version are forgotten.
    horizon: u64,
}

/// A change of one object; `None` means that the object does not exist.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub version: u64,
    pub key: Key,
    pub before: Option<Arc<Object>>,
    pub after: Option<Arc<Object>>,
}

impl Store {
    /// The version of the last change. Each change increases it by one.
    pub const fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The objects of a resource that follow `after`, ordered by namespace and name.
    pub fn list(&self, resource: Resource, after: Option<&Key>) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        let start = match after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Included(Key::cluster(resource, "")),
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

    /// Removes an object and returns its last state, with the version of the removal.
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
    /// 410 Expired, if some of these changes are forgotten.
    pub fn changes_since(&self, version: u64) -> Result<impl Iterator<Item = &Change>, ApiError> {
        if version < self.horizon {
            return Err(ApiError::expired(version, self.horizon));
        }
        let start = self.history.partition_point(|change| change.version <= version);
        Ok(self.history.range(start..))
    }

    /// Forgets all changes, so that no watch can resume from a version before this one.
    pub fn compact(&mut self) {
        self.history.clear();
        self.version += 1;
        self.horizon = self.version;
    }
}
