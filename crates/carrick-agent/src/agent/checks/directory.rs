//! The runtime's directory of CNI configurations.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use carrick_pods::installation::CONFIGURATION_FILE;
use carrick_status::CniDirectory;

/// The extensions of the files that container runtimes read (libcni, `ConfFiles`).
const EXTENSIONS: [&str; 3] = ["conf", "conflist", "json"];

/// Lists the configurations that a runtime would read; one that is not there is an empty one.
pub(super) fn read(path: &Path) -> io::Result<CniDirectory> {
    let mut configurations = BTreeSet::new();
    match path.read_dir() {
        Ok(entries) => {
            for entry in entries {
                let name = entry?.file_name();
                let extension = Path::new(&name).extension().and_then(|extension| extension.to_str());
                if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) {
                    configurations.insert(name.to_string_lossy().into_owned());
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(CniDirectory { path: path.display().to_string(), own: CONFIGURATION_FILE.to_owned(), configurations })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runtimes_read_counts() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "05-old.conflist",
            "10-carrick.conflist",
            "99.conf",
            "x.json",
            ".10-carrick.conflist.new",
            "README",
            "05-old.bak",
        ] {
            std::fs::write(directory.path().join(name), "{}").unwrap();
        }
        let read = read(directory.path()).unwrap();
        let names: Vec<&str> = read.configurations.iter().map(String::as_str).collect();
        assert_eq!(names, ["05-old.conflist", "10-carrick.conflist", "99.conf", "x.json"]);
        assert!(super::read(Path::new("/nonexistent/net.d")).unwrap().configurations.is_empty());
    }
}
