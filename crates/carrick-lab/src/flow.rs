//! A ping that runs while something happens, and says what it cost.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::namespace::Namespaces;
use crate::ping::{self, Pinger};
use crate::wait;

/// How long an answer may take before its packet counts as lost.
const LATE: Duration = Duration::from_secs(2);
/// How long the first answer may take, and every later one.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// What a flow met from its first answered request to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Requests sent.
    pub sent: u64,
    /// The numbers of those that had no answer, counted from 0.
    pub lost: Vec<u64>,
    /// Answers beyond the first one of a request.
    pub duplicates: u64,
    /// The longest time between two answers.
    pub longest_silence: Duration,
}

impl Flow {
    /// Starts a request every `interval`, once the target has answered at all.
    ///
    /// # Errors
    /// The target does not answer.
    pub fn start(from: &Namespaces, target: IpAddr, interval: Duration) -> Result<Self> {
        Self::begin(from, target, interval, |pinger| pinger)
    }

    /// The same with packets of this size, the IP header included.
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
        let first = ping::until_answered(from, target, PATIENCE)?;
        ensure!(first.is_some(), "{} does not reach {target}: there is no flow to watch", from.name());
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

    /// Waits until so many more requests have been answered.
    ///
    /// # Errors
    /// The flow has ended by itself, or has been silent for half a minute.
    pub fn await_answers(&self, more: u64) -> Result<()> {
        let mut answered = self.control.answered.load(Ordering::Relaxed);
        let wanted = answered + more;
        let mut heard = Instant::now();
        wait::until("answers of a flow", || {
            ensure!(!self.thread.is_finished(), "the flow has ended by itself");
            let now = self.control.answered.load(Ordering::Relaxed);
            if now != answered {
                (answered, heard) = (now, Instant::now());
            }
            ensure!(heard.elapsed() < PATIENCE, "no answer for {} s", PATIENCE.as_secs());
            Ok((answered >= wanted).then_some(()))
        })
    }

    /// Sends no more, waits for what is under way, and says what happened.
    ///
    /// # Errors
    /// The flow could not be kept up at all.
    pub fn stop(self) -> Result<Report> {
        self.control.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn run(pinger: &Pinger, interval: Duration, control: &Control) -> Result<Report> {
    let mut answers = Answers::default();
    let mut next = Instant::now();
    while !control.stop.load(Ordering::Relaxed) {
        // A request that the kernel refuses is lost like one that the network drops.
        let _sent = pinger.send(answers.first.len() as u64);
        answers.first.push(None);
        next += interval;
        collect(pinger, next, &mut answers, control);
    }
    let late = Instant::now() + LATE;
    while answers.first.contains(&None) && Instant::now() < late {
        collect(pinger, (Instant::now() + interval).min(late), &mut answers, control);
    }
    Ok(report(&answers))
}

/// What has come back.
#[derive(Debug, Default)]
struct Answers {
    /// When each request was answered first.
    first: Vec<Option<Instant>>,
    duplicates: u64,
}

fn collect(pinger: &Pinger, deadline: Instant, answers: &mut Answers, control: &Control) {
    while Instant::now() < deadline {
        // Reports of unreachability are no answers; the missing one tells.
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
    let Answers { first: answers, duplicates } = answers;
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
    fn losses_and_silences_are_reported() {
        let start = Instant::now();
        let at = |ms| Some(start + Duration::from_millis(ms));
        let met = report(&Answers { first: vec![at(0), at(20), None, at(60), at(75)], duplicates: 1 });
        assert_eq!(met.sent, 5);
        assert_eq!((met.lost, met.duplicates), (vec![2], 1));
        assert_eq!(met.longest_silence, Duration::from_millis(40));
    }
}
