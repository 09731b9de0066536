//! The attachments that GC leaves alone (specification, section 2, "GC").

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

/// Containers and interfaces that are still in use, as the runtime sees it.
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
    /// Reads the value of `cni.dev/valid-attachments`; `null` is Go's empty list, which CRI-O's library passes on a
    /// node without pods.
    ///
    /// # Errors
    ///
    /// It is no list of containers and interfaces. Then nothing may be removed.
    pub fn read(value: &Value) -> Result<Self, serde_json::Error> {
        let list = Option::<Vec<Raw>>::deserialize(value)?;
        Ok(Self(list.into_iter().flatten().map(|raw| (raw.container_id, raw.interface)).collect()))
    }

    /// Whether this attachment is in use.
    #[must_use]
    pub fn contains(&self, container_id: &str, interface: &str) -> bool {
        self.0.contains(&(container_id.to_owned(), interface.to_owned()))
    }
}
