//! Measures how long the program takes for 200 agents. It asserts nothing; `scripts/bench-carrickctl.sh` runs it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::FakeApi;
use crate::page::Load;
use crate::{DELAY, NODES, kubeconfig};

const ROUNDS: usize = 10;

/// The numbers of agents that do not answer: none, one, and those of a whole location.
const MUTE: [usize; 3] = [0, 1, 40];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures: scripts/bench-carrickctl.sh"]
async fn carrickctl_status_of_two_hundred_agents() {
    let mut took: [Vec<Duration>; MUTE.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (mute, took) in MUTE.into_iter().zip(&mut took) {
            took.push(status(mute).await);
        }
    }
    for (mute, took) in MUTE.into_iter().zip(&mut took) {
        took.sort();
        let [least, median, most] = [0, took.len() / 2, took.len() - 1].map(|index| took[index].as_secs_f64());
        eprintln!("{NODES} agents, {mute} of them mute: {median:.2} s ({least:.2} to {most:.2} s in {ROUNDS} runs)");
    }
}

/// The time from the start to the end of the program.
async fn status(mute: usize) -> Duration {
    let names: Vec<String> = (0..mute).map(|number| format!("x-mute-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let api = FakeApi::start(NODES - mute, &names, DELAY, Arc::new(Load::default())).await;
    let kubeconfig = kubeconfig(api.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrickctl"));
    command.args(["status", "--timeout", "2s", "--kubeconfig"]).arg(kubeconfig.path()).stdout(Stdio::null());
    let began = Instant::now();
    let ended = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    let took = began.elapsed();
    assert!(ended.code().is_some_and(|code| code < 2), "{ended}");
    took
}
