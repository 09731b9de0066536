//! Where the prober's node stands.

use carrick_topology::LocationName;

/// The place of the prober's node in the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its location.
    pub location: LocationName,
    /// Whether it is a gateway there, active or not.
    pub is_gateway: bool,
}
