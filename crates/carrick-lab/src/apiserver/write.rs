//! Writes: from what a client asks to the object that is stored.

use std::sync::Arc;

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};

use super::{
    error::{ApiError, Reason},
    object::Object,
    ownership::{self, Manager, OnConflict},
    resource::{Key, StatusPart},
    store::Store,
};

const UID_MISMATCH: &str = "the UID in the precondition does not match the UID in record";

/// The part of an object that a request writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The resource itself: everything but the status, where there is a status part.
    Main,
    /// The subresource `status`.
    Status,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Create(Object),
    Replace(Object),
    /// RFC 7386.
    MergePatch(Value),
    Apply {
        config: Object,
        on_conflict: OnConflict,
    },
}

/// Who asks, and when.
#[derive(Clone, Debug)]
pub(super) struct Author {
    pub field_manager: String,
    pub now: Timestamp,
}

/// The outcome of a write.
#[derive(Clone, Debug)]
pub(super) enum Written {
    Created(Arc<Object>),
    /// Also when nothing differs; then the stored object and its version stay as they are.
    Updated(Arc<Object>),
}

impl Written {
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Self::Created(object) | Self::Updated(object) => object,
        }
    }
}

/// Performs a write.
///
/// # Errors
///
/// What Kubernetes refuses: an object that is there or is not, a conflict of resource versions, of
/// UIDs or of field managers, and a missing namespace.
pub(super) fn write(
    store: &mut Store,
    key: Key,
    part: Part,
    request: Request,
    author: &Author,
) -> Result<Written, ApiError> {
    let manager = Manager {
        name: author.field_manager.clone(),
        subresource: if part == Part::Status { "status".to_owned() } else { String::new() },
        api_version: key.resource.api_version(),
        time: time(author.now),
    };
    let Some(live) = store.get(&key).cloned() else {
        let object = match request {
            Request::Create(object) => {
                let mut object = object;
                fill_in_new(store, &key, &mut object, author.now)?;
                ownership::record_update(None, &mut object, &manager);
                object
            }
            Request::Apply { config, on_conflict } if part == Part::Main => {
                if config.metadata("uid").is_some() {
                    return Err(ApiError::conflict(&key, "a uid is given, but no object exists"));
                }
                let nothing = Object::parse(key.resource, json!({}))?;
                let mut object = ownership::apply(&nothing, &config, &manager, on_conflict)?;
                fill_in_new(store, &key, &mut object, author.now)?;
                object
            }
            Request::Apply { .. } | Request::Replace(_) | Request::MergePatch(_) => {
                return Err(ApiError::not_found(&key));
            }
        };
        return Ok(Written::Created(store.put(key, object)));
    };
    let after = match request {
        Request::Create(_) => return Err(ApiError::already_exists(&key)),
        Request::Replace(object) => {
            if object.metadata("resourceVersion").is_none() && key.resource.status_part() == StatusPart::Custom {
                let message = "metadata.resourceVersion: must be specified for an update";
                return Err(ApiError::new(Reason::Invalid, message));
            }
            if !is_same_object(&live, &object) {
                return Err(ApiError::conflict(&key, UID_MISMATCH));
            }
            check_version(&key, &live, &object)?;
            let mut after = keep_other_part(&key, part, &live, object);
            ownership::record_update(Some(&live), &mut after, &manager);
            after
        }
        Request::MergePatch(patch) => {
            let mut merged = live.to_json();
            merge_patch(&mut merged, patch);
            let merged = Object::parse(key.resource, merged)?;
            if !is_same_object(&live, &merged) {
                return Err(uid_is_immutable());
            }
            check_version(&key, &live, &merged)?;
            let mut after = keep_other_part(&key, part, &live, merged);
            ownership::record_update(Some(&live), &mut after, &manager);
            after
        }
        Request::Apply { mut config, on_conflict } => {
            if !is_same_object(&live, &config) {
                return Err(uid_is_immutable());
            }
            check_version(&key, &live, &config)?;
            restrict(&key, part, &mut config);
            let merged = ownership::apply(&live, &config, &manager, on_conflict)?;
            keep_other_part(&key, part, &live, merged)
        }
    };
    if after == *live {
        return Ok(Written::Updated(live));
    }
    Ok(Written::Updated(store.put(key, after)))
}

