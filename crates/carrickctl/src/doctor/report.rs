//! The report of all findings.

use std::fmt::Write as _;

use carrick_doctor::{Agent, Finding, Observations, Severity, worst};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::units::count;
use crate::output::{Document, Style, View};

/// The least width of the column of severities, so that the checks of most reports are in the same column.
const LEAST_SEVERITY_WIDTH: usize = "problem".len();

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
            (_, Severity::NotExamined | Severity::Ok | Severity::Warning) => Exit::Healthy,
            (_, Severity::Problem) => Exit::Unhealthy,
        };
        Self { findings, agents: answered, exit }
    }
}

impl Report {
    /// The number of findings and of checks without one.
    fn summary(&self) -> (String, Severity) {
        if self.agents == 0 {
            return ("no agent answers".to_owned(), Severity::Problem);
        }
        let of = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let (problems, warnings) = (of(Severity::Problem), of(Severity::Warning));
        let ok = format!("{} ok", count(of(Severity::Ok), "check"));
        let (ok, least) = match of(Severity::NotExamined) {
            0 => (ok, Severity::Ok),
            unexamined => (format!("{ok}, {unexamined} not examined"), Severity::NotExamined),
        };
        if problems + warnings == 0 {
            return (ok, least);
        }
        let kinds = [(problems, "problem"), (warnings, "warning")].into_iter().filter(|(number, _)| *number > 0);
        let kinds: Vec<_> = kinds.map(|(number, noun)| count(number, noun)).collect();
        (format!("{}: {}; {ok}", count(problems + warnings, "finding"), kinds.join(", ")), worst(&self.findings))
    }
}

impl View for Report {
    /// Lines are not cut, so that remedies are complete.
    fn draw(&self, document: &mut Document) {
        let widest = |width: fn(&Finding) -> usize| self.findings.iter().map(width).max().unwrap_or_default();
        let widths = Widths {
            severity: widest(|finding| finding.severity.to_string().len()).max(LEAST_SEVERITY_WIDTH),
            check: widest(|finding| finding.check.name().len()),
        };
        for finding in &self.findings {
            document.uncut(line(finding, &widths), style(finding.severity));
        }
        document.gap();
        let (summary, severity) = self.summary();
        document.uncut(summary, style(severity));
    }

    fn exit(&self) -> Exit {
        self.exit
    }
}

/// The widths of the columns.
struct Widths {
    severity: usize,
    check: usize,
}

fn line(finding: &Finding, widths: &Widths) -> String {
    let Widths { severity, check } = *widths;
    let mut line = format!("{:<severity$}  {:<check$}", finding.severity, finding.check);
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
        Severity::NotExamined => Style::Dim,
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
             warning  clock            the clock\u{fffd} is wrong -> set it\n\
             \n\
             2 findings: 1 problem, 1 warning; 1 check ok\n"
        );
        assert_eq!(shown.exit, Exit::Unhealthy);
    }

    #[test]
    fn the_last_line_counts_the_checks_and_the_findings() {
        let last = |findings, observations: &Observations| {
            let shown = render(&Report::new(findings, observations), Format::Table, Terminal::default()).unwrap();
            shown.text.lines().last().unwrap().to_owned()
        };
        let ok = || vec![Finding::ok(Check::AgentReachable, ""), Finding::ok(Check::Clock, "")];
        assert_eq!(last(ok(), &observations()), "2 checks ok");
        assert_eq!(last(ok(), &Observations::default()), "no agent answers");
        let warned = vec![Finding::warning(Check::Clock, "late", "set it")];
        assert_eq!(last(warned, &observations()), "1 finding: 1 warning; 0 checks ok");
    }

    #[test]
    fn a_check_that_was_not_examined_is_not_among_those_that_are_ok() {
        let plan = |page: &mut carrick_status::StatusPage| page.paths.clear();
        let mut snapshot = crate::fixtures::snapshot();
        crate::fixtures::change(&mut snapshot, "a1", plan);
        let (agent, page) = snapshot.pages().next().unwrap();
        let pages = carrick_doctor::Pages { status: page.clone(), ..carrick_doctor::Pages::default() };
        let mut observations = Observations::default();
        observations.agents.insert(agent.name.parse().unwrap(), Agent::Answered(Box::new(pages)));
        let mut findings = carrick_doctor::diagnose(&observations);
        findings.retain(|finding| matches!(finding.check, Check::Clock | Check::Handshakes));
        let shown = render(&Report::new(findings, &observations), Format::Table, Terminal::default()).unwrap();
        assert_eq!(
            shown.text,
            "ok            clock\n\
             not examined  handshakes  needs the pages of the nodes at both ends of a tunnel; known are those of a1\n\
             \n\
             1 check ok, 1 not examined\n"
        );
        assert_eq!(shown.exit, Exit::Healthy);
    }

    #[test]
    fn warnings_do_not_fail_and_no_answer_is_unreachable() {
        let warning = vec![Finding::warning(Check::Clock, "late", "set it")];
        assert_eq!(Report::new(warning.clone(), &observations()).exit(), Exit::Healthy);
        assert_eq!(Report::new(warning, &Observations::default()).exit(), Exit::Unreachable);
    }
}
