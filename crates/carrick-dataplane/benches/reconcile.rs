//! How long it takes to make the kernel as planned. Needs root: every measurement has a network namespace of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

#[path = "../tests/kernel/node.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod node;
#[path = "../tests/kernel/plans.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod plans;
#[path = "../tests/kernel/userspace_double.rs"]
mod userspace_double;

use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use nix::sys::resource::{UsageWho, getrusage};
use node::on_node;

const NODES: u32 = 1000;
const GATEWAYS: u32 = 20;

fn from_nothing(criterion: &mut Criterion) {
    let plan = plans::mesh(NODES, GATEWAYS);
    criterion.bench_function("1,000 nodes and 20 peers from nothing", |bencher| {
        bencher.iter_custom(|iterations| {
            let once = || {
                on_node(|node| {
                    let desired = node.desired(&plan);
                    let start = Instant::now();
                    let report = node.dataplane.reconcile(&desired, SystemTime::now()).unwrap();
                    let took = start.elapsed();
                    assert!(report.is_complete());
                    took
                })
            };
            (0..iterations).map(|_| once()).sum()
        });
    });
}

fn one_node(criterion: &mut Criterion) {
    let without = plans::mesh(NODES, GATEWAYS);
    let with = plans::mesh(NODES + 1, GATEWAYS);
    criterion.bench_function("one node more or less, among 1,000", |bencher| {
        bencher.iter_custom(|iterations| {
            on_node(|node| {
                node.reach(&without);
                let wishes = [node.desired(&with), node.desired(&without)];
                let start = Instant::now();
                for turn in 0..iterations {
                    let wish = &wishes[turn as usize % 2];
                    let report = node.dataplane.reconcile_change(wish, SystemTime::now()).unwrap();
                    assert!(report.is_complete() && !report.operations.is_empty());
                }
                start.elapsed()
            })
        });
    });
}

fn nothing_to_change(criterion: &mut Criterion) {
    let plan = plans::mesh(NODES, GATEWAYS);
    criterion.bench_function("CPU of one observation with nothing to change, 1,000 nodes", |bencher| {
        bencher.iter_custom(|iterations| {
            on_node(|node| {
                node.reach(&plan);
                let desired = node.desired(&plan);
                let start = cpu_time();
                for _ in 0..iterations {
                    let report = node.dataplane.reconcile(&desired, SystemTime::now()).unwrap();
                    assert!(report.operations.is_empty());
                }
                cpu_time() - start
            })
        });
    });
}

/// User and system time of this thread.
fn cpu_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
    let times = [usage.user_time(), usage.system_time()];
    times.iter().map(|time| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000)).sum()
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    // The last one leaves hundreds of namespaces behind, which the kernel takes its time to clear away.
    targets = nothing_to_change, one_node, from_nothing
}
criterion_main!(benches);
