//! Collections of objects, and lists of them.

use serde_json::{Value, json};

use crate::error::ApiError;
use crate::object::Object;
use crate::resource::{Key, Resource};
use crate::route::Parameters;
use crate::selector::Selector;
use crate::store::Store;

/// The form in which objects are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    Full,
    MetadataOnly,
}

impl Representation {
    /// The form that the header `Accept` asks for.
    pub fn from_accept(accept: &str) -> Self {
        if accept.contains("as=PartialObjectMetadata") { Self::MetadataOnly } else { Self::Full }
    }

    pub fn render(self, object: &Object) -> Value {
        match self {
            Self::Full => object.to_json(),
            Self::MetadataOnly => object.metadata_only(),
        }
    }

    /// `apiVersion` and `kind` of one object.
    pub fn type_of(self, resource: Resource) -> (String, String) {
        match self {
            Self::Full => (resource.api_version(), resource.kind().to_owned()),
            Self::MetadataOnly => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned()),
        }
    }
}

/// The objects that a list or a watch asks for.
#[derive(Clone, Debug)]
pub(crate) struct Collection {
    pub resource: Resource,
    pub namespace: Option<String>,
    pub selector: Selector,
}

impl Collection {
    pub fn contains(&self, key: &Key, object: &Object) -> bool {
        key.resource == self.resource
            && self.namespace.as_ref().is_none_or(|namespace| key.namespace.as_ref() == Some(namespace))
            && self.selector.matches(object)
    }
}

/// Where the next page of a list starts: the version of the first page, and the last key of the page before.
struct PageToken {
    version: u64,
    last: Key,
}

impl PageToken {
    fn render(&self) -> String {
        let namespace = self.last.namespace.as_deref().unwrap_or_default();
        format!("{}/{namespace}/{}", self.version, self.last.name)
    }

    fn parse(resource: Resource, token: &str) -> Result<Self, ApiError> {
        let unreadable = || ApiError::bad_request("the continue token is unreadable");
        let mut parts = token.splitn(3, '/');
        let mut next = || parts.next().ok_or_else(unreadable);
        let version = next()?.parse().map_err(|_| unreadable())?;
        let namespace = Some(next()?.to_owned()).filter(|namespace| !namespace.is_empty());
        let name = next()?.to_owned();
        Ok(Self { version, last: Key { resource, namespace, name } })
    }
}

/// Renders one page of a collection.
///
/// Unlike in Kubernetes, later pages show the current objects under the version of the first page. A watch from that version still
/// ends in the correct state.
///
/// # Errors
/// 410 Expired if the history since the first page is forgotten, 400 Bad Request for an unreadable token.
pub(crate) fn list(
    store: &Store,
    collection: &Collection,
    representation: Representation,
    parameters: &Parameters,
) -> Result<Value, ApiError> {
    let token = parameters.continue_from.as_deref().filter(|token| !token.is_empty());
    let page = token.map(|token| PageToken::parse(collection.resource, token)).transpose()?;
    let version = page.as_ref().map_or(store.version(), |page| page.version);
    drop(store.changes_since(version)?);
    let limit = parameters.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);

    let mut rest = store
        .list(collection.resource, page.as_ref().map(|page| &page.last))
        .filter(|(key, object)| collection.contains(key, object));
    let mut items = Vec::new();
    let mut last = None;
    for (key, object) in rest.by_ref().take(limit) {
        let mut item = representation.render(object);
        if let (Representation::Full, false, Value::Object(item)) =
            (representation, collection.resource.is_custom(), &mut item)
        {
            // Kubernetes omits these fields in lists of built-in types.
            item.remove("kind");
            item.remove("apiVersion");
        }
        items.push(item);
        last = Some(key.clone());
    }
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    let remaining = rest.count();
    if let (Some(last), true) = (last, remaining > 0) {
        metadata["continue"] = json!(PageToken { version, last }.render());
        metadata["remainingItemCount"] = json!(remaining);
    }
    let (api_version, kind) = representation.type_of(collection.resource);
    Ok(json!({
        "kind": format!("{kind}List"), "apiVersion": api_version,
        "metadata": metadata, "items": items,
    }))
}
