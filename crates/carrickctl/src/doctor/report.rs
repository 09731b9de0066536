//! The report of all findings.

use std::fmt::Write as _;

use carrick_doctor::{Agent, Finding, Observations, Severity, worst};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Document, Style, View};

/// The report of all findings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The findings, one or more for each check, in the order of the checks.
    pub findings: Vec<Finding>,
    /// The number of agents that answered.
    pub agents: usize,
    #[serde(skip)]
    exit: Exit,
}

impl Report {
    /// Combines the findings with the number of agents that answered.
    #[must_use]
    pub fn new(findings: Vec<Finding>, observations: &Observations) -> Self {
        let answered = observations.agents.values().filter(|agent| matches!(agent, Agent::Answered(_))).count();
        let exit = match (answered, worst(&findings)) {
            (0, _) => Exit::Unreachable,
            (_, Severity::Ok | Severity::Warning) => Exit::Healthy,
            (_, Severity::Problem) => Exit::Unhealthy,
        };
        Self { findings, agents: answered, exit }
    }
}

impl View for Report {
    /// Lines are not cut, so that remedies are complete.
    fn draw(&self, document: &mut Document) {
        let width = self.findings.iter().map(|finding| finding.check.name().len()).max().unwrap_or_default();
        for finding in &self.findings {
            document.uncut(line(finding, width), style(finding.severity));
        }
    }

    fn exit(&self) -> Exit {
        self.exit
    }
}

fn line(finding: &Finding, width: usize) -> String {
    let mut line = format!("{:<7}  {:<width$}", finding.severity, finding.check);
    if let Some(node) = &finding.node {
        let _infallible = write!(line, "  {node}");
    }
    if !finding.text.is_empty() {
        let separator = if finding.node.is_some() { ":" } else { " " };
        let _infallible = write!(line, "{separator} {}", finding.text);
    }
    if !finding.remedy.is_empty() {
        let _infallible = write!(line, " -> {}", finding.remedy);
    }
    line.trim_end().to_owned()
}

const fn style(severity: Severity) -> Style {
    match severity {
        Severity::Ok => Style::Good,
        Severity::Warning => Style::Warn,
        Severity::Problem => Style::Bad,
    }
}

#[cfg(test)]
mod tests {
    use carrick_doctor::Check;

    use super::*;
    use crate::output::{Format, Terminal, render};

    fn observations() -> Observations {
        let mut observations = Observations::default();
        observations.agents.insert("a1".parse().unwrap(), Agent::Answered(Box::default()));
        observations
    }

    #[test]
    fn each_finding_is_one_line_with_its_remedy() {
        let findings = vec![
            Finding::ok(Check::AgentReachable, ""),
            Finding::problem(Check::IpForwarding, "it is off", "switch it on").on(&"a1".parse().unwrap()),
            Finding::warning(Check::Clock, "the clock\u{7} is wrong", "set it"),
        ];
        let shown = render(&Report::new(findings, &observations()), Format::Table, Terminal::default()).unwrap();
        assert_eq!(
            shown.text,
            "ok       agent-reachable\n\
             problem  ip-forwarding    a1: it is off -> switch it on\n\
             warning  clock            the clock\u{fffd} is wrong -> set it\n"
        );
        assert_eq!(shown.exit, Exit::Unhealthy);
    }

    #[test]
    fn warnings_do_not_fail_and_no_answer_is_unreachable() {
        let warning = vec![Finding::warning(Check::Clock, "late", "set it")];
        assert_eq!(Report::new(warning.clone(), &observations()).exit(), Exit::Healthy);
        assert_eq!(Report::new(warning, &Observations::default()).exit(), Exit::Unreachable);
    }
}
