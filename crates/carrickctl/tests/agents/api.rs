//! An API server that lists Nodes and pods, and forwards one port as kubelets do (`v5.channel.k8s.io`).

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
pub const FAULTY: [&str; 6] = ["x-gone", "x-mute", "x-pending", "x-refused", "x-no-agent", "x-unreachable"];

/// The port of the agents' pages, in the form of the frames that open the channels.
const PORT: [u8; 2] = 1107_u16.to_le_bytes();
/// The channels for data and for errors.
const DATA: u8 = 0;
const ERROR: u8 = 1;

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
    let mut start = [0; 200];
    let length = stream.peek(&mut start).await.unwrap_or_default();
    let line = String::from_utf8_lossy(&start[..length]).lines().next().unwrap_or_default().to_owned();
    if line.contains("/portforward") {
        let pod = line.split('/').skip_while(|part| *part != "pods").nth(1).unwrap();
        forward(stream, pod, delay, &load).await;
    } else {
        list(stream, &names).await;
    }
}

/// Answers a request for a list and closes the connection, so that the client opens another one for forwarding.
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

async fn forward(mut stream: TcpStream, pod: &str, delay: Duration, load: &Load) {
    if pod.ends_with("x-unreachable") {
        let _gone = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    #[allow(clippy::result_large_err, reason = "the library's own type")]
    let choose = |request: &Request, mut response: Response| {
        let offered = request.headers()["sec-websocket-protocol"].to_str().unwrap().split(", ").next().unwrap();
        response.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
        Ok(response)
    };
    let (mut to, mut from) = accept_hdr_async(stream, choose).await.unwrap().split();
    for channel in [DATA, ERROR] {
        to.send(Message::binary(vec![channel, PORT[0], PORT[1]])).await.unwrap();
    }
    match pod.trim_start_matches("carrick-") {
        name if name.starts_with("x-mute") => std::future::pending().await,
        "x-refused" => {
            let error = b"failed to connect to localhost:1107 inside namespace: connection refused";
            to.send(Message::binary([&[ERROR], error.as_slice()].concat())).await.unwrap();
            std::future::pending::<()>().await;
        }
        node => {
            let (near, far) = tokio::io::duplex(1 << 16);
            let (mut received, mut sent) = tokio::io::split(far);
            let in_out = async {
                tokio::join!(
                    page::answer(near, node, delay, load),
                    async {
                        while let Some(Ok(Message::Binary(frame))) = from.next().await {
                            if frame.first() == Some(&DATA) && sent.write_all(&frame[1..]).await.is_err() {
                                return;
                            }
                        }
                    },
                    async {
                        let mut buffer = vec![0; 1 << 14];
                        while let Ok(length @ 1..) = received.read(&mut buffer).await {
                            let frame = [&[DATA], &buffer[..length]].concat();
                            if to.send(Message::binary(frame)).await.is_err() {
                                return;
                            }
                        }
                        let _closed = to.send(Message::Close(None)).await;
                    }
                )
            };
            in_out.await;
        }
    }
}
