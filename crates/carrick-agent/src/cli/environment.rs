//! Environment variables of Carrick that have no effect.

use std::collections::{BTreeMap, BTreeSet};

use carrick_kube::annotations::most_alike;
use carrick_pods::installation::BINARY_VARIABLE;
use clap::CommandFactory as _;

use super::Cli;

/// All variables of Carrick begin so.
const PREFIX: &str = "CARRICK_";
/// Kubernetes sets variables of such names for each Service of the namespace, such as `CARRICK_METRICS_SERVICE_HOST`.
const OF_SERVICES: [&str; 4] = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_", "_TCP"];

/// The variables among `names` that no command knows, each with the known one that is most like it.
#[must_use]
pub fn unknown_variables(names: impl Iterator<Item = String>) -> BTreeMap<String, String> {
    let known = known_variables();
    let unknown = names.filter(|name| {
        let is_of_others = OF_SERVICES.iter().any(|part| name.contains(part)) || name.ends_with("_PORT");
        name.starts_with(PREFIX) && !known.contains(name) && !is_of_others
    });
    unknown.filter_map(|name| Some((name.clone(), nearest(&known, &name)?.to_owned()))).collect()
}

/// The variables of all commands.
fn known_variables() -> BTreeSet<String> {
    let cli = Cli::command();
    let arguments = cli.get_subcommands().chain([&cli]).flat_map(clap::Command::get_arguments);
    let variables = arguments.filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned));
    variables.chain([BINARY_VARIABLE.to_owned()]).collect()
}

/// Of names that are equally like it, the last.
fn nearest<'k>(known: &'k BTreeSet<String>, unknown: &str) -> Option<&'k str> {
    let word = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    most_alike(known.iter().rev().map(String::as_str), unknown, word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> Vec<(String, String)> {
        unknown_variables(names.iter().map(ToString::to_string)).into_iter().collect()
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_one_that_was_meant() {
        for (written, meant) in [
            ("CARRICK_SERVICE_CIDRS", "CARRICK_SERVICE_CIDR"),
            ("CARRICK_MESHCIDR", "CARRICK_MESH_CIDR"),
            ("CARRICK_APISERVER", "CARRICK_API_SERVER"),
            ("CARRICK_ACTIVE_GATEWAY", "CARRICK_ACTIVE_GATEWAYS"),
            ("CARRICK_LOGLEVEL", "CARRICK_LOG_LEVEL"),
            ("CARRICK_CNI_CONFDIR", "CARRICK_CNI_CONF_DIR"),
        ] {
            assert_eq!(found(&[written]), [(written.to_owned(), meant.to_owned())]);
        }
    }

    #[test]
    fn variables_that_are_known_or_of_others_are_no_mistake() {
        let known = known_variables();
        assert!(
            known.len() > 20 && known.contains("CARRICK_LOG_LEVEL") && known.contains(BINARY_VARIABLE),
            "{known:?}"
        );
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        assert_eq!(found(&known), []);
        assert_eq!(found(&["PATH", "KUBERNETES_SERVICE_HOST", "NOT_CARRICK_GATEWAYS"]), []);
        let of_a_service = [
            "CARRICK_SERVICE_HOST",
            "CARRICK_SERVICE_PORT",
            "CARRICK_SERVICE_PORT_METRICS",
            "CARRICK_METRICS_PORT",
            "CARRICK_METRICS_PORT_1107_TCP_ADDR",
        ];
        assert_eq!(found(&of_a_service), []);
    }
}
