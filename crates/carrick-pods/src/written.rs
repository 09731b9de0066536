//! Files that are written only when their content changes.

/// Whether a file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The file did not exist or had other content. It was written.
    Changed,
    /// The file had this content. It was not touched.
    Unchanged,
}
