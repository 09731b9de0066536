//! The memory and processor time of a process (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The memory and processor time of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessUsage {
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
    /// Anonymous resident memory, in bytes.
    pub(crate) anonymous: u64,
    /// Peak resident memory, in bytes.
    pub(crate) peak: u64,
    /// Processor time since the start of the process, in user and kernel mode.
    pub(crate) processor: Duration,
    /// The processor time of the agent's probe thread.
    pub(crate) probing: Duration,
}

/// The name of the agent's probe thread.
const PROBE_THREAD: &str = "probes";

impl ProcessUsage {
    /// Reads the usage of a process.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let ticks_per_second =
            nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.context("the kernel reports no clock rate")?;
        let usage = Self::parse(&read("status")?, &read("stat")?, u64::try_from(ticks_per_second)?)?;
        Ok(Self { probing: time_of_thread(pid, PROBE_THREAD)?, ..usage })
    }

    fn parse(status: &str, stat: &str, ticks_per_second: u64) -> Result<Self> {
        let bytes = |key: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let kilobytes = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            anyhow::Ok(kilobytes.with_context(|| format!("no {key} in a process's status"))? * 1024)
        };
        // The program's name may contain any character, and ends at the last parenthesis. utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Self {
            resident: bytes("VmRSS")?,
            anonymous: bytes("RssAnon")?,
            peak: bytes("VmHWM")?,
            processor: Duration::from_millis(ticks * 1000 / ticks_per_second),
            probing: Duration::ZERO,
        })
    }
}

/// The processor time of the threads with this name: the first number of `schedstat`, in nanoseconds
/// (<https://docs.kernel.org/scheduler/sched-stats.html>).
fn time_of_thread(pid: u32, name: &str) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut time = Duration::ZERO;
    for thread in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        let thread = thread?.path();
        // A thread may end meanwhile.
        if fs::read_to_string(thread.join("comm")).is_ok_and(|found| found.trim_end() == name) {
            let stat = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
            let nanoseconds = stat.split_whitespace().next().and_then(|first| first.parse().ok());
            time += Duration::from_nanos(nanoseconds.unwrap_or(0));
        }
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory() {
        let own = ProcessUsage::of(std::process::id()).unwrap();
        assert!(own.peak >= own.resident && own.resident > own.anonymous && own.anonymous > 0, "{own:?}");
    }

    #[test]
    fn a_threads_processor_time_is_found_by_its_name() {
        let work = || (0..20_000_000_u64).fold(0, |sum: u64, number| std::hint::black_box(sum ^ number));
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let (started, working) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("worker-of-a-test".to_owned()).spawn(move || {
            started.send(work()).unwrap();
            let _ = wait.recv();
        });
        working.recv().unwrap();
        // A thread's name has 15 bytes at most.
        assert!(time_of_thread(std::process::id(), "worker-of-a-tes").unwrap() > Duration::ZERO);
        assert_eq!(time_of_thread(std::process::id(), "no-such-thread").unwrap(), Duration::ZERO);
        drop(done);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn a_program_name_with_parentheses_shifts_no_field() {
        let status = "Name:\tx\nVmHWM:\t    30 kB\nVmRSS:\t    20 kB\nRssAnon:\t    10 kB\n";
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        let usage = ProcessUsage::parse(status, stat, 100).unwrap();
        assert_eq!(usage.processor, Duration::from_secs(2));
        assert_eq!((usage.resident, usage.anonymous, usage.peak), (20 << 10, 10 << 10, 30 << 10));
    }
}
