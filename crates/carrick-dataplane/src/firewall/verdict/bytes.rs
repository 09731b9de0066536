//! Values of which some bytes are not known, and conditions on them.

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    /// It depends on what is not known.
    Undecided,
}

/// A value; bytes behind its end are not known either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bytes(Vec<Option<u8>>);

impl Truth {
    pub(super) const fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Undecided => Self::Undecided,
        }
    }

    pub(super) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Undecided, _) | (_, Self::Undecided) => Self::Undecided,
            (Self::True, Self::True) => Self::True,
        }
    }

    pub(super) const fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

impl Bytes {
    pub(super) const fn unknown() -> Self {
        Self(Vec::new())
    }

    pub(super) fn known(bytes: &[u8]) -> Self {
        Self(bytes.iter().copied().map(Some).collect())
    }

    pub(super) const fn partly(bytes: Vec<Option<u8>>) -> Self {
        Self(bytes)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.0.get(at).copied().flatten()
    }

    /// Whether the first bytes are these.
    pub(super) fn equals(&self, value: &[u8]) -> Truth {
        let compared = value.iter().enumerate().map(|(at, byte)| match self.byte(at) {
            Some(known) if known == *byte => Truth::True,
            Some(_) => Truth::False,
            None => Truth::Undecided,
        });
        compared.fold(Truth::True, Truth::and)
    }

    /// Whether the value is this key of a set, which is padded with zeros behind a short value.
    pub(super) fn is_key(&self, key: &[u8]) -> Truth {
        if self.0.is_empty() { Truth::Undecided } else { self.equals(&key[..key.len().min(self.0.len())]) }
    }

    pub(super) fn is_less(&self, value: &[u8]) -> Truth {
        self.ordered(value, |own, other| own < other)
    }

    pub(super) fn is_greater(&self, value: &[u8]) -> Truth {
        self.ordered(value, |own, other| own > other)
    }

    fn ordered(&self, value: &[u8], holds: impl Fn(&[u8], &[u8]) -> bool) -> Truth {
        let own: Option<Vec<u8>> = (0..value.len()).map(|at| self.byte(at)).collect();
        match own {
            Some(own) if holds(&own, value) => Truth::True,
            Some(_) => Truth::False,
            None => Truth::Undecided,
        }
    }

    /// `(self & mask) ^ xor`, byte by byte.
    pub(super) fn bitwise(&self, mask: &[u8], xor: &[u8]) -> Self {
        let bytes = mask.iter().zip(xor).enumerate().map(|(at, (mask, xor))| match self.byte(at) {
            Some(byte) => Some((byte & mask) ^ xor),
            None if *mask == 0 => Some(*xor),
            None => None,
        });
        Self(bytes.collect())
    }

    /// The least and the greatest number that the value can be, in network order; `None` for a value without an end or a long one.
    pub(super) fn range(&self) -> Option<(u128, u128)> {
        if self.0.is_empty() || self.0.len() > size_of::<u128>() {
            return None;
        }
        let number = |fill: u8| self.0.iter().fold(0, |number, byte| (number << 8) | u128::from(byte.unwrap_or(fill)));
        Some((number(0), number(u8::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_that_is_not_known_decides_nothing_unless_another_one_differs() {
        let value = Bytes::partly(vec![Some(b'c'), Some(b'r'), None]);
        assert_eq!(value.equals(b"cr"), Truth::True);
        assert_eq!(value.equals(b"crk"), Truth::Undecided);
        assert_eq!(value.equals(b"eth"), Truth::False);
        assert_eq!(Bytes::unknown().equals(b"x"), Truth::Undecided);
        assert_eq!(Bytes::known(&[17]).is_key(&[17, 0, 0, 0]), Truth::True);
        assert_eq!((value.is_key(b"crk1"), Bytes::unknown().is_key(b"crk1")), (Truth::Undecided, Truth::Undecided));
        assert_eq!(value.bitwise(&[0xff, 0, 0], &[0, 0, 0]).equals(&[b'c', 0, 0]), Truth::True);
        assert_eq!(Bytes::partly(vec![Some(10), None]).range(), Some((0x0a00, 0x0aff)));
    }

    #[test]
    fn or_and_not_follow_from_and() {
        use Truth::{False, True, Undecided};
        assert_eq!([True.or(Undecided), False.or(Undecided), False.or(False)], [True, Undecided, False]);
        assert_eq!([True.and(Undecided), False.and(Undecided), Undecided.not()], [Undecided, False, Undecided]);
    }
}
