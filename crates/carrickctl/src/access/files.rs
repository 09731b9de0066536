//! Nodes and Peers from files.

use std::path::{Path, PathBuf};

use carrick_kube::objects::Objects;
use serde::Deserialize as _;
use serde_json::Value;

use crate::failure::Failure;

/// Reads Nodes and Peers from YAML or JSON files, each with any number of documents. The path `-` is the standard input.
///
/// # Errors
/// A file cannot be read, or contains anything else.
pub fn read_all(paths: &[PathBuf]) -> Result<Objects, Failure> {
    let mut objects = Objects::default();
    for path in paths {
        let text = read(path).map_err(|error| Failure::File { path: path.clone(), error })?;
        add(&mut objects, &text).map_err(|reason| Failure::Content { path: path.clone(), reason })?;
    }
    Ok(objects)
}

fn read(path: &Path) -> std::io::Result<String> {
    if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) }
}

fn add(objects: &mut Objects, text: &str) -> Result<(), String> {
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let document = Value::deserialize(document).map_err(|error| error.to_string())?;
        // A `---` at the end of the file begins an empty document.
        if !document.is_null() {
            objects.add(document).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_files_may_have_several_documents() {
        let mut objects = Objects::default();
        add(&mut objects, "kind: Node\nmetadata: {name: a}\n---\nkind: Node\nmetadata: {name: b}\n---\n").unwrap();
        add(&mut objects, r#"{"kind": "List", "items": [{"kind": "Node", "metadata": {"name": "c"}}]}"#).unwrap();
        assert_eq!(objects.nodes.len(), 3);
        assert!(add(&mut objects, "kind: [").is_err());
    }

    #[test]
    fn an_error_names_the_file() {
        let error = read_all(&["/nonexistent/nodes.yaml".into()]).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/nodes.yaml: "), "{error}");
    }
}
