//! Whether the host filters packets with iptables-legacy, whose rules nftables does not show.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// The kernel's lists of the tables of iptables-legacy, of the reader's network namespace.
const LISTS: [(&str, &str); 2] = [("ip_tables_names", "iptables-legacy"), ("ip6_tables_names", "ip6tables-legacy")];

/// The programs whose table `filter` is in use. Without the kernel module, there is no list.
pub(super) fn filtering() -> io::Result<BTreeSet<String>> {
    in_directory(Path::new("/proc/self/net"))
}

fn in_directory(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut programs = BTreeSet::new();
    for (list, program) in LISTS {
        match fs::read_to_string(directory.join(list)) {
            Ok(tables) if tables.lines().any(|table| table == "filter") => drop(programs.insert(program.to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tables: &[(&str, &str)]) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        tables.iter().for_each(|(list, content)| fs::write(directory.path().join(list), content).unwrap());
        in_directory(directory.path()).unwrap().into_iter().collect()
    }

    #[test]
    fn a_table_filter_of_either_family_is_found() {
        assert_eq!(found(&[]), [""; 0]);
        assert_eq!(found(&[("ip_tables_names", ""), ("ip6_tables_names", "nat\nmangle\n")]), [""; 0]);
        assert_eq!(found(&[("ip_tables_names", "nat\nfilter\n")]), ["iptables-legacy"]);
        assert_eq!(found(&[("ip_tables_names", "nat\n"), ("ip6_tables_names", "filter\n")]), ["ip6tables-legacy"]);
    }
}
