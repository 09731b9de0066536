//! A lab in a process of its own, which can outlive the command that brought the lab up.
//!
//! That process, `carrick-lab daemon`, reads requests from its standard input, one JSON value a line, and answers each request
//! with one line on its standard output. It takes the lab down when its standard input ends, unless [`Request::Stay`] was sent.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::binaries;
use crate::description::Description;
use crate::lab::Lab;
use crate::node::Node;
use crate::process::Process;
use crate::topology::Topology;

/// How often the daemon looks for a signal or a request while the lab comes up.
const POLL: Duration = Duration::from_millis(20);

/// A request to the daemon of a lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Keep the lab when the standard input ends.
    Stay,
    /// Kill all agents.
    KillAgents,
    /// Start all agents.
    StartAgents,
}

/// The daemon's answer to a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Done,
    Failed(String),
}

/// A lab in a process of its own. Dropping it ends the lab, unless [`Request::Stay`] was sent.
#[derive(Debug)]
pub struct LabDaemon {
    name: String,
    process: Process,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    stderr: Option<JoinHandle<()>>,
    stays: bool,
}

impl LabDaemon {
    /// Brings a lab up. Its progress goes to standard error.
    ///
    /// # Errors
    /// The lab does not come up.
    pub fn up(name: &str, topology: &Topology) -> Result<Self> {
        let mut child = Command::new(binaries::find("carrick-lab")?)
            .args(["daemon", name, &serde_json::to_string(topology)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start carrick-lab daemon")?;
        let stderr = copy_stderr(child.stderr.take().context("no pipe from carrick-lab daemon")?);
        let requests = child.stdin.take();
        let answers = child.stdout.take().context("no pipe from carrick-lab daemon")?;
        let mut daemon = Self {
            name: name.to_owned(),
            process: Process::adopt(child)?,
            requests,
            answers: BufReader::new(answers),
            stderr: Some(stderr),
            stays: false,
        };
        daemon.read_answer()?;
        Ok(daemon)
    }

    /// The description of the lab.
    ///
    /// # Errors
    /// The lab has ended.
    pub fn description(&self) -> Result<Description> {
        Description::read(&self.name)
    }

    /// The daemon's PID on this machine.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends a request and waits until it is done.
    ///
    /// # Errors
    /// The daemon reports a failure, or has ended.
    pub fn request(&mut self, request: Request) -> Result<()> {
        let requests = self.requests.as_mut().context("the lab takes no requests")?;
        writeln!(requests, "{}", serde_json::to_string(&request)?).context("send a request to the lab")?;
        self.read_answer()?;
        self.stays |= request == Request::Stay;
        Ok(())
    }

    fn read_answer(&mut self) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            // The thread ends when the last process of the lab has closed its standard error.
            let _printed = self.stderr.take().map(JoinHandle::join);
            bail!("the lab has ended; the reason is printed above");
        }
        match serde_json::from_str(&line).context("parse the lab's answer")? {
            Answer::Done => Ok(()),
            Answer::Failed(reason) => bail!("{reason}"),
        }
    }
}

impl Drop for LabDaemon {
    fn drop(&mut self) {
        drop(self.requests.take());
        if !self.stays {
            let _status = self.process.wait();
        }
    }
}

/// Copies what the lab prints to standard error. The lab's processes do not inherit this process's own standard error: they may
/// outlive this process, and a reader of it would wait for them.
fn copy_stderr(mut stderr: ChildStderr) -> JoinHandle<()> {
    std::thread::spawn(move || drop(std::io::copy(&mut stderr, &mut std::io::stderr())))
}

/// An event that the daemon handles.
enum Event {
    Request(Request),
    InputEnded,
    Signal,
    SupervisorEnded,
}

/// The body of `carrick-lab daemon`: brings a lab up and holds it until its end.
///
/// # Errors
/// The lab does not come up, or its supervisor was killed.
pub fn run(name: &str, topology: &str) -> Result<()> {
    // A terminal's interrupt is for the foreground command. This process ends with its standard input instead.
    nix::unistd::setsid().context("leave the terminal")?;
    let topology = serde_json::from_str(topology).context("parse the topology")?;
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGTERM);
    ends.add(Signal::SIGINT);
    ends.thread_block().context("block signals")?;
    let (sender, events) = channel();
    watch_signals(ends, sender.clone());
    watch_input(sender.clone());

    // A bring-up that is cut short leaves only the lab's directory, which the next lab removes.
    let (brought, result) = channel();
    let own_name = name.to_owned();
    std::thread::spawn(move || drop(brought.send(Lab::up_as(&own_name, &topology))));
    let mut lab = await_up(&result, &events)?;
    let supervisor = lab.internet().supervisor().process().clone();
    std::thread::spawn(move || {
        let _status = supervisor.wait();
        sender.send(Event::SupervisorEnded)
    });
    Description::of(&lab)?.write(&lab)?;
    answer(&Ok(()))?;
    handle_events(&mut lab, &events)
}

fn await_up(result: &Receiver<Result<Lab>>, events: &Receiver<Event>) -> Result<Lab> {
    loop {
        match result.recv_timeout(POLL) {
            Ok(lab) => return lab,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the bring-up panicked"),
        }
        match events.try_recv() {
            Ok(Event::InputEnded | Event::Signal | Event::SupervisorEnded) => bail!("ended before the lab was up"),
            Ok(Event::Request(_)) | Err(_) => {}
        }
    }
}

fn handle_events(lab: &mut Lab, events: &Receiver<Event>) -> Result<()> {
    let mut stays = false;
    for event in events {
        match event {
            Event::Request(Request::Stay) => {
                stays = true;
                redirect_stderr(lab)?;
                answer(&Ok(()))?;
            }
            Event::Request(Request::KillAgents) => answer(&lab.nodes().try_for_each(Node::kill_agent))?,
            Event::Request(Request::StartAgents) => answer(&lab.nodes().try_for_each(Node::start_agent))?,
            Event::InputEnded if stays => {}
            Event::InputEnded | Event::Signal => return Ok(()),
            Event::SupervisorEnded => bail!("the lab's supervisor was killed"),
        }
    }
    Ok(())
}

/// Redirects standard error to the lab's log, because no process reads the pipe any more.
fn redirect_stderr(lab: &Lab) -> Result<()> {
    let log = File::create(lab.state().path().join("lab.log")).context("make the lab's log")?;
    nix::unistd::dup2_stderr(&log).context("redirect standard error")
}

#[expect(clippy::print_stdout, reason = "answers go to standard output")]
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
                Ok(request) => drop(events.send(Event::Request(request))),
                Err(error) => tracing::warn!(event = "request_unknown", line, %error),
            }
        }
        events.send(Event::InputEnded)
    });
}
