//! The result of the test.

use std::collections::BTreeMap;

use carrick_topology::Family;
use serde::{Deserialize, Serialize, Serializer};

use super::ends::End;
use super::targets::{Check, Target};
use crate::doctor::Report;
use crate::exit::Exit;
use crate::output::{Cell, Column, Document, Style, Table, View};

/// An outcome, as `carrick connectivity-client` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Outcome {
    name: String,
    milliseconds: Option<f64>,
    error: Option<String>,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// The node of the pod that asks.
    pub from: String,
    /// The location of this node.
    pub from_location: String,
    /// The node that is asked.
    pub to: String,
    /// The location of this node.
    pub to_location: String,
    /// The address family.
    #[serde(serialize_with = "by_name")]
    pub family: Family,
    /// The way to reach the node.
    pub check: Check,
    /// How long the answer took, in milliseconds.
    pub milliseconds: Option<f64>,
    /// Why there is no answer.
    pub error: Option<String>,
}

impl Asked {
    /// The outcomes of the targets of an end. Without outcomes, each target has the same error.
    pub(super) fn of(
        from: &End,
        ends: &[End],
        targets: Vec<Target>,
        outcomes: Result<Vec<Outcome>, String>,
    ) -> Vec<Self> {
        let (outcomes, error) = match outcomes {
            Ok(outcomes) => (outcomes, "the client does not report it".to_owned()),
            Err(error) => (Vec::new(), error),
        };
        let outcomes: BTreeMap<_, _> = outcomes.into_iter().map(|outcome| (outcome.name.clone(), outcome)).collect();
        let asked = targets.into_iter().filter_map(|target| {
            let to = ends.get(target.to)?;
            let outcome = target.to_string().split_once('=').and_then(|(name, _)| outcomes.get(name).cloned());
            let (milliseconds, error) = match outcome {
                Some(Outcome { milliseconds: Some(took), error: None, .. }) => (Some(took), None),
                Some(outcome) => (None, Some(outcome.error.unwrap_or_else(|| error.clone()))),
                None => (None, Some(error.clone())),
            };
            Some(Self {
                from: from.node.to_string(),
                from_location: from.location.clone(),
                to: to.node.to_string(),
                to_location: to.location.clone(),
                family: target.family,
                check: target.check,
                milliseconds,
                error,
            })
        });
        asked.collect()
    }

    fn pair(&self) -> (String, String, Family) {
        let end = |node: &str, location: &str| format!("{node} ({location})");
        (end(&self.from, &self.from_location), end(&self.to, &self.to_location), self.family)
    }
}

/// The result of the test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Connectivity {
    /// All questions, with their answers.
    pub asked: Vec<Asked>,
    /// What doctor finds, if something did not answer.
    pub doctor: Option<Report>,
}

impl Connectivity {
    pub(super) const fn new(asked: Vec<Asked>) -> Self {
        Self { asked, doctor: None }
    }

    pub(super) fn has_failures(&self) -> bool {
        self.asked.iter().any(|asked| asked.error.is_some())
    }
}

impl View for Connectivity {
    fn draw(&self, document: &mut Document) {
        let headings = Check::ALL.iter().map(|check| Column::numbers(check.heading()));
        let ends = [Column::text("FROM"), Column::text("TO"), Column::text("FAMILY")];
        let mut table = Table::new(ends.into_iter().chain(headings));
        let mut rows: BTreeMap<_, BTreeMap<Check, &Asked>> = BTreeMap::new();
        for asked in &self.asked {
            rows.entry(asked.pair()).or_default().insert(asked.check, asked);
        }
        for ((from, to, family), checks) in &rows {
            let cells = Check::ALL.iter().map(|check| cell(checks.get(check).copied()));
            table.row([Cell::plain(from), Cell::plain(to), Cell::plain(family)].into_iter().chain(cells));
        }
        document.table(&table);
        document.gap();
        let failures: Vec<_> = self.asked.iter().filter(|asked| asked.error.is_some()).collect();
        for asked in &failures {
            let (from, to, family) = asked.pair();
            let error = asked.error.as_deref().unwrap_or_default();
            document.uncut(format_args!("{from} to {to}, {family}, {}: {error}", asked.check.heading()), Style::Bad);
        }
        if failures.is_empty() {
            document.styled(format_args!("all {} questions were answered", self.asked.len()), Style::Good);
        }
        if let Some(doctor) = &self.doctor {
            document.gap();
            document.styled("doctor finds:", Style::Strong);
            doctor.draw(document);
        }
    }

    fn exit(&self) -> Exit {
        if self.has_failures() { Exit::Unhealthy } else { Exit::Healthy }
    }
}

fn by_name<S: Serializer>(family: &Family, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(family)
}

fn cell(asked: Option<&Asked>) -> Cell {
    match asked {
        None => Cell::or_dash(None::<&str>),
        Some(Asked { milliseconds: Some(took), .. }) => Cell::plain(format_args!("{took:.1} ms")),
        Some(_) => Cell::of("no answer", Style::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Format, Terminal, render};

    fn asked(check: Check, error: Option<&str>) -> Asked {
        Asked {
            from: "a1".to_owned(),
            from_location: "basel".to_owned(),
            to: "b1".to_owned(),
            to_location: "zürich".to_owned(),
            family: Family::V4,
            check,
            milliseconds: error.is_none().then_some(12.34),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn documents_name_the_family() {
        assert_eq!(serde_json::to_value(asked(Check::Pod, None)).unwrap()["family"], "IPv4");
    }

    fn text(connectivity: &Connectivity) -> String {
        render(connectivity, Format::Table, Terminal::default()).unwrap().text
    }

    #[test]
    fn answers_are_in_a_table_and_failures_below_it() {
        let good = Connectivity::new(vec![asked(Check::Pod, None)]);
        assert_eq!(good.exit(), Exit::Healthy);
        assert!(text(&good).contains("a1 (basel)") && text(&good).contains("12.3 ms"), "{}", text(&good));
        let bad = Connectivity::new(vec![asked(Check::Pod, None), asked(Check::Name, Some("cannot resolve"))]);
        assert_eq!(bad.exit(), Exit::Unhealthy);
        assert!(text(&bad).contains("DNS NAME: cannot resolve"), "{}", text(&bad));
    }

    #[test]
    fn a_client_that_fails_fails_all_its_questions() {
        let end = |node: &str| End { node: node.parse().unwrap(), location: "l".to_owned(), image: String::new() };
        let ends = [end("a1"), end("b1")];
        let mut addresses = carrick_kube::test_pods::TestAddresses::default();
        for pod in ["pod-0", "pod-1"] {
            addresses.pods.insert(pod.to_owned(), vec!["10.42.0.2".parse().unwrap()]);
        }
        let targets = || super::super::targets::targets(&ends, 0, &addresses, "n");
        let failed = Asked::of(&ends[0], &ends, targets(), Err("no shell".to_owned()));
        assert!(
            failed.len() == 3 && failed.iter().all(|asked| asked.error.as_deref() == Some("no shell")),
            "{failed:?}"
        );
        let json = r#"[{"name":"1-IPv4-Pod","milliseconds":1.5},{"name":"1-IPv4-Megabyte","error":"refused"}]"#;
        let answered = Asked::of(&ends[0], &ends, targets(), Ok(serde_json::from_str(json).unwrap()));
        assert_eq!(answered[0].milliseconds, Some(1.5));
        assert_eq!(answered[1].error.as_deref(), Some("refused"));
        assert_eq!(answered[2].error.as_deref(), Some("the client does not report it"));
    }
}
