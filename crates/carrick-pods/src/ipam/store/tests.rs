use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::host_port::HostPort;
use crate::ipam::pools;

fn attachment(container_id: &str) -> Attachment {
    Attachment { network: "carrick".to_owned(), container_id: container_id.to_owned(), interface: "eth0".to_owned() }
}

fn store() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::under(directory.path());
    (directory, store)
}

fn pool(cidrs: &[&str]) -> Vec<Pool> {
    let cidrs: Vec<_> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    pools(&cidrs).unwrap()
}

fn reserve(store: &Store, container_id: &str, pools: &[Pool]) -> Vec<String> {
    let record = store.reserve(plain(container_id), pools).unwrap();
    record.addresses.iter().map(ToString::to_string).collect()
}

fn plain(container_id: &str) -> Reservation {
    Reservation::plain(attachment(container_id), None)
}

fn addresses(store: &Store) -> PathBuf {
    store.directory.join("addresses")
}

fn attachments(store: &Store) -> PathBuf {
    store.directory.join("attachments")
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn one_address_of_each_family_is_reserved_and_released() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/24", "fd00::/64"]);
    assert_eq!(reserve(&store, "a", &pools), ["10.0.0.2", "fd00::2"]);
    assert_eq!(reserve(&store, "b", &pools), ["10.0.0.3", "fd00::3"]);

    let record = store.find(&attachment("a")).unwrap().unwrap();
    assert_eq!(record.device, attachment("a").host_device());
    assert!(store.holds(&attachment("a"), "10.0.0.2".parse().unwrap()).unwrap());

    store.release(&attachment("a")).unwrap();
    assert_eq!(store.find(&attachment("a")).unwrap(), None);
    assert_eq!(names(&addresses(&store)), BTreeSet::from(["10.0.0.3".to_owned(), "fd00::3".to_owned()]));
    store.release(&attachment("a")).unwrap();
}

#[test]
fn a_released_address_is_assigned_again_after_all_others() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/29"]);
    assert_eq!(reserve(&store, "a", &pools), ["10.0.0.2"]);
    store.release(&attachment("a")).unwrap();
    for expected in ["10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"] {
        assert_eq!(reserve(&store, expected, &pools), [expected]);
    }
}

#[test]
fn an_exhausted_pool_leaves_the_other_family_unchanged() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/24", "fd00::/126"]);
    reserve(&store, "a", &pools);
    reserve(&store, "b", &pools);
    let error = store.reserve(plain("c"), &pools).unwrap_err();
    assert!(matches!(error, StoreError::Exhausted(Family::V6)), "{error}");
    assert_eq!(names(&addresses(&store)).len(), 4);
    assert_eq!(names(&attachments(&store)).len(), 2);
}

#[test]
fn a_second_reservation_changes_nothing() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/24"]);
    reserve(&store, "a", &pools);
    let error = store.reserve(plain("a"), &pools).unwrap_err();
    assert!(matches!(error, StoreError::AttachedAlready(_)), "{error}");
    assert!(store.holds(&attachment("a"), "10.0.0.2".parse().unwrap()).unwrap());
    assert_eq!(names(&addresses(&store)).len(), 1);
}

#[test]
fn a_record_without_its_claim_does_not_take_the_address_of_the_next_owner() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/30"]);
    reserve(&store, "a", &pools);
    // As after a crash between record and claim.
    fs::remove_file(addresses(&store).join("10.0.0.2")).unwrap();
    assert_eq!(reserve(&store, "b", &pools), ["10.0.0.2"]);

    store.release(&attachment("a")).unwrap();
    assert!(store.holds(&attachment("b"), "10.0.0.2".parse().unwrap()).unwrap());
}

#[test]
fn the_addresses_of_a_damaged_record_are_released() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/24", "fd00::/64"]);
    reserve(&store, "a", &pools);
    reserve(&store, "b", &pools);
    fs::write(store.record_path(&attachment("a")), "{").unwrap();
    assert!(matches!(store.find(&attachment("a")), Err(StoreError::Damaged { .. })));

    store.release(&attachment("a")).unwrap();
    assert_eq!(names(&addresses(&store)), BTreeSet::from(["10.0.0.3".to_owned(), "fd00::3".to_owned()]));
    assert_eq!(names(&attachments(&store)), BTreeSet::from(["b:eth0".to_owned()]));
}

