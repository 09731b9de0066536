//! The command that replaces a misspelt annotation.

use carrick_topology::{ObjectName, Warning};

/// The keys that people set. Agents write all others themselves.
const PEOPLES: [&str; 9] = [
    "carrick.dev/location",
    "carrick.dev/endpoint",
    "carrick.dev/internal-addresses",
    "carrick.dev/gateway",
    "carrick.dev/relay",
    "carrick.dev/drain",
    "carrick.dev/persistent-keepalive",
    "carrick.dev/allowed-location-cidrs",
    "carrick.dev/hold",
];

/// What to do about an annotation whose key is not known, where `nearest` is the known key that is most like it.
pub(super) fn remedy(warning: &Warning, nearest: &str) -> String {
    let (field, object) = (&warning.field, &warning.object);
    let ObjectName::Node(node) = object else {
        return format!("correct {field} of {object}; docs/annotations.md describes the valid values");
    };
    if !field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./-_".contains(&byte)) {
        return format!("remove {field} of {object}; docs/annotations.md describes the valid keys");
    }
    let remove = format!("kubectl annotate node {node} {field}-");
    match quoted(&warning.value) {
        Some(value) if PEOPLES.contains(&nearest) => {
            format!("if {nearest} is meant, run `{remove} {nearest}={value}`, otherwise `{remove}`")
        }
        None if PEOPLES.contains(&nearest) => {
            format!("run `{remove}`; if {nearest} is meant, set it to the value as written")
        }
        Some(_) | None => format!("run `{remove}`; docs/annotations.md describes the keys that people set"),
    }
}

/// A value as one word for a shell; `None` if the warning may not show all of it. The author of the value must not write the command.
fn quoted(value: &str) -> Option<String> {
    if value.chars().any(|character| character.is_control() || "…`'".contains(character)) {
        return None;
    }
    let is_plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./-_:,%@+".contains(&byte));
    Some(if is_plain { value.to_owned() } else { format!("'{value}'") })
}

#[cfg(test)]
mod tests {
    use carrick_topology::WarningReason;

    use super::*;
    use crate::fixtures::diagnosed;

    fn remedy_of(field: &str, value: &str, nearest: &str) -> String {
        let reason = WarningReason::UnknownKey(nearest.to_owned());
        let warning = Warning::new(ObjectName::Node("a1".parse().unwrap()), field, value, reason);
        let found = diagnosed(|mesh| mesh.plan("a1").warnings = [warning].into());
        assert_eq!(found.warnings(), ["ignored-values a1"]);
        found.remedies().trim().to_owned()
    }

    #[test]
    fn the_remedy_of_a_misspelt_key_is_a_command() {
        let remedy = |value| remedy_of("carrick.dev/locaton", value, "carrick.dev/location");
        let removal = "kubectl annotate node a1 carrick.dev/locaton-";
        let with = |value: &str| {
            format!(
                "if carrick.dev/location is meant, run `{removal} carrick.dev/location={value}`, otherwise `{removal}`"
            )
        };
        assert_eq!(remedy("basel"), with("basel"));
        assert_eq!(remedy("[2001:db8::1]:51820"), with("'[2001:db8::1]:51820'"));
        assert_eq!(remedy("$(reboot); x"), with("'$(reboot); x'"));
        for unsafe_or_cut in ["a'$(reboot)'", "a`reboot`", "a\nb", "10.0.0.0/8,10.1…"] {
            let text = format!("run `{removal}`; if carrick.dev/location is meant, set it to the value as written");
            assert_eq!(remedy(unsafe_or_cut), text);
        }
    }

    #[test]
    fn no_person_is_told_to_set_a_key_of_the_agents_or_to_run_a_strange_key() {
        let of_agent = remedy_of("carrick.dev/publickey", "x", "carrick.dev/public-key");
        let command = "run `kubectl annotate node a1 carrick.dev/publickey-`; ";
        assert!(of_agent.starts_with(command) && !of_agent.contains("public-key"), "{of_agent}");
        assert!(!remedy_of("carrick.dev/a;reboot", "x", "carrick.dev/relay").contains("kubectl"));
    }

    #[test]
    fn peoples_keys_are_those_of_the_documents() {
        let documents = include_str!("../../../../docs/annotations.md");
        let section =
            documents.split_once("\n## Annotations that people set\n").unwrap().1.split_once("\nDetails:").unwrap().0;
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        assert_eq!(rows.map(|(key, _)| format!("carrick.dev/{key}")).collect::<Vec<_>>(), PEOPLES);
    }
}
