//! Address families as netlink names them.

use carrick_types::Family;
use netlink_packet_route::AddressFamily;

/// The family in the headers of netlink messages.
pub(crate) trait KernelFamily: Sized {
    /// `None` for families other than the two of the internet.
    fn from_kernel(family: AddressFamily) -> Option<Self>;
    fn to_kernel(self) -> AddressFamily;
}

impl KernelFamily for Family {
    fn from_kernel(family: AddressFamily) -> Option<Self> {
        match family {
            AddressFamily::Inet => Some(Self::V4),
            AddressFamily::Inet6 => Some(Self::V6),
            _ => None,
        }
    }

    fn to_kernel(self) -> AddressFamily {
        match self {
            Self::V4 => AddressFamily::Inet,
            Self::V6 => AddressFamily::Inet6,
        }
    }
}