#[test]
fn a_damaged_lock_file_only_restarts_the_search() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/24"]);
    reserve(&store, "a", &pools);
    fs::write(store.lock_path(), "10.0.0").unwrap();
    assert_eq!(reserve(&store, "b", &pools), ["10.0.0.3"]);
}

#[test]
fn a_release_on_a_new_node_creates_no_files() {
    let (directory, store) = store();
    store.release(&attachment("a")).unwrap();
    assert_eq!(names(directory.path()), BTreeSet::new());
}

#[test]
fn records_name_only_what_they_have_claimed() {
    let (_directory, store) = store();
    assert_eq!(store.records().unwrap().readable, []);
    let pools = pool(&["10.0.0.0/24", "fd00::/64"]);
    for container in ["b", "a", "damaged"] {
        reserve(&store, container, &pools);
    }
    fs::write(store.record_path(&attachment("damaged")), "{").unwrap();
    fs::remove_file(addresses(&store).join("10.0.0.2")).unwrap();

    let records = store.records().unwrap();
    let held: Vec<_> =
        records.readable.iter().map(|record| (record.attachment.container_id.as_str(), &record.addresses)).collect();
    let parsed = |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
    assert_eq!(held, [("a", &parsed(&["10.0.0.3", "fd00::3"])), ("b", &parsed(&["fd00::2"]))]);
    assert!(matches!(records.unreadable.as_slice(), [StoreError::Damaged { .. }]), "{:?}", records.unreadable);
}

#[test]
fn requested_addresses_are_reserved_or_refused_with_a_reason() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/24", "fd00::/64"]);
    let wanting =
        |container: &str, address: &str| Reservation { addresses: vec![address.parse().unwrap()], ..plain(container) };
    let record = store.reserve(wanting("a", "10.0.0.77"), &pools).unwrap();
    assert_eq!(record.addresses, ["10.0.0.77", "fd00::2"].map(|text| text.parse::<IpAddr>().unwrap()));
    // The search continues where it was before.
    assert_eq!(reserve(&store, "b", &pools), ["10.0.0.2", "fd00::3"]);

    let error = store.reserve(wanting("c", "10.0.0.77"), &pools).unwrap_err();
    assert_eq!(error.to_string(), "the address 10.0.0.77 belongs to a:eth0");
    for outside in ["10.0.1.2", "10.0.0.0", "10.0.0.1", "10.0.0.255", "fd01::2"] {
        let error = store.reserve(wanting("c", outside), &pools).unwrap_err();
        assert!(matches!(error, StoreError::OutOfRange(_)), "{error}");
    }
    assert_eq!(names(&attachments(&store)).len(), 2);
}

#[test]
fn a_host_port_has_one_owner() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/24"]);
    let port = |host: &str| HostPort {
        transport: crate::host_port::Transport::Tcp,
        host: host.parse().unwrap(),
        host_port: 80,
        pod_port: 8080,
    };
    let wanting = |container: &str, host: &str| Reservation { host_ports: vec![port(host)], ..plain(container) };
    store.reserve(wanting("a", "0.0.0.0"), &pools).unwrap();
    let error = store.reserve(wanting("b", "0.0.0.0"), &pools).unwrap_err();
    assert_eq!(error.to_string(), "the host port tcp 0.0.0.0:80 belongs to a:eth0");
    assert_eq!(names(&addresses(&store)).len(), 1);
    store.reserve(wanting("b", "192.0.2.1"), &pools).unwrap();
    assert_eq!(store.inconsistencies().unwrap(), [""; 0]);
    store.release(&attachment("a")).unwrap();
    store.reserve(wanting("c", "0.0.0.0"), &pools).unwrap();
}

#[test]
fn a_free_address_is_found_after_thousands_of_claimed_ones() {
    let (_directory, store) = store();
    let pools = pool(&["10.0.0.0/20"]);
    reserve(&store, "first", &pools);
    for number in 3..4095u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        if address != "10.0.12.34" {
            std::os::unix::fs::symlink("../attachments/x:eth0", addresses(&store).join(address)).unwrap();
        }
    }
    assert_eq!(reserve(&store, "a", &pools), ["10.0.12.34"]);
    assert!(matches!(store.reserve(plain("b"), &pools), Err(StoreError::Exhausted(Family::V4))));
}
