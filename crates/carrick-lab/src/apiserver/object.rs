//! An API object: JSON whose metadata the server reads and writes.

use serde_json::{Map, Value, json};

use super::{
    error::ApiError,
    resource::{Key, Resource, Scope},
};

/// An object as it is stored: a JSON object with `apiVersion`, `kind` and `metadata`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    /// Takes what a client sent. A missing `apiVersion` or `kind` is filled in; one that names
    /// another resource is refused.
    pub fn parse(resource: Resource, value: Value) -> Result<Self, ApiError> {
        let Value::Object(mut map) = value else {
            return Err(ApiError::bad_request("the body is not a JSON object"));
        };
        for (field, ours) in [("apiVersion", resource.api_version()), ("kind", resource.kind().to_owned())] {
            let theirs = map.entry(field).or_insert_with(|| json!(ours));
            if *theirs != json!(ours) {
                return Err(ApiError::bad_request(format!("{field} is {theirs}, expected {ours:?}")));
            }
        }
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
        if !metadata.is_object() {
            return Err(ApiError::bad_request("metadata is not a JSON object"));
        }
        Ok(Self(map))
    }

    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.0
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

    pub fn metadata(&self, field: &str) -> Option<&Value> {
        self.0.get("metadata")?.get(field)
    }

    pub fn metadata_str(&self, field: &str) -> Option<&str> {
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

    /// Sets a top-level field; `None` removes it.
    pub fn set_field(&mut self, field: &str, value: Option<Value>) {
        match value {
            Some(value) => self.0.insert(field.to_owned(), value),
            None => self.0.remove(field),
        };
    }

    /// The key of an object that is sent to the collection of `namespace`; makes a name from
    /// `generateName` and `suffix` where there is none.
    pub fn key(&self, resource: Resource, namespace: Option<&str>, suffix: u64) -> Result<Key, ApiError> {
        let name = match (self.metadata_str("name"), self.metadata_str("generateName")) {
            (Some(name), _) if !name.is_empty() => name.to_owned(),
            (_, Some(prefix)) if !prefix.is_empty() => format!("{prefix}{suffix:05x}"),
            _ => return Err(ApiError::bad_request("name or generateName is required")),
        };
        let namespace = match (resource.scope(), namespace, self.metadata_str("namespace")) {
            (Scope::Cluster, ..) => None,
            (Scope::Namespaced, Some(asked), Some(own)) if asked != own => {
                return Err(ApiError::bad_request(
                    "the namespace of the object does not match the namespace of the request",
                ));
            }
            (Scope::Namespaced, Some(asked), _) => Some(asked.to_owned()),
            (Scope::Namespaced, None, own) => Some(own.unwrap_or("default").to_owned()),
        };
        Ok(Key { resource, namespace, name })
    }
}
