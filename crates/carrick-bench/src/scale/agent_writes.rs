//! What the agent writes to the API, according to the API server's audit log
//! (<https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/>).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// The audit log of one user's writes.
pub(super) struct AgentWrites {
    log: PathBuf,
}

/// Prepares an audit log in `directory` of the writes of `user`. Returns the flags that kube-apiserver needs for it.
pub(super) fn record(directory: &Path, user: &str) -> Result<(AgentWrites, Vec<String>)> {
    let policy = directory.join("audit-policy.yaml");
    let log = directory.join("audit.log");
    let content = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Metadata", "users": [user],
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            },
            { "level": "None" },
        ],
    });
    // JSON is YAML.
    fs::write(&policy, content.to_string()).with_context(|| format!("write {}", policy.display()))?;
    let flags =
        vec![format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", log.display())];
    Ok((AgentWrites { log }, flags))
}

impl AgentWrites {
    /// The writes so far, such as `patch nodes/node-00000`.
    pub(super) fn so_far(&self) -> Result<Vec<String>> {
        let text = match fs::read_to_string(&self.log) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("read {}", self.log.display())),
        };
        // The last line may be incomplete.
        let complete = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        complete.map(|line| Ok(describe(&serde_json::from_str(line).context("parse the audit log")?))).collect()
    }
}

fn describe(event: &Value) -> String {
    let part = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}/{}", part("/verb"), part("/objectRef/resource"), part("/objectRef/name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incomplete_last_line_is_not_counted() {
        let directory = tempfile::tempdir().unwrap();
        let (writes, flags) = record(directory.path(), "agent").unwrap();
        assert_eq!(flags.len(), 2);
        assert_eq!(writes.so_far().unwrap(), Vec::<String>::new());
        let line = |name| json!({ "verb": "patch", "objectRef": { "resource": "nodes", "name": name } }).to_string();
        fs::write(&writes.log, format!("{}\n{}\n{{\"verb\":", line("a"), line("b"))).unwrap();
        assert_eq!(writes.so_far().unwrap(), ["patch nodes/a", "patch nodes/b"]);
    }
}
