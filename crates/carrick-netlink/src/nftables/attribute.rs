//! Attributes of netfilter's subsystems: type, length, value, numbers in network byte order.

use crate::attribute::{HEADER_LENGTH, push};
use crate::{Cause, Error};

const NESTED: u16 = 1 << 15;
/// Without the flags for nesting and byte order.
const KIND: u16 = 0x3fff;

/// Attributes under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    bytes: Vec<u8>,
}

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_bytes(mut self, kind: u16, value: &[u8]) -> Self {
        push(&mut self.bytes, kind, value);
        self
    }

    pub(crate) fn with_text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.with_bytes(kind, &value)
    }

    pub(crate) fn with_u32(self, kind: u16, number: u32) -> Self {
        self.with_bytes(kind, &number.to_be_bytes())
    }

    pub(crate) fn with_u64(self, kind: u16, number: u64) -> Self {
        self.with_bytes(kind, &number.to_be_bytes())
    }

    pub(crate) fn with_nested(self, kind: u16, inner: &Attributes) -> Self {
        self.with_nested_bytes(kind, &inner.bytes)
    }

    /// Nested attributes as they were received.
    pub(crate) fn with_nested_bytes(self, kind: u16, inner: &[u8]) -> Self {
        self.with_bytes(kind | NESTED, inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Received attributes of one level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    bytes: &'a [u8],
}

impl<'a> Received<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The values of all attributes of one kind, in order; a truncated rest is ignored.
    pub(crate) fn all(self, wanted: u16) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.bytes;
        let attributes = std::iter::from_fn(move || {
            let [low, high, kind_low, kind_high, ..] = *rest else {
                return None;
            };
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let value = rest.get(HEADER_LENGTH..length)?;
            rest = rest.get(length.next_multiple_of(HEADER_LENGTH)..).unwrap_or_default();
            Some((u16::from_ne_bytes([kind_low, kind_high]) & KIND, value))
        });
        attributes.filter_map(move |(kind, value)| (kind == wanted).then_some(value))
    }

    pub(crate) fn bytes(self, kind: u16) -> Option<&'a [u8]> {
        self.all(kind).next()
    }

    pub(crate) fn nested(self, kind: u16) -> Option<Received<'a>> {
        self.bytes(kind).map(Received::new)
    }

    pub(crate) fn text(self, kind: u16) -> Option<String> {
        let value = self.bytes(kind)?;
        let end = value.iter().position(|byte| *byte == 0);
        Some(String::from_utf8_lossy(&value[..end.unwrap_or(value.len())]).into_owned())
    }

    pub(crate) fn u32(self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(kind)?.try_into().ok()?))
    }

    pub(crate) fn u64(self, kind: u16) -> Option<u64> {
        Some(u64::from_be_bytes(self.bytes(kind)?.try_into().ok()?))
    }
}

/// Turns an attribute that the kernel always sends into an error when it is absent.
pub(crate) fn required<T>(value: Option<T>, operation: &'static str) -> Result<T, Error> {
    value.ok_or_else(|| Error::new(operation, "answer", Cause::Missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_wrote() {
        let attributes = Attributes::new()
            .with_text(1, "carrick")
            .with_nested(2, &Attributes::new().with_u32(1, 7))
            .with_bytes(3, &[1, 2, 3])
            .with_u64(4, 1 << 40);
        assert_eq!(attributes.len() % 4, 0);

        let received = Received::new(attributes.as_bytes());
        assert_eq!(received.text(1).as_deref(), Some("carrick"));
        assert_eq!(received.nested(2).and_then(|inner| inner.u32(1)), Some(7));
        assert_eq!(received.bytes(3), Some(&[1, 2, 3][..]));
        assert_eq!(received.u64(4), Some(1 << 40));
        assert_eq!(received.bytes(5), None);
        assert_eq!(received.u32(3), None, "three bytes are no number");
    }
}
