//! The kernel's side of the plan: observe, diff, apply.
//!
//! [`Dataplane::apply`] makes the kernel hold a plan. Around the firewall and the handover, [`Reconciler`] reads what Carrick owns
//! ([`observe()`]), compares it with what is wanted ([`diff()`], pure), and carries out the ordered [`Operation`]s. If nothing differs,
//! nothing is written.
#![forbid(unsafe_code)]

pub mod apply;
pub mod cleanup;
pub mod dataplane;
pub mod desired;
pub mod diff;
pub mod drift;
pub mod endpoint_memory;
pub mod firewall;
pub mod handover;
mod handshake;
pub mod inspection;
pub mod location_routes;
pub mod observe;
pub mod observed;
pub mod operation;
mod phases;
pub mod reconciler;
pub mod route;
mod sighting;
pub mod sysctl;
pub mod wireguard;

pub use apply::{Failure, FailureCause};
pub use cleanup::cleanup;
pub use dataplane::{Applied, ApplyFailure, Awaited, Dataplane};
pub use desired::{Desired, Keys, WireGuardMaker};
pub use diff::{Circumstances, Difference, diff};
pub use drift::{Drift, DriftWatch};
pub use handover::{HandoverApplied, HandoverDataplane, HandoverError};
pub use inspection::Inspection;
pub use location_routes::{LocationRoutes, LocationRoutesApplied};
pub use observe::Observation;
pub use observed::Observed;
pub use operation::Operation;
pub use phases::Phases;
pub use reconciler::{Poll, Reconciler, Report};
pub use sighting::{SESSION_LIFETIME, Sighting, sightings};
pub use sysctl::Sysctls;
