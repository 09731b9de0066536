//! The CNI protocol (CNI specification 1.1.0, sections 2 and 5): the input from the container runtime and the output to it.
//!
//! `docs/decisions/0006-cni-protocol.md` explains why no library is used.

mod call;
mod configuration;
mod environment;
mod error;
mod error_source;
mod requests;
mod result;
mod valid_attachments;
mod version;

pub use call::{Add, Call, Check, Del, Gc};
pub use carrick_pods::cni_version::Version;
pub use configuration::{Configuration, PreviousResult};
pub use environment::{Command, Environment};
pub use error::{Code, Error};
pub use requests::{RequestedPort, Requests};
pub use result::{AddResult, Address, Interface, Route};
pub use valid_attachments::ValidAttachments;
