//! Panics as the plugin would, for the test of what the runtime then sees.

fn main() {
    carrick_cni::answer_panics();
    let pods: [&str; 0] = [];
    let _ = pods[std::env::args().len()];
}
