//! Which HTTP proxy leads to the API server: the rules of Go's `golang.org/x/net/http/httpproxy`, which kubectl follows.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;
use thiserror::Error;

/// Why a proxy cannot be used.
#[derive(Debug, Error)]
#[error(
    "`{value}` ({source_name}) is not the URL of a proxy; write `http://HOST:PORT`, `https://HOST:PORT` or `socks5://HOST:PORT`"
)]
pub struct ProxyError {
    value: String,
    source_name: &'static str,
}

/// The variables of the environment that name proxies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    https_proxy: Option<String>,
    http_proxy: Option<String>,
    no_proxy: Option<String>,
}

impl Environment {
    /// Those of this process. Upper case wins.
    pub(crate) fn of_process() -> Self {
        let read = |upper: &str, lower: &str| {
            let value = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
            value(upper).or_else(|| value(lower))
        };
        Self {
            https_proxy: read("HTTPS_PROXY", "https_proxy"),
            http_proxy: read("HTTP_PROXY", "http_proxy"),
            no_proxy: read("NO_PROXY", "no_proxy"),
        }
    }
}

/// The proxy for a server; `None` for a direct connection. `proxy_url` of a kubeconfig counts before the environment.
///
/// # Errors
/// The proxy that counts is no URL of a proxy.
pub(crate) fn proxy_of(
    server: &Uri,
    proxy_url: Option<&str>,
    environment: &Environment,
) -> Result<Option<Uri>, ProxyError> {
    if let Some(url) = proxy_url {
        return parse(url, "proxy-url in the kubeconfig").map(Some);
    }
    let (value, name) = if server.scheme_str() == Some("http") {
        (&environment.http_proxy, "HTTP_PROXY")
    } else {
        (&environment.https_proxy, "HTTPS_PROXY")
    };
    match value {
        Some(value) if !is_direct(server, environment.no_proxy.as_deref().unwrap_or_default()) => {
            parse(value, name).map(Some)
        }
        _ => Ok(None),
    }
}

fn parse(value: &str, source_name: &'static str) -> Result<Uri, ProxyError> {
    let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let url = text.parse::<Uri>().ok().filter(|url| {
        url.host().is_some_and(|host| !host.is_empty()) && matches!(url.scheme_str(), Some("http" | "https" | "socks5"))
    });
    url.ok_or_else(|| ProxyError { value: without_password(value), source_name })
}

/// The text without what is before `@`, which may be a password.
fn without_password(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => value.to_owned(),
    }
}

/// Whether no proxy leads to the server: it is on this machine, or `NO_PROXY` names it.
fn is_direct(server: &Uri, no_proxy: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    no_proxy.split(',').map(str::trim).any(|entry| matches(&entry.to_ascii_lowercase(), &host, address, port))
}

fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let (Ok(network), Some(address)) = (entry.parse::<IpNet>(), address) {
        return network.contains(&address);
    }
    let (name, wanted_port) = split_port(entry);
    if name.is_empty() || wanted_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let Ok(wanted) = name.parse::<IpAddr>() {
        return address == Some(wanted);
    }
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

/// The host of an entry, and its port if there is one.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if entry.parse::<IpAddr>().is_ok() {
        return (entry, None);
    }
    match entry.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host.trim_matches(['[', ']']), Some(port)),
        None => (entry.trim_matches(['[', ']']), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(no_proxy: &str) -> Environment {
        Environment {
            https_proxy: Some("http://secure-proxy:3128".to_owned()),
            http_proxy: Some("plain-proxy:3128".to_owned()),
            no_proxy: Some(no_proxy.to_owned()),
        }
    }

    fn used(server: &str, no_proxy: &str) -> Option<String> {
        let proxy = proxy_of(&server.parse().unwrap(), None, &environment(no_proxy)).unwrap();
        proxy.map(|url| url.host().unwrap().to_owned())
    }

    #[test]
    fn the_scheme_of_the_server_decides_which_variable_counts() {
        assert_eq!(used("https://api.example:6443", "").as_deref(), Some("secure-proxy"));
        assert_eq!(used("http://api.example:8080", "").as_deref(), Some("plain-proxy"));
        let none = proxy_of(&"https://api.example".parse().unwrap(), None, &Environment::default());
        assert_eq!(none.unwrap(), None);
    }

    #[test]
    fn no_proxy_names_hosts_domains_addresses_networks_and_ports() {
        for (server, no_proxy) in [
            ("https://api.example:6443", "*"),
            ("https://api.example:6443", "other, api.example"),
            ("https://api.example:6443", "example"),
            ("https://api.example:6443", ".example"),
            ("https://api.example:6443", "*.example"),
            ("https://API.Example:6443", "api.example:6443"),
            ("https://192.0.2.7:6443", "192.0.2.0/24"),
            ("https://192.0.2.7:6443", "192.0.2.7"),
            ("https://[2001:db8::7]:6443", "2001:db8::/32"),
            ("https://[2001:db8::7]:6443", ",[2001:db8::7]:6443,"),
            ("https://127.0.0.1:6443", ""),
            ("https://localhost:6443", ""),
        ] {
            assert_eq!(used(server, no_proxy), None, "{server} {no_proxy}");
        }
        for (server, no_proxy) in [
            ("https://api.example:6443", "api.example:443"),
            ("https://badexample:6443", "example"),
            ("https://example:6443", ".example"),
            ("https://192.0.2.7:6443", "192.0.3.0/24,198.51.100.1"),
            ("https://api.example:6443", "10.0.0.0/8,,localhost,"),
        ] {
            assert!(used(server, no_proxy).is_some(), "{server} {no_proxy}");
        }
    }

    #[test]
    fn the_kubeconfigs_proxy_counts_before_the_environment_and_no_proxy() {
        let server = "https://127.0.0.1:6443".parse().unwrap();
        let proxy = proxy_of(&server, Some("socks5://named:1080"), &environment("*")).unwrap().unwrap();
        assert_eq!(proxy.host(), Some("named"));
    }

    #[test]
    fn a_proxy_that_is_no_url_is_named_without_its_password() {
        let server: Uri = "https://api.example".parse().unwrap();
        for bad in ["ftp://user:secret@proxy:21", "http://"] {
            let error = proxy_of(&server, Some(bad), &Environment::default()).unwrap_err().to_string();
            assert!(error.contains("proxy-url") && !error.contains("secret"), "{error}");
        }
    }
}
