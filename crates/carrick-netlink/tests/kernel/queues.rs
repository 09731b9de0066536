use std::process::Command;

use carrick_netlink::queue::{Bound, TokenBucket, replace_root, root_bound};

use crate::namespace::{fresh, make_device, route_socket};

#[test]
fn tc_tells_the_token_bucket_that_was_asked_for() {
    fresh(|| {
        let mut socket = route_socket();
        let index = make_device(&mut socket, "slow");
        assert_eq!(root_bound(&mut socket, index, "slow").unwrap(), None);
        for (rate, told) in [(125_000, "rate 1Mbit burst 15000b"), (12_500_000_000, "rate 100Gbit burst 15000b")] {
            let bucket = TokenBucket { rate, burst: 15_000, limit: 60_000 };
            socket.execute(&replace_root(index, "slow", &bucket)).unwrap();
            assert_eq!(root_bound(&mut socket, index, "slow").unwrap(), Some(Bound { rate, limit: 60_000 }));
            let output = Command::new("tc").args(["-d", "qdisc", "show", "dev", "slow", "root"]).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            assert!(printed.contains("qdisc tbf"), "{printed}");
            let rate = told.split(' ').nth(1).unwrap();
            assert!(printed.contains(rate), "{told}: {printed}");
        }
        let missing = replace_root(99, "gone", &TokenBucket { rate: 1, burst: 1, limit: 1 });
        assert!(socket.execute(&missing).unwrap_err().is_not_found());
    });
}
