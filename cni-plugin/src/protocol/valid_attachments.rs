//! The valid attachments, which GC keeps (CNI specification 1.1.0, section 2, "GC").

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// The containers and interfaces that the runtime still uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidAttachments(BTreeSet<(String, String)>);

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "containerID")]
    container_id: String,
    #[serde(rename = "ifname")]
    interface: String,
}

impl ValidAttachments {
    /// Reads the value of `cni.dev/valid-attachments`. `null` is an empty list: CRI-O passes it on a node without pods.
    ///
    /// # Errors
    ///
    /// The value is not a list of containers and interfaces. Then GC must remove nothing.
    pub fn read(value: &Value) -> Result<Self, serde_json::Error> {
        let list = Option::<Vec<Raw>>::deserialize(value)?;
        Ok(Self(list.into_iter().flatten().map(|raw| (raw.container_id, raw.interface)).collect()))
    }

    /// Whether this attachment is valid.
    #[must_use]
    pub fn contains(&self, container_id: &str, interface: &str) -> bool {
        self.0.contains(&(container_id.to_owned(), interface.to_owned()))
    }
}
