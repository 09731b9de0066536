//! One request to the kernel, before it has a sequence number.

use std::fmt;

use netlink_packet_core::{Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST};
use zeroize::Zeroize;

/// Whether a message can change the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It only asks.
    Read,
    /// It adds, changes or removes something, and is counted.
    Write,
}

/// One request to the kernel: a netlink message and the words to report its failure with.
#[derive(Clone)]
pub struct Request {
    pub(crate) operation: &'static str,
    pub(crate) object: String,
    pub(crate) access: Access,
    pub(crate) message_type: u16,
    pub(crate) flags: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) secrecy: Secrecy,
}

/// Whether a message holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    Open,
    Secret,
}

impl Request {
    /// A message that can change the kernel. `flags` are added to `NLM_F_REQUEST | NLM_F_ACK`;
    /// `payload` is everything behind the netlink header.
    #[must_use]
    pub fn write(
        operation: &'static str,
        object: impl Into<String>,
        message_type: u16,
        flags: u16,
        payload: Vec<u8>,
    ) -> Self {
        Self {
            operation,
            object: object.into(),
            access: Access::Write,
            message_type,
            flags: NLM_F_REQUEST | NLM_F_ACK | flags,
            payload,
            secrecy: Secrecy::Open,
        }
    }

    /// A question about one object, closed by an acknowledgement.
    #[must_use]
    pub fn get(operation: &'static str, object: impl Into<String>, message_type: u16, payload: Vec<u8>) -> Self {
        Self {
            operation,
            object: object.into(),
            access: Access::Read,
            message_type,
            flags: NLM_F_REQUEST | NLM_F_ACK,
            payload,
            secrecy: Secrecy::Open,
        }
    }

    /// A question for a list of objects, closed by `NLMSG_DONE`.
    #[must_use]
    pub fn dump(operation: &'static str, object: impl Into<String>, message_type: u16, payload: Vec<u8>) -> Self {
        Self {
            operation,
            object: object.into(),
            access: Access::Read,
            message_type,
            flags: NLM_F_REQUEST | NLM_F_DUMP,
            payload,
            secrecy: Secrecy::Open,
        }
    }

    /// A message that frames others, such as the begin and end of an nfnetlink batch: it changes
    /// nothing by itself and gets no acknowledgement.
    #[must_use]
    pub fn marker(operation: &'static str, message_type: u16, payload: Vec<u8>) -> Self {
        Self {
            operation,
            object: String::new(),
            access: Access::Read,
            message_type,
            flags: NLM_F_REQUEST,
            payload,
            secrecy: Secrecy::Open,
        }
    }

    /// Whether the request can change the kernel.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// The same request, whose bytes are wiped from memory when it is dropped and once they are sent.
    #[must_use]
    pub fn secret(mut self) -> Self {
        self.secrecy = Secrecy::Secret;
        self
    }

    pub(crate) fn expects_answer(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.secrecy == Secrecy::Secret {
            self.payload.zeroize();
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("operation", &self.operation)
            .field("object", &self.object)
            .finish_non_exhaustive()
    }
}

/// The bytes of a message body.
#[must_use]
pub fn encode(body: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; body.buffer_len()];
    body.emit(&mut bytes);
    bytes
}
