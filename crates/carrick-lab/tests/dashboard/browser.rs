//! A headless Chromium, driven by the W3C WebDriver protocol: JSON over HTTP/1.1, of which a page needs six commands.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The size of the window, in pixels.
const WINDOW: (u32, u32) = (1280, 1140);

/// A browser with one window. Dropping it closes it.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts the driver, which starts the browser.
    pub fn start() -> Result<Self> {
        let mut driver = bound("unshare")
            // The browser's many processes end with the first one of their namespace.
            .args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "chromedriver", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start chromedriver; Debian's package is chromium-driver")?;
        let port = announced_port(&mut driver)?;
        let profile = tempfile::tempdir()?;
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            // Its sandbox refuses root.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--no-proxy-server".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={},{}", WINDOW.0, WINDOW.1),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let session = browser.command("POST", "/session", &json!({"capabilities": {"alwaysMatch": capabilities}}))?;
        browser.session = session["sessionId"].as_str().context("the driver gives no session")?.to_owned();
        Ok(browser)
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, address: &str) -> Result<()> {
        self.of_session("url", &json!({ "url": address })).map(drop)
    }

    /// Runs the body of a function in the page and returns its result.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.of_session("execute/sync", &json!({"script": script, "args": []}))
    }

    /// Presses and releases a key, by its code point in the protocol.
    pub fn press(&self, key: char) -> Result<()> {
        let strokes = ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        self.of_session("actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}))
            .map(drop)
    }

    /// What the page and the browser wrote to the console since the last call, of every level but debug and info.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let log = self.of_session("se/log", &json!({"type": "browser"}))?;
        let entries = log.as_array().context("the driver gives no log")?;
        let complaints = entries.iter().filter(|entry| !matches!(entry["level"].as_str(), Some("INFO" | "DEBUG")));
        Ok(complaints.map(ToString::to_string).collect())
    }

    /// The window as PNG.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        let path = format!("/session/{}/screenshot", self.session);
        let picture = self.command("GET", &path, &Value::Null)?;
        let text = picture.as_str().context("the driver gives no picture")?;
        Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
    }

    fn of_session(&self, command: &str, body: &Value) -> Result<Value> {
        self.command("POST", &format!("/session/{}/{command}", self.session), body)
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            self.port,
            body.len()
        );
        let (status, answer) = exchange(self.port, &(head + &body))?;
        let value =
            serde_json::from_str::<Value>(&answer).with_context(|| format!("{path}: {answer}"))?["value"].take();
        ensure!(status == 200, "{method} {path}: {status} {value}");
        Ok(value)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _closed = self.command("DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ended = self.driver.kill().and_then(|()| self.driver.wait());
    }
}

/// A command that the kernel kills when the thread that started it ends.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    command
}

/// The port that the driver printed.
fn announced_port(driver: &mut Child) -> Result<u16> {
    let output = driver.stdout.take().context("the driver has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().with_context(|| line.clone());
        }
    }
    anyhow::bail!("the driver ends without having started")
}

/// Sends a request to a port of this machine. Returns the answer's status and body.
pub fn exchange(port: u16, request: &str) -> Result<(u16, String)> {
    let (status, _, body) = exchange_whole(port, request)?;
    Ok((status, body))
}

/// Like [`exchange`], with the answer's head.
pub fn exchange_whole(port: u16, request: &str) -> Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "the answer breaks off: {head}");
    }
    let head = head.to_lowercase();
    let status = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")).context("the answer has no length")?;
    let mut body = vec![0; length.trim().parse()?];
    reader.read_exact(&mut body)?;
    Ok((status, head, String::from_utf8(body)?))
}
