//! nftables, read by `nft -j`.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// For each chain its rules in order; each is the list of the rule's statements.
    pub chains: BTreeMap<String, Vec<Value>>,
    /// For each set its elements as `nft` prints them, in order.
    pub sets: BTreeMap<String, Vec<String>>,
}

/// Reads a table such as `inet carrick`; `None` if there is no such table.
///
/// # Panics
/// `nft` does not run, or prints what is no ruleset.
#[must_use]
pub fn table(name: &str) -> Option<Table> {
    let listed = Command::new("nft").args(["-j", "list", "table"]).args(name.split(' ')).output().expect("nft runs");
    if !listed.status.success() {
        return None;
    }
    let ruleset: Value = serde_json::from_slice(&listed.stdout).expect("nft prints JSON");
    let objects = ruleset["nftables"].as_array().unwrap_or_else(|| panic!("nft prints no ruleset: {ruleset}"));
    let mut table = Table::default();
    let name_of = |object: &Value, key: &str| object[key].as_str().map(str::to_owned).unwrap_or_default();
    for object in objects {
        if let Some(chain) = object.get("chain") {
            table.chains.entry(name_of(chain, "name")).or_default();
        } else if let Some(rule) = object.get("rule") {
            table.chains.entry(name_of(rule, "chain")).or_default().push(rule["expr"].clone());
        } else if let Some(set) = object.get("set") {
            let mut elements: Vec<String> = set["elem"].as_array().into_iter().flatten().map(element).collect();
            elements.sort();
            table.sets.insert(name_of(set, "name"), elements);
        }
    }
    Some(table)
}

/// An element as `nft` prints it: `10.0.0.0/8`, `10.0.0.1-10.0.0.5`, `eth0`.
fn element(element: &Value) -> String {
    if let Some(prefix) = element.get("prefix") {
        return format!("{}/{}", text(&prefix["addr"]), prefix["len"]);
    }
    if let Some([from, to]) = element.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        return format!("{}-{}", text(from), text(to));
    }
    if let Some(value) = element.get("elem") {
        return self::element(&value["val"]);
    }
    text(element)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_read_as_nft_prints_them() {
        assert_eq!(element(&json!("eth0")), "eth0");
        assert_eq!(element(&json!({"prefix": {"addr": "10.0.0.0", "len": 8}})), "10.0.0.0/8");
        assert_eq!(element(&json!({"range": ["10.0.0.1", "10.0.0.5"]})), "10.0.0.1-10.0.0.5");
        assert_eq!(element(&json!({"elem": {"val": "10.0.0.1"}})), "10.0.0.1");
    }
}
