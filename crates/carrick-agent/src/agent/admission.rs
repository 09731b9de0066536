//! Looks whether the admission policies are in force.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::{Duration, Instant};

use carrick_backoff::Backoff;
use carrick_core::{Event, Fault, FaultSource};
use carrick_kube::admission::policy_faults;
use carrick_kube::client::ApiClient;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::status::Status;

/// The longest time between two looks. The shortest is three quarters of it, so that the agents of a cluster spread.
const AGAIN: Duration = Duration::from_secs(600);
/// The delays between looks while the API server does not answer.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Looks again and again, and reports what is wrong: a policy can be removed at any time.
pub(super) async fn look(client: ApiClient, status: Status, events: mpsc::Sender<Event>) {
    follow(|| policy_faults(&client), status, events).await;
}

async fn follow<R, E>(read: impl Fn() -> R, status: Status, events: mpsc::Sender<Event>)
where
    R: Future<Output = Result<BTreeSet<String>, E>>,
    E: Display,
{
    let origin = Instant::now();
    let mut backoff = Backoff::new(SHORTEST_RETRY, LONGEST_RETRY);
    let mut before = BTreeSet::new();
    while !events.is_closed() {
        match read().await {
            Ok(faults) => {
                backoff.reset();
                if faults != before {
                    report(&faults);
                    status.take_policy_faults(faults.clone());
                    let missing = faults.iter().cloned().map(Fault::PolicyMissing).collect();
                    if events.send(Event::Faults(FaultSource::AdmissionPolicies, missing)).await.is_err() {
                        return;
                    }
                    before = faults;
                }
                sleep(AGAIN.mul_f64(1.0 - rand::random::<f64>() / 4.0)).await;
            }
            Err(error) => {
                tracing::debug!(event = "admission_policy_unknown", %error);
                sleep(backoff.delay(origin.elapsed(), rand::random())).await;
            }
        }
    }
}

fn report(faults: &BTreeSet<String>) {
    if faults.is_empty() {
        tracing::info!(event = "admission_policy_in_force");
    } else {
        let faults: Vec<_> = faults.iter().map(String::as_str).collect();
        tracing::warn!(
            event = "admission_policy_missing",
            faults = faults.join("; "),
            "other nodes' annotations can be forged: apply deploy/policy.yaml"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::{Arc, Mutex};

    use tokio::time::{Instant, timeout};

    use super::*;

    const FAULT: &str = "the ValidatingAdmissionPolicy carrick-nodes is not installed";

    /// What the API server holds; `None` while it does not answer.
    type Held = Arc<Mutex<Option<BTreeSet<String>>>>;

    fn start() -> (Held, Status, mpsc::Receiver<Event>) {
        let held: Held = Arc::new(Mutex::new(Some(BTreeSet::new())));
        let status = Status::new("a1".parse().unwrap());
        let (sender, receiver) = mpsc::channel(1);
        let (api, page) = (Arc::clone(&held), status.clone());
        tokio::spawn(async move {
            let read = || ready(api.lock().unwrap().clone().ok_or("no answer"));
            follow(read, page, sender).await;
        });
        (held, status, receiver)
    }

    fn faults(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_policy_that_is_removed_later_raises_the_warning_and_its_return_clears_it() {
        let (held, status, mut events) = start();
        for expected in [faults(&[FAULT]), faults(&[])] {
            let silence = timeout(AGAIN * 3, events.recv()).await;
            assert!(silence.is_err(), "an event without a change: {silence:?}");
            *held.lock().unwrap() = Some(expected.clone());
            let changed = Instant::now();
            let event = events.recv().await.unwrap();
            assert!(changed.elapsed() <= AGAIN, "{:?}", changed.elapsed());
            let Event::Faults(FaultSource::AdmissionPolicies, missing) = event else { panic!("{event:?}") };
            assert_eq!(missing, expected.iter().cloned().map(Fault::PolicyMissing).collect());
            assert_eq!(status.page().policy_faults, expected);
            let gauge = format!("carrick_admission_policy_faults {}", expected.len());
            assert!(status.metrics().encode().unwrap().contains(&gauge), "{gauge}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_stays_while_the_api_server_does_not_answer() {
        let (held, status, mut events) = start();
        *held.lock().unwrap() = Some(faults(&[FAULT]));
        events.recv().await.unwrap();
        *held.lock().unwrap() = None;
        assert!(timeout(AGAIN * 3, events.recv()).await.is_err());
        assert_eq!(status.page().policy_faults, faults(&[FAULT]));
        *held.lock().unwrap() = Some(faults(&[]));
        let answered = Instant::now();
        events.recv().await.unwrap();
        assert!(answered.elapsed() <= LONGEST_RETRY * 5 / 4, "{:?}", answered.elapsed());
    }
}
