//! The plugin list (CNI specification 1.1.0, section 1, "Network configuration format").

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cni_version::Version;

/// The type of the plugin in configurations, which is also the file name of its binary.
pub const PLUGIN_TYPE: &str = "carrick-cni";
const NETWORK: &str = "carrick";
/// The capabilities of the plugin.
const CAPABILITIES: [&str; 4] = ["bandwidth", "ips", "mac", "portMappings"];
/// The capabilities that only one plugin of a list may have. If another plugin of the list has one, the user prefers that plugin.
const EXCLUSIVE: [&str; 2] = ["bandwidth", "portMappings"];
/// The version for runtimes that do not know `cniVersions`.
const COMMON_VERSION: Version = Version::V1_0_0;

/// The plugin list that replaces `current`. It has Carrick's keys and Carrick's plugin, and keeps the keys and plugins that others
/// added, in their order. If `current` is not a plugin list, nothing of it is kept.
pub(super) fn configuration_list(current: Option<&Value>, run_directory: &Path) -> Value {
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
    let is_own = |plugin: &Value| plugin["type"] == PLUGIN_TYPE;
    let by_another = |capability: &str| {
        let mut others = plugins.iter().filter(|plugin| !is_own(plugin));
        EXCLUSIVE.contains(&capability) && others.any(|plugin| plugin["capabilities"][capability] == true)
    };
    let capabilities = CAPABILITIES.into_iter().filter(|capability| !by_another(capability));
    let own = json!({
        "type": PLUGIN_TYPE,
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
