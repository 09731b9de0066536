//! A lab held by a process of its own, so that it can outlive the command that brought it up.
//!
//! That process, `carrick-lab serve`, obeys lines on its standard input and ends with it, until it is told
//! to stay. Each line is answered by one on its standard output.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::binaries;
use crate::description::Description;
use crate::lab::Lab;
use crate::process::Process;
use crate::topology::Topology;

/// What the holder of a lab can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Live on when the standard input ends.
    Stay,
    /// Kill all agents.
    KillAgents,
    /// Start all agents.
    StartAgents,
}

/// What the holder answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Done,
    Failed(String),
}

/// A lab in a process of its own; it ends when this is dropped, unless told to stay.
#[derive(Debug)]
pub struct Served {
    name: String,
    process: Process,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    relay: Option<JoinHandle<()>>,
    stays: bool,
}

impl Served {
    /// Brings a lab up; its progress goes to standard error.
    ///
    /// # Errors
    /// It does not come up.
    pub fn up(name: &str, topology: &Topology) -> Result<Self> {
        let mut child = Command::new(binaries::find("carrick-lab")?)
            .args(["serve", name, &serde_json::to_string(topology)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start carrick-lab serve")?;
        let relay = relay(child.stderr.take().context("no pipe from carrick-lab serve")?);
        let orders = child.stdin.take();
        let answers = child.stdout.take().context("no pipe from carrick-lab serve")?;
        let mut served = Self {
            name: name.to_owned(),
            process: Process::adopt(child)?,
            orders,
            answers: BufReader::new(answers),
            relay: Some(relay),
            stays: false,
        };
        served.answer()?;
        Ok(served)
    }

    /// What it is like.
    ///
    /// # Errors
    /// It has ended.
    pub fn description(&self) -> Result<Description> {
        Description::read(&self.name)
    }

    /// The process that holds it, as this machine numbers it.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Has an order carried out.
    ///
    /// # Errors
    /// It cannot be, or the lab has ended.
    pub fn order(&mut self, order: Order) -> Result<()> {
        let orders = self.orders.as_mut().context("the lab takes no orders")?;
        writeln!(orders, "{}", serde_json::to_string(&order)?).context("give an order to the lab")?;
        self.answer()?;
        self.stays |= order == Order::Stay;
        Ok(())
    }

    fn answer(&mut self) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            // Ends with the last process of the lab.
            let _printed = self.relay.take().map(JoinHandle::join);
            bail!("the lab has ended; the reason is printed above");
        }
        match serde_json::from_str(&line).context("parse the lab's answer")? {
            Answer::Done => Ok(()),
            Answer::Failed(reason) => bail!("{reason}"),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.orders.take());
        if !self.stays {
            let _status = self.process.wait();
        }
    }
}

/// Shows what the lab prints. Its processes never get this one's own standard error: they may outlive this
/// one, and whoever reads from it would wait for them.
fn relay(mut printed: ChildStderr) -> JoinHandle<()> {
    std::thread::spawn(move || drop(std::io::copy(&mut printed, &mut std::io::stderr())))
}

/// Why a lab ends, or what it is to do before.
enum Event {
    Order(Order),
    InputEnded,
    Signal,
    Broken,
}

/// The body of `carrick-lab serve`: brings a lab up and holds it until its end.
///
/// # Errors
/// It does not come up, or somebody ended it from below.
pub fn serve(name: &str, topology: &str) -> Result<()> {
    // A terminal's interrupt is for the command in front; this process ends with its input instead.
    nix::unistd::setsid().context("leave the terminal")?;
    let topology = serde_json::from_str(topology).context("parse the topology")?;
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.add(Signal::SIGINT);
    ends.thread_block().context("block signals")?;
    let (events, happened) = channel();
    watch_signals(ends, events.clone());
    watch_input(events.clone());

    // Whatever ends the bring-up early leaves only the directory, which the next lab clears.
    let (brought, result) = channel();
    let own_name = name.to_owned();
    std::thread::spawn(move || drop(brought.send(Lab::up_as(&own_name, &topology))));
    let mut lab = await_up(&result, &happened)?;
    let keeper = lab.internet().keeper().process().clone();
    std::thread::spawn(move || {
        let _status = keeper.wait();
        events.send(Event::Broken)
    });
    Description::of(&lab)?.write(&lab)?;
    answer(&Ok(()))?;
    hold(&mut lab, &happened)
}

fn await_up(result: &Receiver<Result<Lab>>, happened: &Receiver<Event>) -> Result<Lab> {
    loop {
        match result.recv_timeout(std::time::Duration::from_millis(20)) {
            Ok(lab) => return lab,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => bail!("the bring-up panicked"),
        }
        match happened.try_recv() {
            Ok(Event::InputEnded | Event::Signal | Event::Broken) => bail!("told to end before the lab was up"),
            Ok(Event::Order(_)) | Err(_) => {}
        }
    }
}

fn hold(lab: &mut Lab, happened: &Receiver<Event>) -> Result<()> {
    let mut stays = false;
    for event in happened {
        match event {
            Event::Order(Order::Stay) => {
                stays = true;
                leave_output(lab)?;
                answer(&Ok(()))?;
            }
            Event::Order(Order::KillAgents) => answer(&lab.nodes().try_for_each(crate::node::Node::kill_agent))?,
            Event::Order(Order::StartAgents) => answer(&lab.nodes().try_for_each(crate::node::Node::start_agent))?,
            Event::InputEnded if stays => {}
            Event::InputEnded | Event::Signal => return Ok(()),
            Event::Broken => bail!("the lab's first process was ended"),
        }
    }
    Ok(())
}

/// From now on nobody reads what this process prints: it goes to the lab's log.
fn leave_output(lab: &Lab) -> Result<()> {
    let log = File::create(lab.state().path().join("lab.log")).context("make the lab's log")?;
    nix::unistd::dup2_stderr(&log).context("redirect standard error")
}

#[expect(clippy::print_stdout, reason = "orders are answered there")]
fn answer(result: &Result<()>) -> Result<()> {
    let answer = match result {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

fn watch_signals(ends: SigSet, events: Sender<Event>) {
    std::thread::spawn(move || while ends.wait().is_ok() && events.send(Event::Signal).is_ok() {});
}

fn watch_input(events: Sender<Event>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(std::result::Result::ok) {
            match serde_json::from_str(&line) {
                Ok(order) => drop(events.send(Event::Order(order))),
                Err(error) => tracing::warn!(event = "order_unknown", line, %error),
            }
        }
        events.send(Event::InputEnded)
    });
}
