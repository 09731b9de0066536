//! The findings, line by line.

use std::fmt::Write as _;

use carrick_doctor::{Agent, Finding, Observations, Severity, worst};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Document, Style, View};

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// One or more for each check, in the checks' order.
    pub findings: Vec<Finding>,
    /// How many agents answered.
    pub agents: usize,
    #[serde(skip)]
    exit: Exit,
}

impl Report {
    /// Puts findings together with who was asked.
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
    /// What to do must not be cut off: lines are as long as they are.
    fn draw(&self, document: &mut Document) {
        let width = self.findings.iter().map(|finding| finding.check.name().len()).max().unwrap_or_default();
        for finding in &self.findings {
            document.whole(line(finding, width), style(finding.severity));
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
    // Texts hold values that anybody may have written: nothing in them may move a terminal's cursor.
    line.trim_end().replace(char::is_control, "\u{fffd}")
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
    fn one_line_for_each_finding_with_what_to_do() {
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
    fn warnings_are_no_failure_and_silence_is_another() {
        let warning = vec![Finding::warning(Check::Clock, "late", "set it")];
        assert_eq!(Report::new(warning.clone(), &observations()).exit(), Exit::Healthy);
        assert_eq!(Report::new(warning, &Observations::default()).exit(), Exit::Unreachable);
    }
}
