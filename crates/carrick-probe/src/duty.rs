//! Whether this node serves as a gateway or drains, and since when.

use carrick_topology::model::Duty;

use crate::Now;

/// The bit of [`Duty::Draining`] on the wire.
const DRAINING: u8 = 1 << 4;

/// The bits of a duty on the wire.
pub(crate) const fn to_bits(duty: Duty) -> u8 {
    match duty {
        Duty::Serving => 0,
        Duty::Draining => DRAINING,
    }
}

/// A duty from a byte on the wire, which may hold other bits as well.
pub(crate) const fn from_bits(bits: u8) -> Duty {
    if bits & DRAINING == 0 { Duty::Serving } else { Duty::Draining }
}

/// What this node does, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnDuty {
    duty: Duty,
    since: Now,
}

impl OwnDuty {
    /// The plan says this from now on.
    pub(crate) fn set(&mut self, now: Now, duty: Duty) {
        if duty != self.duty {
            *self = Self { duty, since: now };
        }
    }

    /// What the plan says.
    pub(crate) const fn duty(self) -> Duty {
        self.duty
    }

    /// Since when it drains.
    pub(crate) fn draining_since(self) -> Option<Now> {
        (self.duty == Duty::Draining).then_some(self.since)
    }

    /// Since when it drains, or since when it is well if it serves. A node that drained is well from the end of that on, so that all nodes move
    /// their traffic back at the same moment.
    pub(crate) fn since(self, well_since: Option<Now>) -> Option<Now> {
        match self.duty {
            Duty::Draining => Some(self.since),
            Duty::Serving => well_since.map(|well| well.max(self.since)),
        }
    }
}