/// Deletes an object.
///
/// # Errors
///
/// [`Reason::NotFound`], and [`Reason::Conflict`] when it has another UID than `uid`.
pub(super) fn delete(store: &mut Store, key: &Key, uid: Option<&str>) -> Result<Arc<Object>, ApiError> {
    let live = store.get(key).ok_or_else(|| ApiError::not_found(key))?;
    if uid.is_some() && live.metadata_str("uid") != uid {
        return Err(ApiError::conflict(key, UID_MISMATCH));
    }
    store.remove(key).ok_or_else(|| ApiError::not_found(key))
}

/// What the server writes into a new object. A UID and a creation time that are there stay.
fn fill_in_new(store: &Store, key: &Key, object: &mut Object, now: Timestamp) -> Result<(), ApiError> {
    if let Some(namespace) = &key.namespace {
        let namespace = Key::cluster(super::Resource::Namespace, namespace);
        store.get(&namespace).ok_or_else(|| ApiError::not_found(&namespace))?;
    }
    object.set_metadata("name", Some(json!(key.name)));
    object.set_metadata("namespace", key.namespace.as_ref().map(|n| json!(n)));
    if object.metadata("uid").is_none() {
        let uid = format!("00000000-0000-4000-8000-{:012x}", store.version() + 1);
        object.set_metadata("uid", Some(json!(uid)));
    }
    if object.metadata("creationTimestamp").is_none_or(Value::is_null) {
        object.set_metadata("creationTimestamp", Some(json!(time(now))));
    }
    if key.resource.status_part() == StatusPart::Custom {
        object.set_field("status", None);
        object.set_metadata("generation", Some(json!(1)));
    }
    Ok(())
}

fn check_version(key: &Key, live: &Object, sent: &Object) -> Result<(), ApiError> {
    let version = sent.metadata("resourceVersion").filter(|v| v.as_str() != Some(""));
    if version.is_some_and(|v| Some(v) != live.metadata("resourceVersion")) {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        return Err(ApiError::conflict(key, why));
    }
    Ok(())
}

/// Whether `sent` names no UID or that of `live`.
fn is_same_object(live: &Object, sent: &Object) -> bool {
    sent.metadata("uid").is_none_or(|uid| Some(uid) == live.metadata("uid"))
}

/// What Kubernetes says to a patch for an object that was replaced by another of its name.
fn uid_is_immutable() -> ApiError {
    ApiError::new(Reason::Invalid, "metadata.uid: field is immutable")
}

/// Drops from an applied configuration what this part of the object does not write.
fn restrict(key: &Key, part: Part, config: &mut Object) {
    match (part, key.resource.status_part()) {
        (Part::Main, StatusPart::Absent) => {}
        (Part::Main, StatusPart::BuiltIn | StatusPart::Custom) => config.set_field("status", None),
        (Part::Status, status) => {
            let keep = |field: &str| match field {
                "apiVersion" | "kind" | "status" => true,
                "metadata" => status == StatusPart::BuiltIn,
                _ => false,
            };
            config.fields_mut().retain(|field, _| keep(field));
        }
    }
}

/// Takes from `live` what a write to `part` cannot change: identity, and the other part.
fn keep_other_part(key: &Key, part: Part, live: &Object, mut after: Object) -> Object {
    let managed_fields = after.metadata("managedFields").cloned();
    match (part, key.resource.status_part()) {
        (Part::Main, StatusPart::Absent) => {}
        (Part::Main, StatusPart::BuiltIn | StatusPart::Custom) => {
            after.set_field("status", live.fields().get("status").cloned());
        }
        (Part::Status, status) => {
            let mut whole = live.clone();
            whole.set_field("status", after.fields().get("status").cloned());
            if status == StatusPart::BuiltIn {
                whole.set_field("metadata", after.fields().get("metadata").cloned());
            }
            after = whole;
            after.set_metadata("managedFields", managed_fields);
        }
    }
    let identity = ["name", "generateName", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation"];
    for field in identity {
        after.set_metadata(field, live.metadata(field).cloned());
    }
    let spec = |object: &Object| object.fields().get("spec").cloned();
    if key.resource.status_part() == StatusPart::Custom && spec(&after) != spec(live) {
        let generation = live.metadata("generation").and_then(Value::as_i64).unwrap_or(0);
        after.set_metadata("generation", Some(json!(generation + 1)));
    }
    after
}

/// JSON merge patch, RFC 7386.
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

/// RFC 3339 in whole seconds, as Kubernetes writes times in metadata.
fn time(now: Timestamp) -> String {
    now.round(Unit::Second).unwrap_or(now).to_string()
}
