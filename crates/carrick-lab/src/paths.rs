//! Paths of the project and of nodes.

use std::path::{Path, PathBuf};

/// The directory on a node with the files that the lab gives it.
pub const LAB_FILES: &str = "/run/lab";

/// A file of the project, by its path in the repository.
#[must_use]
pub fn project_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The path on a node of a file that the lab gives it.
#[must_use]
pub fn lab_file(name: &str) -> String {
    format!("{LAB_FILES}/{name}")
}
