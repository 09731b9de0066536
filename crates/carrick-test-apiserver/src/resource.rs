//! The resources that the server has.

use std::fmt;

/// A resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// `v1` Namespace.
    Namespace,
    /// `v1` Node.
    Node,
    /// `v1` Secret.
    Secret,
    /// `events.k8s.io/v1` Event.
    Event,
    /// `carrick.dev/v1alpha1` Peer.
    Peer,
    /// `carrick.dev/v1alpha1` Mesh.
    Mesh,
    /// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicy. The server stores policies and does not evaluate them.
    AdmissionPolicy,
    /// `admissionregistration.k8s.io/v1` ValidatingAdmissionPolicyBinding.
    AdmissionPolicyBinding,
}

/// Whether objects of a resource have a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A name is unique in the cluster.
    Cluster,
    /// A name is unique in its namespace.
    Namespaced,
}

impl Resource {
    /// Every resource.
    pub const ALL: [Self; 8] = [
        Self::Namespace,
        Self::Node,
        Self::Secret,
        Self::Event,
        Self::Peer,
        Self::Mesh,
        Self::AdmissionPolicy,
        Self::AdmissionPolicyBinding,
    ];

    /// The API group; empty for the core group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::Namespace | Self::Node | Self::Secret => "",
            Self::Event => "events.k8s.io",
            Self::Peer | Self::Mesh => "carrick.dev",
            Self::AdmissionPolicy | Self::AdmissionPolicyBinding => "admissionregistration.k8s.io",
        }
    }

    /// The version within the group, such as `v1`.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::Peer | Self::Mesh => "v1alpha1",
            Self::Namespace | Self::Node | Self::Secret | Self::Event => "v1",
            Self::AdmissionPolicy | Self::AdmissionPolicyBinding => "v1",
        }
    }

    /// The group and version, as in an object's `apiVersion`.
    #[must_use]
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// The object's `kind`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Secret => "Secret",
            Self::Event => "Event",
            Self::Peer => "Peer",
            Self::Mesh => "Mesh",
            Self::AdmissionPolicy => "ValidatingAdmissionPolicy",
            Self::AdmissionPolicyBinding => "ValidatingAdmissionPolicyBinding",
        }
    }

    /// The resource's name in URLs.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::Secret => "secrets",
            Self::Event => "events",
            Self::Peer => "peers",
            Self::Mesh => "meshes",
            Self::AdmissionPolicy => "validatingadmissionpolicies",
            Self::AdmissionPolicyBinding => "validatingadmissionpolicybindings",
        }
    }

    /// Whether its objects have a namespace.
    #[must_use]
    pub const fn scope(self) -> Scope {
        match self {
            Self::Namespace | Self::Node | Self::Peer | Self::Mesh => Scope::Cluster,
            Self::AdmissionPolicy | Self::AdmissionPolicyBinding => Scope::Cluster,
            Self::Secret | Self::Event => Scope::Namespaced,
        }
    }

    /// Whether the status is a subresource, so that a write to the object leaves the status alone and the other way round.
    pub(crate) const fn has_status(self) -> bool {
        match self {
            Self::Namespace | Self::Node | Self::Peer => true,
            Self::Secret | Self::Event | Self::Mesh => false,
            Self::AdmissionPolicy | Self::AdmissionPolicyBinding => false,
        }
    }

    /// Whether the resource is defined by a CustomResourceDefinition.
    pub(crate) const fn is_custom(self) -> bool {
        match self {
            Self::Peer | Self::Mesh => true,
            Self::Namespace | Self::Node | Self::Secret | Self::Event => false,
            Self::AdmissionPolicy | Self::AdmissionPolicyBinding => false,
        }
    }

    /// The resource that a URL names.
    pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<Self> {
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

/// The identity of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its resource.
    pub resource: Resource,
    /// Its namespace; `None` for a resource of [`Scope::Cluster`] and for no other.
    pub namespace: Option<String>,
    /// Its `metadata.name`.
    pub name: String,
}

impl Key {
    /// An object without a namespace.
    pub fn cluster(resource: Resource, name: impl Into<String>) -> Self {
        Self { resource, namespace: None, name: name.into() }
    }

    /// An object in a namespace.
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

    /// The Mesh that counts.
    #[must_use]
    pub fn mesh() -> Self {
        Self::cluster(Resource::Mesh, "default")
    }
}
