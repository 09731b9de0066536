//! An API server that lists Nodes and pods, and executes a command as kubelets do (`v5.channel.k8s.io`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::page::{self, Load};

/// Nodes whose agents do not answer, each for another reason.
pub const FAULTY: [&str; 9] =
    ["x-forbidden", "x-gone", "x-lost", "x-mute", "x-no-agent", "x-old", "x-pending", "x-refused", "x-unreachable"];

/// The channels of a command (`k8s.io/apimachinery/pkg/util/remotecommand`).
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

pub struct FakeApi {
    pub address: SocketAddr,
}

impl FakeApi {
    /// Starts with a number of agents that answer, and others with the given names.
    pub async fn start(nodes: usize, others: &[&str], delay: Duration, load: Arc<Load>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let names = (0..nodes).map(|number| format!("n{number:03}"));
        let names: Arc<Vec<String>> = Arc::new(names.chain(others.iter().map(ToString::to_string)).collect());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, names.clone(), delay, load.clone()));
            }
        });
        Self { address }
    }
}

async fn serve(stream: TcpStream, names: Arc<Vec<String>>, delay: Duration, load: Arc<Load>) {
    let mut start = [0; 400];
    let length = stream.peek(&mut start).await.unwrap_or_default();
    let line = String::from_utf8_lossy(&start[..length]).lines().next().unwrap_or_default().to_owned();
    if line.contains("/exec?") {
        let pod = line.split('/').skip_while(|part| *part != "pods").nth(1).unwrap();
        let query = line.split(['?', ' ']).nth(2).unwrap();
        execute(stream, query, pod.trim_start_matches("carrick-"), delay, &load).await;
    } else {
        list(stream, &names).await;
    }
}

/// Answers a request for a list and closes the connection, so that the client opens another one for a command.
async fn list(mut stream: TcpStream, names: &[String]) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap();
    let (status, body) = if path.starts_with("/api/v1/nodes") {
        assert!(head.to_lowercase().contains("partialobjectmetadata"), "{head}");
        ("200 OK", nodes(names))
    } else if path.starts_with("/api/v1/namespaces/carrick-system/pods") {
        ("200 OK", pods(names))
    } else {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no"});
        ("404 Not Found", body)
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _closed = stream.write_all((head + &body).as_bytes()).await;
}

fn nodes(names: &[String]) -> Value {
    let of = |name: &str| {
        let annotations = if name == "x-no-agent" { json!({}) } else { json!({"carrick.dev/public-key": "a key"}) };
        json!({"metadata": {"name": name, "annotations": annotations}})
    };
    let items: Vec<Value> = names.iter().map(|name| of(name)).collect();
    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

fn pods(names: &[String]) -> Value {
    let of = |name: &str| {
        let phase = if name == "x-pending" { "Pending" } else { "Running" };
        json!({"metadata": {"name": format!("carrick-{name}"), "namespace": "carrick-system"},
            "spec": {"nodeName": name, "containers": [{"name": "carrick", "image": "carrick"}]}, "status": {"phase": phase}})
    };
    let with_pods = names.iter().filter(|name| !matches!(name.as_str(), "x-gone" | "x-no-agent"));
    let items: Vec<Value> = with_pods.map(|name| of(name)).collect();
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
}

/// Executes `carrick page --include PAGE` in a pod, as far as this is possible.
async fn execute(mut stream: TcpStream, query: &str, pod: &str, delay: Duration, load: &Load) {
    let refusal = match pod {
        "x-unreachable" => Some((
            "502 Bad Gateway",
            json!({"kind": "Status", "status": "Failure", "code": 502,
            "message": "dial tcp 10.0.0.1:10250: i/o timeout"}),
        )),
        "x-forbidden" => Some((
            "403 Forbidden",
            json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": "pods \"carrick-x-forbidden\" is forbidden: User \"eve\" cannot get resource \"pods/exec\""}),
        )),
        _ => None,
    };
    if let Some((status, body)) = refusal {
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        let _gone = stream.write_all((head + &body).as_bytes()).await;
        return;
    }
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let choose = |request: &Request, mut response: Response| {
        let offered = request.headers()["sec-websocket-protocol"].to_str().unwrap().split(", ").next().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
        Ok(response)
    };
    let (mut to, mut from) = accept_hdr_async(stream, choose).await.unwrap().split();
    for channel in [STDOUT, STDERR, STATUS] {
        to.send(Message::binary(vec![channel])).await.unwrap();
    }
    let end = match pod {
        name if name.starts_with("x-mute") => std::future::pending().await,
        "x-lost" => return,
        "x-old" => exit_status(2),
        "x-refused" => {
            let error = b"/run/carrick/agent.sock: Connection refused (no agent runs on this node)\n";
            to.send(Message::binary([&[STDERR], error.as_slice()].concat())).await.unwrap();
            exit_status(1)
        }
        node => {
            let words: Vec<&str> = query.split('&').filter_map(|word| word.strip_prefix("command=")).collect();
            assert_eq!(words[..3], ["carrick", "page", "--include"], "{query}");
            let path = words[3].replace("%2F", "/");
            for part in page::response(&path, node, delay, load).await.as_bytes().chunks(1 << 14) {
                to.send(Message::binary([&[STDOUT], part].concat())).await.unwrap();
            }
            json!({"metadata": {}, "status": "Success"})
        }
    };
    to.send(Message::binary([&[STATUS], end.to_string().as_bytes()].concat())).await.unwrap();
    let _closed = to.send(Message::Close(None)).await;
    while let Some(Ok(_)) = from.next().await {}
}

/// The last message about a command with another exit status than 0, as kubelets send it.
fn exit_status(code: i32) -> Value {
    json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}})
}
