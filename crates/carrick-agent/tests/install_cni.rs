//! `carrick install-cni`: the plugin where runtimes look for it, and nothing that makes them use it.
#![expect(clippy::unwrap_used, reason = "all of this is tests")]

use std::path::Path;
use std::process::{Command, Output};
use std::{fs, os::unix::fs::PermissionsExt as _};

fn install(binary: &Path, directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrick"));
    command.args(["install-cni", "--cni-bin-dir"]).arg(directory).env("CARRICK_CNI_BINARY", binary);
    command.output().unwrap()
}

#[test]
fn it_copies_the_plugin_and_only_what_is_new() {
    let root = tempfile::tempdir().unwrap();
    let (image, directory) = (root.path().join("image"), root.path().join("opt/cni/bin"));
    for (content, said) in [("version 1", "Changed"), ("version 1", "Unchanged"), ("version 2", "Changed")] {
        fs::write(&image, content).unwrap();
        let output = install(&image, &directory);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("written={said}")), "{output:?}");
        let installed = directory.join("carrick-cni");
        assert_eq!(fs::read_to_string(&installed).unwrap(), content);
        assert_eq!(fs::metadata(&installed).unwrap().permissions().mode() & 0o777, 0o755);
    }
    assert_eq!(fs::read_link(directory.join("loopback")).unwrap(), Path::new("carrick-cni"));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2, "nothing beside them");
}

#[test]
fn a_loopback_plugin_of_the_host_stays() {
    let root = tempfile::tempdir().unwrap();
    let (image, directory) = (root.path().join("image"), root.path().join("bin"));
    fs::create_dir(&directory).unwrap();
    fs::write(&image, "plugin").unwrap();
    fs::write(directory.join("loopback"), "of the host").unwrap();
    let output = install(&image, &directory);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read_to_string(directory.join("loopback")).unwrap(), "of the host");
}

#[test]
fn without_a_plugin_it_names_what_is_missing() {
    let root = tempfile::tempdir().unwrap();
    let output = install(&root.path().join("nowhere"), &root.path().join("bin"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere"), "{output:?}");
}
