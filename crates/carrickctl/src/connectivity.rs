//! `carrickctl test`: pods of its own in each location ask each other, and what does not answer is named.
//!
//! ```text
//! Snapshot ──ends──▶ End, one in each location ──servers──▶ TestNamespace ──addresses──▶ targets of each client
//!     ──`carrick connectivity-client` in each pod──▶ outcomes ──Connectivity──▶ table, and the findings of doctor
//! ```

mod ends;
mod report;
mod targets;

use std::time::{Duration, Instant};

use carrick_kube::agents::ExecEnd;
use carrick_kube::test_pods::{TestAddresses, TestNamespace, TestPodsError};
use carrick_kube::with_causes;
use clap::Args;

use crate::access::{Access, AccessOptions, seconds};
use crate::doctor::{self, DoctorOptions};
use crate::failure::Failure;
use ends::{End, ends, servers};
use report::Outcome;
pub use report::{Asked, Connectivity};
pub use targets::Check;
use targets::targets;

/// The time between two looks at the pods.
const INTERVAL: Duration = Duration::from_millis(500);

/// Options of `carrickctl test`.
#[derive(Args, Clone, Debug)]
pub struct TestOptions {
    /// The image of the pods [default: that of the agents].
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// How long the pods may take to start, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub start_within: Duration,
}

/// Runs the test and removes its pods. `report` gets a line for each step.
///
/// # Errors
/// The mesh has no two nodes that can be tested, the pods do not start, or the API server refused.
pub async fn run(
    access: &AccessOptions,
    options: &TestOptions,
    report: impl Fn(&str),
) -> Result<Connectivity, Failure> {
    let opened = Access::open(access).await?;
    let Some(client) = opened.api_client() else {
        return Err(Failure::Usage(
            "test makes pods: it needs a kubeconfig, and not `--local`, `--socket` or `-f`".to_owned(),
        ));
    };
    let ends = ends(&opened.snapshot().await?, options.image.as_deref())?;
    let names: Vec<_> = ends.iter().map(|end| format!("{} ({})", end.node, end.location)).collect();
    let namespace = TestNamespace::create(&client).await.map_err(|error| refused(&error))?;
    report(&format!("namespace {}: pods on {}", namespace.name, names.join(", ")));
    let asked = tokio::select! {
        asked = ask_all(&namespace, &ends, options.start_within, &report) => asked,
        _ = tokio::signal::ctrl_c() => Err(Failure::Unreachable("interrupted".to_owned())),
    };
    if let Err(error) = namespace.delete().await {
        report(&format!(
            "delete the namespace yourself: kubectl delete namespace {}: {}",
            namespace.name,
            with_causes(&error)
        ));
    }
    let mut connectivity = Connectivity::new(asked?);
    if connectivity.has_failures() {
        report("something does not answer; asking doctor");
        connectivity.doctor = doctor::run(access, &DoctorOptions::default()).await.ok();
    }
    Ok(connectivity)
}

async fn ask_all(
    namespace: &TestNamespace,
    ends: &[End],
    start_within: Duration,
    report: &impl Fn(&str),
) -> Result<Vec<Asked>, Failure> {
    for server in servers(ends) {
        namespace.start(&server).await.map_err(|error| refused(&error))?;
    }
    let addresses = started(namespace, start_within, report).await?;
    let mut asked = Vec::new();
    for (number, end) in ends.iter().enumerate() {
        let targets = targets(ends, number, &addresses, &namespace.name);
        let command: Vec<String> = ["carrick".to_owned(), "connectivity-client".to_owned()]
            .into_iter()
            .chain(targets.iter().map(|target| target.to_string()))
            .collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        report(&format!("{} asks {} targets", end.node, targets.len()));
        let outcomes = match namespace.execute(&End::pod_name(number), &command).await {
            Ok(executed) if executed.end == ExecEnd::Success => {
                serde_json::from_slice::<Vec<Outcome>>(&executed.stdout)
                    .map_err(|error| format!("the answer of the client cannot be read: {error}"))
            }
            Ok(executed) => Err(format!("the client failed: {:?} {}", executed.end, executed.stderr)),
            Err(error) => Err(with_causes(&error)),
        };
        asked.extend(Asked::of(end, ends, targets, outcomes));
    }
    Ok(asked)
}

/// Waits until all pods run.
async fn started(
    namespace: &TestNamespace,
    within: Duration,
    report: &impl Fn(&str),
) -> Result<TestAddresses, Failure> {
    let began = Instant::now();
    let mut said = String::new();
    loop {
        let addresses = namespace.addresses().await.map_err(|error| refused(&error))?;
        if addresses.waiting.is_empty() {
            return Ok(addresses);
        }
        let waiting: Vec<_> = addresses.waiting.iter().map(|(name, state)| format!("{name}: {state}")).collect();
        let waiting = waiting.join("; ");
        if began.elapsed() > within {
            let text = format!("pods of the test did not start within {} s: {waiting}", within.as_secs());
            return Err(Failure::Unreachable(text));
        }
        if waiting != said {
            report(&waiting);
            said = waiting;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn refused(error: &TestPodsError) -> Failure {
    Failure::Unreachable(with_causes(error))
}
