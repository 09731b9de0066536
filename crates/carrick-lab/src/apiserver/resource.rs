//! The resources that are served, and how the API server treats each.

use std::fmt;

/// A resource that the test double serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Secret.
    Secret,
    /// `v1` Event. Unlike in Kubernetes its objects are not visible as [`Resource::Event`].
    CoreEvent,
    /// `events.k8s.io/v1` Event.
    Event,
    /// `carrick.dev/v1alpha1` Peer.
    Peer,
}

/// Whether objects of a resource live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One set of names for the cluster.
    Cluster,
    /// One set of names per namespace.
    Namespaced,
}

/// What `/status` means for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusPart {
    /// There is no such subresource.
    Absent,
    /// Writes to `/status` may also change metadata, and a new object keeps the status it is sent with.
    BuiltIn,
    /// Writes to `/status` change nothing else, and a new object has no status
    /// (CustomResourceDefinition, `subresources.status`).
    Custom,
}

impl Resource {
    /// Every resource, in the order in which discovery lists them.
    pub const ALL: [Self; 6] = [Self::Namespace, Self::Node, Self::Secret, Self::CoreEvent, Self::Event, Self::Peer];

    /// The API group; empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Self::Namespace | Self::Node | Self::Secret | Self::CoreEvent => "",
            Self::Event => "events.k8s.io",
            Self::Peer => "carrick.dev",
        }
    }

    /// The version within the group, such as `v1`.
    pub fn version(self) -> &'static str {
        match self {
            Self::Peer => "v1alpha1",
            Self::Namespace | Self::Node | Self::Secret | Self::CoreEvent | Self::Event => "v1",
        }
    }

    /// Group and version as objects name them in `apiVersion`.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// The object's `kind`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Secret => "Secret",
            Self::CoreEvent | Self::Event => "Event",
            Self::Peer => "Peer",
        }
    }

    /// The resource's name in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::Secret => "secrets",
            Self::CoreEvent | Self::Event => "events",
            Self::Peer => "peers",
        }
    }

    /// Where its objects live.
    pub fn scope(self) -> Scope {
        match self {
            Self::Namespace | Self::Node | Self::Peer => Scope::Cluster,
            Self::Secret | Self::CoreEvent | Self::Event => Scope::Namespaced,
        }
    }

    pub(super) fn status_part(self) -> StatusPart {
        match self {
            Self::Namespace | Self::Node => StatusPart::BuiltIn,
            Self::Peer => StatusPart::Custom,
            Self::Secret | Self::CoreEvent | Self::Event => StatusPart::Absent,
        }
    }

    /// The resource that a URL names.
    pub(super) fn find(group: &str, version: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.group() == group && r.version() == version && r.plural() == plural)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group() {
            "" => f.write_str(self.plural()),
            group => write!(f, "{}.{group}", self.plural()),
        }
    }
}

/// Which object of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The kind of object.
    pub resource: Resource,
    /// Its namespace; `None` exactly for resources of [`Scope::Cluster`].
    pub namespace: Option<String>,
    /// Its `metadata.name`.
    pub name: String,
}

impl Key {
    /// An object that lives in no namespace.
    pub fn cluster(resource: Resource, name: impl Into<String>) -> Self {
        Self { resource, namespace: None, name: name.into() }
    }

    /// An object of a namespace.
    pub fn namespaced(resource: Resource, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { resource, namespace: Some(namespace.into()), name: name.into() }
    }

    /// A Node.
    pub fn node(name: impl Into<String>) -> Self {
        Self::cluster(Resource::Node, name)
    }

    /// A Peer.
    pub fn peer(name: impl Into<String>) -> Self {
        Self::cluster(Resource::Peer, name)
    }
}
