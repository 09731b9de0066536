//! The commands for administrators: `carrick-cni ipam list` and `carrick-cni ipam check`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use carrick_netlink::{Protocol, Socket, link};
use carrick_pods::firewall::Firewall;
use carrick_pods::ipam::{Record, Store};
use carrick_pods::node_data::DEFAULT_RUN_DIRECTORY;

use crate::commands::{Answer, Outcome};
use crate::orphan::orphans;
use crate::protocol::Error;

const USAGE: &str = "Container runtimes run carrick-cni. Commands for administrators:
  carrick-cni ipam list  [--run-dir DIRECTORY]   lists the pods with their addresses, host ports and age
  carrick-cni ipam check [--run-dir DIRECTORY]   reports contradictions between records, addresses, devices and
                                                 host ports; the exit code is 1 if there are any
The default DIRECTORY is /run/carrick.";

/// Runs the command that the arguments name. Ages are relative to `now`.
#[must_use]
pub fn run(arguments: &[String], now: SystemTime) -> Answer {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (command, run_directory) = match words.as_slice() {
        ["ipam", command] => (*command, DEFAULT_RUN_DIRECTORY),
        ["ipam", command, "--run-dir", directory] | ["ipam", "--run-dir", directory, command] => (*command, *directory),
        _ => return answer(USAGE.to_owned(), usage_outcome(&words)),
    };
    let store = Store::under(&PathBuf::from(run_directory));
    let answered = match command {
        "list" => list(&store, now).map(|text| answer(text, Outcome::Success)),
        "check" => problems(&store).map(|problems| match problems.as_slice() {
            [] => answer("no contradictions found".to_owned(), Outcome::Success),
            problems => answer(problems.join("\n"), Outcome::Failure),
        }),
        _ => Ok(answer(USAGE.to_owned(), Outcome::Failure)),
    };
    answered.unwrap_or_else(|error| answer(error.to_string(), Outcome::Failure))
}

fn usage_outcome(words: &[&str]) -> Outcome {
    match words {
        ["--help" | "-h" | "help"] => Outcome::Success,
        _ => Outcome::Failure,
    }
}

fn answer(output: String, outcome: Outcome) -> Answer {
    Answer { output: Some(output), outcome }
}

fn list(store: &Store, now: SystemTime) -> Result<String, Error> {
    let header = ["POD", "ADDRESSES", "HOST PORTS", "AGE", "DEVICE", "CONTAINER"].map(str::to_owned);
    let mut rows = vec![header];
    let records = store.records()?;
    for record in &records.readable {
        let age = now.duration_since(store.since(&record.attachment)?).unwrap_or_default();
        rows.push(row(record, age));
    }
    let mut lines = table(&rows);
    lines.extend(records.unreadable.iter().map(|error| format!("unreadable: {error}")));
    Ok(lines.join("\n"))
}

fn row(record: &Record, age: Duration) -> [String; 6] {
    let join = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(",") };
    let ports = record.host_ports.iter().map(|port| format!("{}:{}", port.transport.name(), port.host_port));
    let ports: BTreeSet<String> = ports.collect();
    [
        record.title(),
        join(record.addresses.iter().map(ToString::to_string).collect()),
        join(ports.into_iter().collect()),
        age_text(age),
        record.device.clone(),
        record.attachment.key(),
    ]
}

/// An age in its largest unit, as in the output of kubectl.
fn age_text(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The contradictions between records, claims, devices and the nftables table, as one sentence each. Calls that run at the same time
/// may show as contradictions.
fn problems(store: &Store) -> Result<Vec<String>, Error> {
    let mut problems = store.inconsistencies()?;
    let devices = link::dump(&mut Socket::open(Protocol::Route)?)?;
    let records = store.records()?;
    for record in records.readable.iter().filter(|record| !devices.iter().any(|link| link.name == record.device)) {
        problems.push(format!("{} has no device {}; DEL or GC removes its record", record.title(), record.device));
    }
    for link in orphans(&devices, &records) {
        problems.push(format!("the device {} belongs to no record; GC removes it", link.name));
    }
    problems.extend(Firewall::open()?.inconsistencies(store)?);
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, words) in [(0, "0s"), (59, "59s"), (60, "1m"), (7_199, "1h"), (86_400 * 3, "3d")] {
            assert_eq!(age_text(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn unknown_commands_print_the_usage() {
        let run = |words: &[&str]| {
            run(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), SystemTime::UNIX_EPOCH)
        };
        assert_eq!(run(&["--help"]), answer(USAGE.to_owned(), Outcome::Success));
        for words in [&["ipam"][..], &["ipam", "show"], &["ipam", "list", "--run-dir"], &["x"]] {
            assert_eq!(run(words), answer(USAGE.to_owned(), Outcome::Failure), "{words:?}");
        }
    }
}
