//! An error with all that led to it, in one line.

use std::error::Error;

use kube::core::Status;

/// What to do about a certificate that the TLS library refuses and that `kubectl` may accept: a part of the library's text, and the advice.
const CERTIFICATE_FAULTS: [(&str, &str); 5] = [
    (
        "CaUsedAsEndEntity",
        "the API server uses the certificate of a certificate authority itself; give it a certificate that this authority has signed (`basicConstraints = CA:FALSE`), by --tls-cert-file of kube-apiserver",
    ),
    (
        "UnsupportedCertVersion",
        "the certificate has X.509 version 1; issue it again with version 3 and a subjectAltName",
    ),
    (
        "not valid for name",
        "the certificate does not name the host in the server's URL; issue it with this subjectAltName, or set `tls-server-name` in the kubeconfig",
    ),
    ("BadSignature", "the kubeconfig's certificate-authority has not signed the API server's certificate"),
    ("UnknownIssuer", "the kubeconfig's certificate-authority has not signed the API server's certificate"),
];

/// What to do about the API server's certificate, if an error's text says that it is refused.
pub(crate) fn certificate_advice(text: &str) -> Option<&'static str> {
    let known = CERTIFICATE_FAULTS.into_iter().find(|(fault, _)| text.contains(fault));
    known.map(|(_, advice)| advice)
}

/// The text of an error and of its sources, and what to do about a refused certificate. A text that contains the text of its source is
/// shown once.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(status) = status_of(error) {
            text = text.replace(&format!("ApiError: {status} ({status:?})"), &status.to_string());
        }
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    match certificate_advice(&text) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

/// The answer of the API server, which `kube` prints with the name of the type and as Rust would print it.
fn status_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Status> {
    error.downcast_ref::<Status>().or_else(|| error.downcast_ref::<Box<Status>>().map(AsRef::as_ref))
}

#[cfg(test)]
mod tests {
    use kube::core::ListMeta;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read the Peers: {0}")]
    struct Reading(#[source] kube::Error);

    #[test]
    fn an_answer_of_the_api_server_is_its_message() {
        let status = Status {
            metadata: Some(ListMeta::default()),
            ..Status::failure("peers.carrick.dev is forbidden", "Forbidden").with_code(403)
        };
        let text = with_causes(&Reading(kube::Error::Api(Box::new(status))));
        assert_eq!(text, "read the Peers: peers.carrick.dev is forbidden: Forbidden");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the list cannot be read")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))")]
    struct Certificate;

    #[test]
    fn a_certificate_that_is_its_own_authority_is_explained() {
        let text = with_causes(&Certificate);
        assert!(text.contains("CA:FALSE") && text.starts_with("invalid peer certificate"), "{text}");
    }

    #[test]
    fn what_failed_comes_before_why() {
        assert_eq!(with_causes(&Outer(Inner)), "the list cannot be read: connection refused");
        assert_eq!(with_causes(&Inner), "connection refused");
    }
}
