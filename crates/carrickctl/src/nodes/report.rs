//! The answer of `carrickctl nodes prune`.

use std::collections::BTreeSet;
use std::fmt;

use carrick_kube::nodes::Deletion;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Cell, Column, Document, Style, Table, View, units};

/// The chosen Nodes, what happened to them, and the Nodes that are kept although they are not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Why no Node can be chosen.
    pub refusal: Option<String>,
    /// The chosen Nodes.
    pub nodes: Vec<Row>,
    /// The other Nodes that are not ready.
    pub kept: Vec<Kept>,
}

/// A chosen Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its location.
    pub location: String,
    /// For how many seconds its kubelet has been silent.
    pub silent_seconds: u64,
    /// The nodes whose probes it did not reply to.
    pub silent_for: BTreeSet<String>,
    /// What happened to it.
    pub outcome: Outcome,
}

/// A Node that is not ready, and is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Why it is kept, for people.
    pub reason: String,
}

/// What happened to a chosen Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing: it is only listed.
    Listed,
    /// It is deleted.
    Deleted,
    /// It is deleted when other programs have removed their finalizers.
    AwaitsFinalizers,
    /// Another client deleted it.
    Gone,
    /// It changed after it was listed, and is kept.
    Changed,
    /// The API server refused, or did not answer.
    Failed(String),
}

impl From<Deletion> for Outcome {
    fn from(deletion: Deletion) -> Self {
        match deletion {
            Deletion::Deleted => Self::Deleted,
            Deletion::AwaitsFinalizers => Self::AwaitsFinalizers,
            Deletion::Gone => Self::Gone,
            Deletion::Changed => Self::Changed,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed => f.write_str("listed"),
            Self::Deleted => f.write_str("deleted"),
            Self::AwaitsFinalizers => f.write_str("marked as deleted; other programs must remove their finalizers"),
            Self::Gone => f.write_str("another client deleted it"),
            Self::Changed => f.write_str("kept: it changed after it was listed"),
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

impl Row {
    pub(super) fn new(name: String, location: String, silent_seconds: u64, silent_for: &BTreeSet<String>) -> Self {
        Self { name, location, silent_seconds, silent_for: silent_for.clone(), outcome: Outcome::Listed }
    }

    /// The Node on one line.
    pub(super) fn line(&self) -> String {
        format!("{} ({}): {}", self.name, self.location, self.reason())
    }

    fn reason(&self) -> String {
        let silent_for: Vec<_> = self.silent_for.iter().map(String::as_str).collect();
        let silent = units::seconds(self.silent_seconds);
        format!("its kubelet is silent for {silent}; no reply to probes of {}", silent_for.join(", "))
    }
}

impl View for Pruned {
    fn draw(&self, document: &mut Document) {
        if let Some(refusal) = &self.refusal {
            document.uncut(format_args!("no Node is deleted: {refusal}"), Style::Bad);
        } else if self.nodes.is_empty() {
            document.styled("no Node to delete", Style::Good);
        }
        let mut table = Table::new(["NODE", "LOCATION", "WHY", "RESULT"].map(Column::text));
        for row in &self.nodes {
            let style = match row.outcome {
                Outcome::Failed(_) => Style::Bad,
                Outcome::Changed | Outcome::AwaitsFinalizers => Style::Warn,
                Outcome::Listed | Outcome::Deleted | Outcome::Gone => Style::Plain,
            };
            table.row([
                Cell::plain(&row.name),
                Cell::plain(&row.location),
                Cell::plain(row.reason()),
                Cell::of(&row.outcome, style),
            ]);
        }
        document.table(&table);
        if self.nodes.iter().any(|row| row.outcome == Outcome::Listed) {
            document.line("nothing is deleted; --delete deletes after a confirmation, --yes without one");
        }
        if !self.kept.is_empty() {
            document.gap();
            document.line("Not ready, and kept:");
        }
        let mut table = Table::new(["NODE", "WHY"].map(Column::text));
        for kept in &self.kept {
            table.row([Cell::plain(&kept.name), Cell::plain(&kept.reason)]);
        }
        document.table(&table);
    }

    fn exit(&self) -> Exit {
        let has_failed = self.nodes.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)));
        if has_failed || self.refusal.is_some() { Exit::Unhealthy } else { Exit::Healthy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::text;

    fn pruned(outcome: Outcome) -> Pruned {
        let mut row = Row::new("a2".to_owned(), "basel".to_owned(), 90_000, &["a1".to_owned()].into());
        row.outcome = outcome;
        Pruned {
            refusal: None,
            nodes: vec![row],
            kept: vec![Kept { name: "b1".to_owned(), reason: "its agent answers".to_owned() }],
        }
    }

    #[test]
    fn a_list_says_why_and_that_nothing_is_deleted() {
        let text = text(&pruned(Outcome::Listed));
        for said in
            ["its kubelet is silent for 1d1h; no reply to probes of a1", "nothing is deleted", "its agent answers"]
        {
            assert!(text.contains(said), "{text}");
        }
        assert!(!self::text(&pruned(Outcome::Deleted)).contains("nothing is deleted"));
    }

    #[test]
    fn only_a_refusal_and_a_failed_deletion_are_faults() {
        for outcome in [Outcome::Listed, Outcome::Deleted, Outcome::Gone, Outcome::Changed, Outcome::AwaitsFinalizers] {
            assert_eq!(pruned(outcome).exit(), Exit::Healthy);
        }
        assert_eq!(pruned(Outcome::Failed("forbidden".to_owned())).exit(), Exit::Unhealthy);
        let refused = Pruned { refusal: Some("cut off".to_owned()), ..pruned(Outcome::Listed) };
        assert_eq!(refused.exit(), Exit::Unhealthy);
    }
}
