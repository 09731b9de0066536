//! Positions in [`super::Resolved`].

/// The position of a member in [`super::Resolved::members`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberIndex(pub(crate) usize);

/// The position of a location in [`super::Resolved::locations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LocationIndex(pub(crate) usize);
