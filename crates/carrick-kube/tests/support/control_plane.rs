//! A real kube-apiserver and etcd.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use carrick_test_apiserver::control_plane::{Assets, ControlPlane, Error, ExtraFlags, Options, User};

use super::enter_new_namespace;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// An empty directory for the state of a control plane.
pub fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(std::fs::remove_dir_all(&directory));
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Starts a server, in a new network namespace that the calling thread enters. `None` if its programs cannot be built here.
pub fn start(directory: PathBuf, users: Vec<User>, manifests: &[&str], flags: ExtraFlags) -> Option<ControlPlane> {
    let root = root();
    let assets = match Assets::locate(&root.join("tests/kubernetes/build.sh")) {
        Ok(assets) => assets,
        Err(error @ Error::Assets { .. }) => {
            let is_required = std::env::var_os("CARRICK_REQUIRE_ALL").is_some_and(|all| all == "1");
            assert!(!is_required, "{error}");
            let line = format!("SKIPPED: a test with a real kube-apiserver: {error}\n");
            // Standard error of the process: the test harness captures the output of a test that passes.
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    enter_new_namespace();
    let options = Options {
        assets,
        namespace: Some(OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap())),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)),
        directory,
        users,
        manifests: manifests.iter().map(|manifest| root.join(manifest)).collect(),
    };
    Some(ControlPlane::start_with(options, flags).unwrap())
}
