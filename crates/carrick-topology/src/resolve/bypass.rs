//! How a gateway sends around a broken tunnel.
//!
//! Through another gateway of the destination's location, each gateway decides this alone. The gateway that it sends through has its own tunnel to
//! the sender, and accepts from this tunnel what the sender carries anyway. So the two directions of a flow may take different gateways, and the
//! ends of the broken tunnel need no agreement. The other gateway delivers inside its location, so that no packet comes back.
//!
//! Where no gateway of the location is reached, packets go through a gateway of the own location or of a third one, which has said that it
//! reaches the location by its own tunnels. So it sends them on by these, and no packet comes back either.

use super::index::MemberIndex;
use super::{Resolved, Tunnel};

impl Resolved<'_> {
    /// The gateway through which `from` sends to `to`, a gateway of another location to which `from` has a tunnel. `None` while the tunnel to `to`
    /// works, and where no other gateway is known to reach its location.
    pub(crate) fn bypass(&self, from: MemberIndex, to: MemberIndex) -> Option<MemberIndex> {
        let location = self.location_of(self.at(to));
        if let Some(detour) = self.broken.detours.get(&location.name) {
            let (from, detour) = (self.at(from), self.at(*detour));
            let is_inside = detour.location == from.location && detour.index != from.index;
            let is_third = detour.location != from.location && detour.location != self.at(to).location;
            let is_usable = is_inside || (is_third && self.tunnel(from.index, detour.index) == Tunnel::Direct);
            return is_usable.then_some(detour.index);
        }
        if !self.broken.bypassed.contains(&to) {
            return None;
        }
        let has_working_tunnel = |gateway: &MemberIndex| {
            !self.broken.bypassed.contains(gateway) && self.tunnel(from, *gateway) == Tunnel::Direct
        };
        location.gateways_by_rank().find(has_working_tunnel)
    }
}
