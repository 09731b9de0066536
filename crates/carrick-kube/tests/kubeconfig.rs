//! Connections to an API server by kubeconfigs as people have them: through a proxy, and with certificates of several kinds.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use carrick_kube::client::ApiClient;
use carrick_kube::with_causes;

/// Answers each request with a Kubernetes version, and ends the connection.
fn answer(stream: &mut (impl Read + std::io::Write)) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let body = r#"{"major":"1","minor":"36","gitVersion":"v1.36.0","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
    let _ = write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}");
}

/// An API server without TLS, which runs until the process ends. Returns its port.
fn plain_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(|mut stream| answer(&mut stream)));
    port
}

/// An HTTP proxy that understands CONNECT, and connects to this port whatever the host's name is. Returns its port, and what it was asked for.
fn proxy(server: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let mut first = String::new();
            reader.read_line(&mut first).unwrap();
            seen.lock().unwrap().push(first.trim().to_owned());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            relay(client, TcpStream::connect(("127.0.0.1", server)).unwrap());
        }
    });
    (port, asked)
}

fn relay(mut client: TcpStream, server: TcpStream) {
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
    for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

/// A kubeconfig of one cluster with these fields.
fn kubeconfig(directory: &Path, cluster: &str) -> PathBuf {
    let path = directory.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nclusters: [{{name: c, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// The version of the API server, or why there is none.
async fn version(kubeconfig: &Path) -> Result<String, String> {
    let api = ApiClient::of_person(Some(kubeconfig), None).await.map_err(|error| error.to_string())?;
    let version = api.client().apiserver_version().await;
    version.map(|version| version.git_version).map_err(|error| with_causes(&error))
}

/// An API server with TLS, by openssl: it answers each request with its own page, which is no version.
struct TlsServer {
    process: Child,
    port: u16,
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate that is its own authority, as `openssl req -x509` makes it.
fn own_authority(directory: &Path, name: &str) {
    let names = "subjectAltName=DNS:api.example,IP:127.0.0.1";
    openssl(
        directory,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            names,
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.crt"),
        ],
    );
}

/// A certificate that the authority `authority` has signed, for these names.
fn signed(directory: &Path, name: &str, authority: &str, names: &str) {
    let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
    let new_key = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=api"];
    openssl(directory, &[&new_key[..], &["-keyout", &key, "-out", &request]].concat());
    fs::write(directory.join("extensions"), format!("basicConstraints=CA:FALSE\nsubjectAltName={names}\n")).unwrap();
    let (ca, ca_key) = (format!("{authority}.crt"), format!("{authority}.key"));
    let by = ["-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2", "-extfile", "extensions"];
    let out = format!("{name}.crt");
    openssl(directory, &[&["x509", "-req", "-in", &request, "-out", &out][..], &by].concat());
}

fn tls_server(directory: &Path, name: &str) -> TlsServer {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (address, key, certificate) = (format!("127.0.0.1:{port}"), format!("{name}.key"), format!("{name}.crt"));
    let process = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &address, "-key", &key, "-cert", &certificate])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    let until = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "openssl does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    TlsServer { process, port }
}

/// Whether TLS came about: the server's page is no version.
fn is_beyond_tls(result: &Result<String, String>) -> bool {
    result.as_ref().is_err_and(|text| !text.contains("certificate") && !text.contains("onnect"))
}

#[tokio::test]
async fn the_proxy_of_the_kubeconfig_is_used_for_a_host_that_only_the_proxy_knows() {
    let directory = tempfile::tempdir().unwrap();
    let (port, asked) = proxy(plain_server());
    let cluster = format!("server: 'http://api.example:8080', proxy-url: 'http://127.0.0.1:{port}'");
    let path = kubeconfig(directory.path(), &cluster);
    assert_eq!(version(&path).await.as_deref(), Ok("v1.36.0"));
    assert_eq!(asked.lock().unwrap()[0], "CONNECT api.example:8080 HTTP/1.1");
}

#[tokio::test]
async fn without_a_proxy_the_connection_is_direct() {
    let directory = tempfile::tempdir().unwrap();
    let path = kubeconfig(directory.path(), &format!("server: 'http://127.0.0.1:{}'", plain_server()));
    assert_eq!(version(&path).await.as_deref(), Ok("v1.36.0"));
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_refused_with_what_to_change() {
    let directory = tempfile::tempdir().unwrap();
    own_authority(directory.path(), "authority");
    let server = tls_server(directory.path(), "authority");
    let path = kubeconfig(
        directory.path(),
        &format!("server: 'https://127.0.0.1:{}', certificate-authority: authority.crt", server.port),
    );
    let error = version(&path).await.unwrap_err();
    assert!(error.contains("CA:FALSE") && error.contains("--tls-cert-file"), "{error}");
}

#[tokio::test]
async fn a_signed_certificate_is_accepted_by_its_names_alone() {
    let directory = tempfile::tempdir().unwrap();
    own_authority(directory.path(), "authority");
    own_authority(directory.path(), "stranger");
    signed(directory.path(), "server", "authority", "DNS:api.example");
    let server = tls_server(directory.path(), "server");
    let with =
        |more: &str| kubeconfig(directory.path(), &format!("server: 'https://127.0.0.1:{}', {more}", server.port));
    let named = version(&with("certificate-authority: authority.crt, tls-server-name: api.example")).await;
    assert!(is_beyond_tls(&named), "{named:?}");
    let unnamed = version(&with("certificate-authority: authority.crt")).await.unwrap_err();
    assert!(unnamed.contains("tls-server-name"), "{unnamed}");
    let unverified = version(&with("insecure-skip-tls-verify: true")).await;
    assert!(is_beyond_tls(&unverified), "{unverified:?}");
    let stranger = version(&with("certificate-authority: stranger.crt, tls-server-name: api.example")).await;
    let stranger = stranger.unwrap_err();
    assert!(stranger.contains("has not signed"), "{stranger}");
}
