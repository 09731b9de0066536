//! The configuration list (specification, section 1, "Network Configuration Lists").

use std::path::Path;

use serde_json::{Map, Value, json};

use super::BINARY_FILE;
use crate::cni_version::Version;

const NETWORK: &str = "carrick";
/// What our plugin does when asked.
const CAPABILITIES: [&str; 4] = ["bandwidth", "ips", "mac", "portMappings"];
/// What must not be done twice. A plugin behind ours with such a capability is there because somebody wants it instead.
const DONE_ONCE: [&str; 2] = ["bandwidth", "portMappings"];
/// What runtimes take that do not know `cniVersions`.
const COMMON_VERSION: Version = Version::V1_0_0;

/// The list that is to stand in the place of `current`: our own keys and our own plugin set right, all that
/// others added kept where it is. What is no configuration list is replaced.
#[must_use]
pub fn configuration_list(current: Option<&Value>, run_directory: &Path) -> Value {
    let mut list = current.and_then(Value::as_object).cloned().unwrap_or_default();
    let plugins = match list.remove("plugins") {
        Some(Value::Array(plugins)) => plugins,
        _ => Vec::new(),
    };
    list.extend(own_keys());
    list.insert("plugins".to_owned(), with_own_plugin(plugins, run_directory).into());
    list.into()
}

fn own_keys() -> Map<String, Value> {
    let keys = [("cniVersion", json!(COMMON_VERSION)), ("cniVersions", json!(Version::ALL)), ("name", json!(NETWORK))];
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn with_own_plugin(mut plugins: Vec<Value>, run_directory: &Path) -> Vec<Value> {
    let is_own = |plugin: &Value| plugin["type"] == BINARY_FILE;
    let by_another = |capability: &str| {
        let mut others = plugins.iter().filter(|plugin| !is_own(plugin));
        DONE_ONCE.contains(&capability) && others.any(|plugin| plugin["capabilities"][capability] == true)
    };
    let capabilities = CAPABILITIES.into_iter().filter(|capability| !by_another(capability));
    let own = json!({
        "type": BINARY_FILE,
        "runDirectory": run_directory.to_string_lossy(),
        "capabilities": capabilities.map(|capability| (capability.to_owned(), true.into())).collect::<Map<_, _>>(),
    });
    match plugins.iter().position(is_own) {
        Some(position) => {
            plugins[position] = own;
            let mut index = 0;
            plugins.retain(|plugin| {
                index += 1;
                index - 1 <= position || !is_own(plugin)
            });
        }
        None => plugins.insert(0, own),
    }
    plugins
}
