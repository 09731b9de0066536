use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

struct Host {
    _root: TempDir,
    installation: Installation,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let binary = root.path().join("image/carrick-cni");
        fs::create_dir(root.path().join("image")).unwrap();
        fs::write(&binary, "version 1").unwrap();
        let installation = Installation {
            configuration_directory: root.path().join("etc/cni/net.d"),
            binary_directory: root.path().join("opt/cni/bin"),
            run_directory: "/run/carrick".into(),
            binary,
        };
        Self { _root: root, installation }
    }

    fn install(&self) -> (Written, Written) {
        let installed = self.installation.install().unwrap();
        (installed.binary, installed.configuration)
    }

    fn configuration_path(&self) -> PathBuf {
        self.installation.configuration_directory.join("10-carrick.conflist")
    }

    fn configuration(&self) -> Value {
        serde_json::from_slice(&fs::read(self.configuration_path()).unwrap()).unwrap()
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut configuration = self.configuration();
        edit(&mut configuration);
        fs::write(self.configuration_path(), configuration.to_string()).unwrap();
    }
}

fn own_plugin() -> Value {
    json!({
        "type": "carrick-cni",
        "runDirectory": "/run/carrick",
        "capabilities": { "bandwidth": true, "ips": true, "mac": true, "portMappings": true },
    })
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_binary_is_installed_without_a_configuration() {
    let host = Host::new();
    let Installation { binary, binary_directory, .. } = &host.installation;
    assert_eq!(install_binary(binary, binary_directory).unwrap(), Written::Changed);
    assert_eq!(install_binary(binary, binary_directory).unwrap(), Written::Unchanged);
    assert!(!host.installation.configuration_directory.exists());
    assert_eq!(host.install(), (Written::Unchanged, Written::Changed));
}

#[test]
fn binary_and_configuration_are_written_once() {
    let host = Host::new();
    assert_eq!(host.install(), (Written::Changed, Written::Changed));
    assert_eq!(
        host.configuration(),
        json!({
            "cniVersion": "1.0.0",
            "cniVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"],
            "name": "carrick",
            "plugins": [own_plugin()],
        })
    );
    let binary = host.installation.binary_directory.join("carrick-cni");
    assert_eq!(fs::read_to_string(&binary).unwrap(), "version 1");
    assert_eq!(fs::metadata(&binary).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(names(&host.installation.configuration_directory), BTreeSet::from(["10-carrick.conflist".to_owned()]));
    assert_eq!(names(&host.installation.binary_directory), BTreeSet::from(["carrick-cni".to_owned()]));

    assert_eq!(host.install(), (Written::Unchanged, Written::Unchanged));
}

#[test]
fn an_older_binary_is_replaced() {
    let host = Host::new();
    host.install();
    fs::write(&host.installation.binary, "version 2").unwrap();
    assert_eq!(host.install(), (Written::Changed, Written::Unchanged));
    let binary = host.installation.binary_directory.join("carrick-cni");
    assert_eq!(fs::read_to_string(binary).unwrap(), "version 2");
}

#[test]
fn plugins_and_keys_of_other_programs_are_kept() {
    let host = Host::new();
    host.install();
    let (linkerd, tuning) = (json!({ "type": "linkerd-cni", "log_level": "info" }), json!({ "type": "tuning" }));
    host.edit(|configuration| {
        configuration["disableCheck"] = json!(true);
        configuration["plugins"] = json!([tuning, own_plugin(), linkerd]);
    });
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(host.configuration_path()).unwrap());
    let before = inode();
    assert_eq!(host.install().1, Written::Unchanged, "the same JSON in another layout");
    assert_eq!(inode(), before);

    let moved = Installation { run_directory: "/var/run/carrick".into(), ..host.installation.clone() };
    assert_eq!(moved.install().unwrap().configuration, Written::Changed);
    let mut own = own_plugin();
    own["runDirectory"] = "/var/run/carrick".into();
    assert_eq!(host.configuration()["plugins"], json!([tuning, own, linkerd]));
    assert_eq!(host.configuration()["disableCheck"], json!(true));
}

#[test]
fn the_own_plugin_is_restored() {
    let host = Host::new();
    host.install();
    let foreign = json!({ "type": "istio-cni" });
    host.edit(|configuration| configuration["plugins"] = json!([own_plugin(), foreign, own_plugin()]));
    assert_eq!(host.install().1, Written::Changed);
    assert_eq!(host.configuration()["plugins"], json!([own_plugin(), foreign]), "the plugin is listed once");

    host.edit(|configuration| configuration["plugins"] = json!([foreign]));
    assert_eq!(host.install().1, Written::Changed);
    assert_eq!(
        host.configuration()["plugins"],
        json!([own_plugin(), foreign]),
        "the plugin creates the interface, so it is first"
    );

    for garbage in ["", "{", "[]", r#"{"plugins":"none"}"#] {
        fs::write(host.configuration_path(), garbage).unwrap();
        assert_eq!(host.install().1, Written::Changed, "{garbage:?}");
        assert_eq!(host.configuration()["plugins"], json!([own_plugin()]), "{garbage:?}");
    }
}

#[test]
fn a_capability_of_another_plugin_is_not_offered_again() {
    let host = Host::new();
    host.install();
    let off = json!({ "type": "portmap", "capabilities": { "portMappings": false } });
    let on = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
    let tuning = json!({ "type": "tuning", "capabilities": { "mac": true } });
    host.edit(|configuration| configuration["plugins"] = json!([own_plugin(), off, tuning]));
    assert_eq!(host.install().1, Written::Unchanged);

    host.edit(|configuration| configuration["plugins"] = json!([own_plugin(), on, tuning]));
    assert_eq!(host.install().1, Written::Changed);
    let mut own = own_plugin();
    own["capabilities"] = json!({ "bandwidth": true, "ips": true, "mac": true });
    assert_eq!(host.configuration()["plugins"], json!([own, on, tuning]));

    host.edit(|configuration| configuration["plugins"] = json!([own, tuning]));
    assert_eq!(host.install().1, Written::Changed);
    assert_eq!(host.configuration()["plugins"], json!([own_plugin(), tuning]));
}

#[test]
fn an_incomplete_file_is_overwritten_and_other_files_are_not_touched() {
    let host = Host::new();
    let directory = &host.installation.configuration_directory;
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("05-other.conflist"), "other").unwrap();
    fs::write(directory.join(".10-carrick.conflist.new"), "half of a conf").unwrap();
    host.install();
    assert_eq!(names(directory), BTreeSet::from(["05-other.conflist".to_owned(), "10-carrick.conflist".to_owned()]));
    assert_eq!(fs::read_to_string(directory.join("05-other.conflist")).unwrap(), "other");
    assert_eq!(host.configuration()["plugins"], json!([own_plugin()]));

    host.installation.remove().unwrap();
    assert_eq!(names(directory), BTreeSet::from(["05-other.conflist".to_owned()]));
    host.installation.remove().unwrap();
}

#[test]
fn without_the_binary_no_configuration_is_written() {
    let host = Host::new();
    fs::remove_file(&host.installation.binary).unwrap();
    assert_eq!(host.installation.install().unwrap_err().path, host.installation.binary);
    assert!(!host.configuration_path().exists());
}
