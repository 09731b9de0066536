//! Writes: from a client's request to the stored object.

use std::sync::Arc;

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

use crate::error::{ApiError, Reason};
use crate::object::Object;
use crate::resource::Key;
use crate::store::Store;

/// The part of an object that a request writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The resource itself: everything except the status, if the status is a subresource.
    Main,
    /// The subresource `status`: nothing except the status.
    Status,
}

/// A write that a client asks for.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Create(Object),
    /// A merge patch (RFC 7386).
    Merge(Value),
    /// An apply patch. It is merged as a merge patch is; the object is created if it does not exist.
    Apply(Object),
}

/// The outcome of a write.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Created(Arc<Object>),
    /// If the write changes nothing, the stored object and its version stay as they are.
    Updated(Arc<Object>),
}

impl Written {
    pub const fn object(&self) -> &Arc<Object> {
        match self {
            Self::Created(object) | Self::Updated(object) => object,
        }
    }
}

/// Performs a write.
///
/// # Errors
/// The errors of Kubernetes for an object that exists or does not exist, and for another UID.
pub(crate) fn write(
    store: &mut Store,
    key: Key,
    part: Part,
    request: Request,
    now: Timestamp,
) -> Result<Written, ApiError> {
    match (store.get(&key).cloned(), request) {
        (None, Request::Create(object)) => Ok(create(store, key, object, now)),
        (None, Request::Apply(config)) if part == Part::Main => {
            if config.metadata("uid").is_some() {
                return Err(ApiError::new(Reason::Conflict, "a uid is given, but the object does not exist"));
            }
            Ok(create(store, key, config, now))
        }
        (None, Request::Apply(_) | Request::Merge(_)) => Err(ApiError::not_found(&key)),
        (Some(_), Request::Create(_)) => Err(ApiError::already_exists(&key)),
        (Some(live), Request::Merge(patch)) => update(store, key, part, &live, patch),
        (Some(live), Request::Apply(config)) => update(store, key, part, &live, config.to_json()),
    }
}

/// Deletes an object.
///
/// # Errors
/// 404 Not Found.
pub(crate) fn delete(store: &mut Store, key: &Key) -> Result<Arc<Object>, ApiError> {
    store.remove(key).ok_or_else(|| ApiError::not_found(key))
}

/// Stores a new object. A UID and a creation time in the object are kept.
fn create(store: &mut Store, key: Key, mut object: Object, now: Timestamp) -> Written {
    object.set_metadata("namespace", key.namespace.as_ref().map(|namespace| json!(namespace)));
    object.set_metadata("name", Some(json!(key.name)));
    if object.metadata("uid").is_none() {
        let uid = format!("00000000-0000-4000-8000-{:012x}", store.version() + 1);
        object.set_metadata("uid", Some(json!(uid)));
    }
    if object.metadata("creationTimestamp").is_none_or(Value::is_null) {
        let now = now.round(Unit::Second).unwrap_or(now);
        object.set_metadata("creationTimestamp", Some(json!(now.to_string())));
    }
    if key.resource.is_custom() {
        object.set_metadata("generation", Some(json!(1)));
    }
    Written::Created(store.put(key, object))
}

fn update(store: &mut Store, key: Key, part: Part, live: &Arc<Object>, patch: Value) -> Result<Written, ApiError> {
    let mut merged = live.to_json();
    merge_patch(&mut merged, patch);
    let merged = Object::parse(key.resource, merged)?;
    if merged.metadata("uid") != live.metadata("uid") {
        return Err(ApiError::new(Reason::Invalid, "metadata.uid: field is immutable"));
    }
    let after = restrict(&key, part, live, merged);
    if after == **live {
        return Ok(Written::Updated(live.clone()));
    }
    Ok(Written::Updated(store.put(key, after)))
}

/// Takes from `live` what a write to `part` cannot change: the identity and the other part.
fn restrict(key: &Key, part: Part, live: &Object, merged: Object) -> Object {
    let mut after = match part {
        Part::Main => merged,
        Part::Status => {
            let mut after = live.clone();
            after.set_field("status", merged.field("status").cloned());
            return after;
        }
    };
    if key.resource.has_status() {
        after.set_field("status", live.field("status").cloned());
    }
    for field in ["name", "namespace", "creationTimestamp", "resourceVersion", "generation"] {
        after.set_metadata(field, live.metadata(field).cloned());
    }
    if key.resource.is_custom() && after.field("spec") != live.field("spec") {
        let generation = live.metadata("generation").and_then(Value::as_i64).unwrap_or(0);
        after.set_metadata("generation", Some(json!(generation + 1)));
    }
    after
}

/// Applies a merge patch (RFC 7386).
fn merge_patch(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge_patch(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}
