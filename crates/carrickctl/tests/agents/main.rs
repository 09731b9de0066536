//! Access to many agents at the same time: through an API server that executes commands in pods, and through sockets.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]

mod api;
mod bench;
mod page;

use std::sync::Arc;
use std::time::{Duration, Instant};

use carrickctl::access::{Access, AccessOptions};
use carrickctl::snapshot::{Agent, Answer};

use api::FakeApi;
use page::Load;

const NODES: usize = 200;
/// The timeout of the agents. The first agents answer only after enough others are asked, and hold their permits for a tenth of it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A timeout at which no request gives up its permit.
const LONG_TIMEOUT: Duration = Duration::from_secs(3600);
/// The time that an agent takes to answer.
const DELAY: Duration = Duration::from_millis(50);

fn kubeconfig(address: std::net::SocketAddr) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\nclusters: [{{name: lab, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]\nusers: [{{name: lab, user: {{token: lab}}}}]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    file
}

fn error(agent: &Agent) -> String {
    match &agent.answer {
        Answer::Unreachable(error) => error.to_string(),
        Answer::Page(_) | Answer::NoAgent => panic!("{agent:?}"),
    }
}

#[tokio::test]
async fn two_hundred_agents_answer_through_the_api_server() {
    let load = Arc::new(Load::default());
    let api = FakeApi::start(NODES, &api::FAULTY, DELAY, load.clone()).await;
    let kubeconfig = kubeconfig(api.address);
    let options =
        AccessOptions { kubeconfig: Some(kubeconfig.path().to_owned()), timeout: TIMEOUT, ..AccessOptions::default() };
    let access = Access::open(&options).await.unwrap();
    let began = Instant::now();
    let snapshot = access.snapshot().await.unwrap();
    let unreachable: Vec<_> = snapshot.agents.iter().filter(|agent| agent.page().is_none()).collect();
    assert_eq!(snapshot.agents.len() - unreachable.len(), NODES, "{unreachable:?}");
    let slowest = snapshot.pages().map(|(agent, _)| agent.took).max().unwrap();
    eprintln!(
        "{NODES} agents that answer after {} ms, and some that do not: {:.2} s, the slowest answer {:.2} s",
        DELAY.as_millis(),
        began.elapsed().as_secs_f64(),
        slowest.as_secs_f64()
    );

    assert_eq!(snapshot.agents.len(), NODES + api::FAULTY.len());
    assert!(snapshot.agents.is_sorted_by_key(|agent| agent.name.clone()));
    assert_eq!(snapshot.objects.as_ref().unwrap().nodes.len(), NODES + api::FAULTY.len());

    let agent = |name: &str| snapshot.agent(name).unwrap();
    assert_eq!(error(agent("x-mute")), "no answer within 10 s");
    assert!(error(agent("x-pending")).contains("is Pending"), "{:?}", agent("x-pending"));
    assert!(error(agent("x-refused")).contains("no agent runs on this node"), "{:?}", agent("x-refused"));
    assert!(error(agent("x-old")).contains("is too old: it has no command `carrick page`"), "{:?}", agent("x-old"));
    assert!(error(agent("x-lost")).contains("the connection broke"), "{:?}", agent("x-lost"));
    let forbidden = error(agent("x-forbidden"));
    assert!(forbidden.contains("User \"eve\" cannot get resource \"pods/exec\""), "{forbidden}");
    assert!(forbidden.contains("`get` and `create` on `pods/exec` in the namespace carrick-system"), "{forbidden}");
    assert!(
        error(agent("x-gone")).contains("no agent pod runs on the node in the namespace carrick-system"),
        "{:?}",
        agent("x-gone")
    );
    let unreachable = error(agent("x-unreachable"));
    assert!(unreachable.contains("cannot execute `carrick page` in its pod"), "{unreachable}");
    assert!(unreachable.contains("i/o timeout"), "{unreachable}");
    assert!(matches!(agent("x-no-agent").answer, Answer::NoAgent));
    let metrics = access.fetch(agent("n000"), "/metrics").await.unwrap();
    assert_eq!(metrics, b"# EOF\n");
}

#[tokio::test]
async fn agents_that_do_not_answer_give_up_their_permits() {
    // No agent answers before all are asked, and there are more agents than permits.
    let all = page::MAX_CONCURRENT * 2 + 1;
    let directory = tempfile::tempdir().unwrap();
    let load = Arc::new(Load::of(all));
    let sockets = (0..all)
        .map(|number| page::behind_socket(directory.path(), number, Duration::ZERO, load.clone()).into())
        .collect();
    let timeout = 3 * TIMEOUT;
    let access = Access::open(&AccessOptions { sockets, timeout, ..AccessOptions::default() }).await.unwrap();
    let snapshot = access.snapshot().await.unwrap();
    assert_eq!(snapshot.pages().count(), all, "{:?}", snapshot.agents.iter().find(|agent| agent.page().is_none()));
}

#[tokio::test]
async fn agents_behind_sockets_are_asked_a_limited_number_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let load = Arc::new(Load::default());
    let sockets =
        (0..40).map(|number| page::behind_socket(directory.path(), number, DELAY, load.clone()).into()).collect();
    let access =
        Access::open(&AccessOptions { sockets, timeout: LONG_TIMEOUT, ..AccessOptions::default() }).await.unwrap();
    let snapshot = access.snapshot().await.unwrap();
    assert_eq!(snapshot.pages().count(), 40);
    assert_eq!(snapshot.agents[7].name, "n007");
    assert!(snapshot.objects.is_none());
    assert_eq!(load.most(), page::MAX_CONCURRENT);
}
