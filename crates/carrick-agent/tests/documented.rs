//! What the documents say of the agent's flags and files, against the program.

#![expect(clippy::unwrap_used, reason = "all of this is tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use carrick_agent::cli::Cli;
use carrick_topology::Settings;
use clap::{Arg, ArgAction, CommandFactory as _};

const FLAGS: &str = include_str!("../../../docs/flags.md");
const OPERATIONS: &str = include_str!("../../../docs/operations.md");

/// The texts in backquotes of a cell.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The first two cells of a table's rows below its head; the table is the first one after `start`.
fn rows<'t>(page: &'t str, start: &str) -> Vec<(&'t str, &'t str)> {
    let (_, rest) = page.split_once(start).unwrap();
    let table = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).map(|row| row.split('|').map(str::trim).collect::<Vec<_>>()).map(|row| (row[1], row[2])).collect()
}

/// The default values that clap knows.
fn default(argument: &Arg) -> Vec<String> {
    argument.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
}

/// The default of a flag whose setting the object Mesh may give too. The help tells it in words, so that a flag that is not set is known.
fn shared_default(argument: &Arg) -> Option<Vec<String>> {
    let flag = format!("--{}", argument.get_long()?);
    let (_, value) = Settings::default().shared().by_flag().into_iter().find(|(name, _)| *name == flag)?;
    let value = value.filter(|value| !value.is_empty());
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let told = value.as_ref().is_none_or(|value| help.contains(&format!("[default: {value}]")));
    assert!(told, "{flag} {value:?}: {help}");
    Some(value.iter().flat_map(|value| value.split(',')).map(str::to_owned).collect())
}

#[test]
fn the_page_lists_every_flag_with_its_default() {
    let mut cli = Cli::command();
    cli.build();
    let agent = cli.find_subcommand("agent").unwrap();
    let is_setting = |argument: &&Arg| !matches!(argument.get_action(), ArgAction::Help | ArgAction::Version);
    let program: BTreeMap<String, Vec<String>> = agent
        .get_arguments()
        .filter(is_setting)
        .map(|argument| {
            let values = shared_default(argument).unwrap_or_else(|| default(argument));
            (format!("--{}", argument.get_long().unwrap()), values)
        })
        .collect();
    let page: BTreeMap<String, Vec<String>> = rows(FLAGS, "SettingsDiffer")
        .into_iter()
        .map(|(flag, default)| {
            let flag = quoted(flag).remove(0);
            // A default that is found at run time is told in words.
            let known = program.get(&flag).is_some_and(|values| !values.is_empty());
            (flag, if known { quoted(default) } else { Vec::new() })
        })
        .collect();
    assert_eq!(page, program);
}

/// The sources of the programs that run on nodes.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = std::fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let mut directories: Vec<PathBuf> = crates.chain([root.join("cni-plugin")]).map(|path| path.join("src")).collect();
    let mut text = String::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                directories.push(entry);
            } else {
                text.push_str(&std::fs::read_to_string(entry).unwrap());
            }
        }
    }
    text
}

#[test]
fn every_file_on_the_page_is_named_in_the_sources() {
    let sources = sources();
    let files = rows(OPERATIONS, "\n## Files\n");
    assert!(files.len() >= 10, "{files:?}");
    for (path, _) in files {
        let path = quoted(path).remove(0);
        let path = path.trim_end_matches('/');
        let name = path.rsplit('/').next().unwrap();
        // A directory of its own is written as a whole; a name that contains the interface's is put together.
        let is_named = match name.split_once("carrick0") {
            None => [path, name].iter().any(|text| sources.contains(&format!("\"{text}\""))),
            Some((before, after)) => sources.contains(before) && sources.contains(after),
        };
        assert!(is_named, "no source names {path}");
    }
}

/// A Service with the name `carrick` sets `CARRICK_PORT` in pods of its namespace, and the agent refuses the value.
#[test]
fn pods_get_no_variables_of_services() {
    let helpers = include_str!("../../../deploy/chart/templates/_helpers.tpl");
    let agent = include_str!("../../../deploy/agent.yaml");
    let userspace = include_str!("../../../deploy/userspace-wireguard/userspace-wireguard.yaml");
    for manifest in [helpers, agent, userspace] {
        let pods = manifest.matches("hostNetwork: true").count();
        assert!(pods > 0);
        assert_eq!(manifest.matches("enableServiceLinks: false").count(), pods, "{manifest}");
    }
}
