//! A ping that runs while something happens, and reports what was lost.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::namespace::Namespaces;
use crate::ping::{self, Pinger};
use crate::wait;

/// How long an answer may take before its request counts as lost.
const LATE: Duration = Duration::from_secs(2);
/// How long the first answer may take, and the longest silence later.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running ping.
#[derive(Debug)]
pub struct Flow {
    control: Arc<Control>,
    thread: JoinHandle<Result<Report>>,
}

#[derive(Debug, Default)]
struct Control {
    stop: AtomicBool,
    answered: AtomicU64,
}

/// What happened to a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The number of requests.
    pub sent: u64,
    /// The numbers of the requests without an answer, counted from 0.
    pub lost: Vec<u64>,
    /// The number of second and further answers to a request.
    pub duplicates: u64,
    /// The longest time between two answers.
    pub longest_silence: Duration,
}

impl Flow {
    /// Waits for a first answer of the target, and then sends a request every `interval`.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn start(from: &Namespaces, target: IpAddr, interval: Duration) -> Result<Self> {
        Self::begin(from, target, interval, |pinger| pinger)
    }

    /// As [`Flow::start`], with packets of this size, the IP header included.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn start_with_packets_of(
        ip_bytes: usize,
        from: &Namespaces,
        target: IpAddr,
        interval: Duration,
    ) -> Result<Self> {
        Self::begin(from, target, interval, move |pinger| pinger.with_packets_of(ip_bytes))
    }

    fn begin(
        from: &Namespaces,
        target: IpAddr,
        interval: Duration,
        shape: impl FnOnce(Pinger) -> Pinger + Send + 'static,
    ) -> Result<Self> {
        let first = ping::until_answered(from, target, TIMEOUT)?;
        ensure!(first.is_some(), "{} does not reach {target}", from.name());
        let control = Arc::new(Control::default());
        let (shared, from) = (control.clone(), from.clone());
        let thread = std::thread::spawn(move || {
            from.enter(|| {
                let pinger = Pinger::open(target).context("open a socket for the flow")?;
                run(&shape(pinger), interval, &shared)
            })
        });
        Ok(Self { control, thread })
    }

    /// Waits for this number of further answers.
    ///
    /// # Errors
    /// The flow has ended with an error, or no answer has come for 30 s.
    pub fn await_answers(&self, more: u64) -> Result<()> {
        self.await_answer(self.answered() + more)
    }

    /// Waits until each flow has this number of further answers. The flows are waited for at the same time.
    ///
    /// # Errors
    /// Those of [`Flow::await_answers`].
    pub fn await_answers_of_all<'a>(flows: impl IntoIterator<Item = &'a Self>, more: u64) -> Result<()> {
        let wanted: Vec<_> = flows.into_iter().map(|flow| (flow, flow.answered() + more)).collect();
        wanted.into_iter().try_for_each(|(flow, number)| flow.await_answer(number))
    }

    fn answered(&self) -> u64 {
        self.control.answered.load(Ordering::Relaxed)
    }

    /// Waits until this number of answers has come since the flow's start.
    fn await_answer(&self, number: u64) -> Result<()> {
        let (mut answered, mut heard) = (self.answered(), Instant::now());
        wait::until("answers of a flow", || {
            ensure!(!self.thread.is_finished(), "the flow has ended with an error");
            let now = self.answered();
            if now != answered {
                (answered, heard) = (now, Instant::now());
            }
            ensure!(heard.elapsed() < TIMEOUT, "no answer for {} s", TIMEOUT.as_secs());
            Ok((answered >= number).then_some(()))
        })
    }

    /// Stops sending, waits for the last answers, and returns the report.
    ///
    /// # Errors
    /// The flow could not be started in its namespace.
    pub fn stop(self) -> Result<Report> {
        self.control.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn run(pinger: &Pinger, interval: Duration, control: &Control) -> Result<Report> {
    let mut answers = Answers::default();
    let mut next = Instant::now();
    while !control.stop.load(Ordering::Relaxed) {
        // A request that the kernel refuses is lost, as one that the network drops.
        let _sent = pinger.send(answers.first.len() as u64);
        answers.requested(Instant::now());
        next = turn_after(next, interval, Instant::now());
        collect(pinger, next, &mut answers, control);
    }
    while let Some(late) = answers.outstanding_until(Instant::now()) {
        collect(pinger, (Instant::now() + interval).min(late), &mut answers, control);
    }
    Ok(report(&answers))
}

/// When to send the request after the one of `turn`. A flow that comes too late skips turns: if it sent them all at once, it would never
/// collect answers on a machine on which a request takes longer than an interval.
fn turn_after(turn: Instant, interval: Duration, now: Instant) -> Instant {
    let next = turn + interval;
    if next > now { next } else { now + interval }
}

/// The answers so far.
#[derive(Debug, Default)]
struct Answers {
    /// The time of each request.
    sent: Vec<Instant>,
    /// The time of the first answer to each request.
    first: Vec<Option<Instant>>,
    duplicates: u64,
}

impl Answers {
    fn requested(&mut self, now: Instant) {
        self.sent.push(now);
        self.first.push(None);
    }

    /// When the last request without an answer counts as lost; `None` if it already does, or there is no such request.
    fn outstanding_until(&self, now: Instant) -> Option<Instant> {
        let last = self.first.iter().rposition(Option::is_none)?;
        let late = self.sent[last] + LATE;
        (now < late).then_some(late)
    }
}

fn collect(pinger: &Pinger, deadline: Instant, answers: &mut Answers, control: &Control) {
    while Instant::now() < deadline {
        // An ICMP error is not an answer.
        let Ok(Some(number)) = pinger.receive(deadline) else {
            continue;
        };
        let place = usize::try_from(number).ok().and_then(|number| answers.first.get_mut(number));
        match place {
            Some(answer @ None) => {
                *answer = Some(Instant::now());
                control.answered.fetch_add(1, Ordering::Relaxed);
            }
            Some(Some(_)) => answers.duplicates += 1,
            None => {}
        }
    }
}

fn report(answers: &Answers) -> Report {
    let Answers { first: answers, duplicates, .. } = answers;
    let lost = answers.iter().zip(0..).filter(|(answer, _)| answer.is_none()).map(|(_, number)| number);
    let mut times: Vec<Instant> = answers.iter().flatten().copied().collect();
    times.sort();
    let silences = times.windows(2).map(|pair| pair[1] - pair[0]);
    Report {
        sent: answers.len() as u64,
        lost: lost.collect(),
        duplicates: *duplicates,
        longest_silence: silences.max().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_requests_and_the_longest_silence_are_reported() {
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        let first = vec![at(0), at(20), None, at(60), at(75)];
        let met = report(&Answers { sent: vec![start; first.len()], first, duplicates: 1 });
        assert_eq!(met.sent, 5);
        assert_eq!((met.lost, met.duplicates), (vec![2], 1));
        assert_eq!(met.longest_silence, Duration::from_millis(40));
    }

    #[test]
    fn a_flow_that_is_late_skips_turns() {
        let (turn, interval) = (Instant::now(), Duration::from_millis(10));
        let after = |ms| turn + Duration::from_millis(ms);
        assert_eq!(turn_after(turn, interval, after(1)), after(10));
        assert_eq!(turn_after(turn, interval, after(9)), after(10));
        assert_eq!(turn_after(turn, interval, after(35)), after(45));
    }

    #[test]
    fn a_stopped_flow_waits_only_for_answers_that_may_still_come() {
        let start = Instant::now();
        let mut answers = Answers::default();
        assert_eq!(answers.outstanding_until(start), None);
        answers.requested(start);
        answers.requested(start + Duration::from_secs(1));
        answers.first[1] = Some(start + Duration::from_secs(1));
        assert_eq!(answers.outstanding_until(start + Duration::from_secs(1)), Some(start + LATE));
        assert_eq!(answers.outstanding_until(start + LATE), None);
        answers.first[1] = None;
        assert_eq!(answers.outstanding_until(start + LATE), Some(start + Duration::from_secs(1) + LATE));
    }
}
