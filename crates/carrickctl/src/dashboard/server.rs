//! The HTTP server of the page, for browsers on this machine.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::collector::Latest;

/// The page loads nothing from other origins and runs only its own scripts.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const JSON: &str = "application/json";

/// The routes of the server.
pub(super) fn pages(latest: Latest) -> Router {
    let file =
        |media: &'static str, text: &'static str| get(move || async move { ([(header::CONTENT_TYPE, media)], text) });
    Router::new()
        .route("/", file(HTML, include_str!("page/index.html")))
        .route("/style.css", file(CSS, include_str!("page/style.css")))
        .route("/script.js", file(SCRIPT, include_str!("page/script.js")))
        .route("/map.js", file(SCRIPT, include_str!("page/map.js")))
        .route("/words.js", file(SCRIPT, include_str!("page/words.js")))
        .route("/icon.svg", file(SVG, include_str!("page/icon.svg")))
        .route("/data.json", get(data))
        .with_state(latest)
        .layer(middleware::from_fn(check_host))
}

async fn data(State(latest): State<Latest>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], latest.json().await.to_string()).into_response()
}

/// Accepts requests whose `Host` is an address or `localhost`. This rejects requests of another site whose name resolves to this machine
/// (DNS rebinding), because they contain the name of that site.
async fn check_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let mut response = if host.is_some_and(is_trusted) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "Open this page by its address, or as localhost.\n").into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_trusted(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name == "localhost"
        || name.parse::<Ipv4Addr>().is_ok()
        || bare.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_trusted_hosts() {
        for host in ["localhost", "localhost:1108", "127.0.0.1:1108", "[::1]:1108", "10.4.0.1", "[fd00::1]"] {
            assert!(is_trusted(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:1108",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "me@127.0.0.1@x",
            "::1",
        ] {
            assert!(!is_trusted(host), "{host}");
        }
    }
}
