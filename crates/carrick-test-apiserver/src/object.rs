//! An API object: JSON with metadata that the server reads and writes.

use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::resource::{Key, Resource, Scope};

/// A stored object: a JSON object with `apiVersion`, `kind` and `metadata`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object(Map<String, Value>);

impl Object {
    /// Parses what a client sent. The server fills in a missing `apiVersion` or `kind`, and rejects one that names another resource.
    ///
    /// # Errors
    /// 400 Bad Request.
    pub fn parse(resource: Resource, value: Value) -> Result<Self, ApiError> {
        let Value::Object(mut map) = value else {
            return Err(ApiError::bad_request("the body is not a JSON object"));
        };
        for (field, expected) in [("apiVersion", resource.api_version()), ("kind", resource.kind().to_owned())] {
            let sent = map.entry(field).or_insert_with(|| json!(expected));
            if *sent != json!(expected) {
                return Err(ApiError::bad_request(format!("{field} is {sent}, expected {expected:?}")));
            }
        }
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if !metadata.is_object() {
            return Err(ApiError::bad_request("metadata is not a JSON object"));
        }
        Ok(Self(map))
    }

    /// A top-level field.
    pub fn field(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// Sets a top-level field; `None` removes it.
    pub fn set_field(&mut self, field: &str, value: Option<Value>) {
        match value {
            Some(value) => self.0.insert(field.to_owned(), value),
            None => self.0.remove(field),
        };
    }

    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// The object as `PartialObjectMetadata`
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches>).
    pub fn metadata_only(&self) -> Value {
        json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": self.0.get("metadata"),
        })
    }

    /// A field of the metadata.
    pub fn metadata(&self, field: &str) -> Option<&Value> {
        self.0.get("metadata")?.get(field)
    }

    fn metadata_str(&self, field: &str) -> Option<&str> {
        self.metadata(field)?.as_str()
    }

    /// Sets a field of the metadata; `None` removes it.
    pub fn set_metadata(&mut self, field: &str, value: Option<Value>) {
        let metadata = self.0.entry("metadata").or_insert_with(|| json!({}));
        if let Value::Object(metadata) = metadata {
            match value {
                Some(value) => metadata.insert(field.to_owned(), value),
                None => metadata.remove(field),
            };
        }
    }

    /// The key of an object that is sent to the collection of `namespace`.
    ///
    /// # Errors
    /// 400 Bad Request if the object has no name or names another namespace.
    pub fn key(&self, resource: Resource, namespace: Option<&str>) -> Result<Key, ApiError> {
        let name = self.metadata_str("name").filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ApiError::bad_request("name is required"))?;
        match (resource.scope(), namespace, self.metadata_str("namespace")) {
            (Scope::Cluster, ..) => Ok(Key::cluster(resource, name)),
            (Scope::Namespaced, Some(asked), Some(own)) if asked != own => {
                Err(ApiError::bad_request("the namespace of the object does not match the namespace of the request"))
            }
            (Scope::Namespaced, asked, own) => Ok(Key::namespaced(resource, asked.or(own).unwrap_or("default"), name)),
        }
    }
}
