//! URLs and query parameters.

use serde::{Deserialize, Deserializer};

use crate::error::ApiError;
use crate::resource::{Key, Resource, Scope};
use crate::write::Part;

/// What a URL's path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// All objects of a resource, or those of one namespace.
    Collection { resource: Resource, namespace: Option<String> },
    /// One object.
    Object { key: Key, part: Part },
}

impl Target {
    /// Parses a path; `None` if the server does not have it.
    pub fn parse(path: &str) -> Option<Self> {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status"]) => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, rest) = rest.split_first()?;
        let resource = Resource::find(group, version, plural)?;
        if namespace.is_some() && resource.scope() == Scope::Cluster {
            return None;
        }
        let namespace = namespace.map(str::to_owned);
        let object = |name: &str, part| {
            Some(Self::Object { key: Key { resource, namespace: namespace.clone(), name: name.to_owned() }, part })
        };
        match rest {
            [] => Some(Self::Collection { resource, namespace }),
            [name] => object(name, Part::Main),
            [name, "status"] if resource.has_status() => object(name, Part::Status),
            _ => None,
        }
    }

    pub const fn resource(&self) -> Resource {
        match self {
            Self::Collection { resource, .. } => *resource,
            Self::Object { key, .. } => key.resource,
        }
    }
}

/// The query parameters of all requests
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-parameters/common-parameters/>).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Parameters {
    #[serde(deserialize_with = "boolean")]
    pub watch: bool,
    #[serde(deserialize_with = "boolean")]
    pub allow_watch_bookmarks: bool,
    pub resource_version: Option<String>,
    pub field_selector: Option<String>,
    pub label_selector: Option<String>,
    pub limit: Option<usize>,
    #[serde(rename = "continue")]
    pub continue_from: Option<String>,
    pub timeout_seconds: Option<u64>,
    pub field_manager: Option<String>,
}

impl Parameters {
    /// The resource version; 0 means any version.
    ///
    /// # Errors
    /// 400 Bad Request for a version that is not a number.
    pub fn version(&self) -> Result<u64, ApiError> {
        match self.resource_version.as_deref() {
            None | Some("") => Ok(0),
            Some(text) => {
                text.parse().map_err(|_| ApiError::bad_request(format!("resourceVersion {text:?} is not a number")))
            }
        }
    }
}

fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(matches!(text.as_str(), "true" | "True" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_collections_objects_and_their_status() {
        let collection = |resource, namespace: Option<&str>| {
            let namespace = namespace.map(str::to_owned);
            Some(Target::Collection { resource, namespace })
        };
        let object = |key, part| Some(Target::Object { key, part });
        let event = Key::namespaced(Resource::Event, "default", "e");
        let system = Key::cluster(Resource::Namespace, "kube-system");
        for (path, expected) in [
            ("/api/v1/nodes", collection(Resource::Node, None)),
            ("/api/v1/namespaces", collection(Resource::Namespace, None)),
            ("/api/v1/namespaces/kube-system", object(system.clone(), Part::Main)),
            ("/api/v1/namespaces/kube-system/status", object(system, Part::Status)),
            ("/api/v1/namespaces/a/secrets", collection(Resource::Secret, Some("a"))),
            ("/apis/events.k8s.io/v1/namespaces/default/events/e", object(event, Part::Main)),
            ("/apis/carrick.dev/v1alpha1/peers/p/status", object(Key::peer("p"), Part::Status)),
            ("/api/v1/nodes/a/proxy", None),
            ("/api/v1/namespaces/a/nodes", None),
            ("/apis/carrick.dev/v1/peers", None),
            ("/metrics", None),
        ] {
            assert_eq!(Target::parse(path), expected, "{path}");
        }
    }
}
