//! Preshared keys of peers, from Secrets in a namespace of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use carrick_topology::model::SecretReference;
use carrick_types::SecretKey;
use k8s_openapi::api::core::v1::Secret;
use kube::Resource as _;
use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;
use thiserror::Error;
use tokio::time::timeout;
use zeroize::{Zeroize as _, Zeroizing};

use crate::client::ApiClient;

/// The namespace of the Secrets with preshared keys. Agents may read every Secret there and no other ones.
pub const NAMESPACE: &str = "carrick-preshared-keys";

/// The answer must come within this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why there is no preshared key. No variant holds anything of the value.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The Secret or the key in it is not there; people have to make it.
    #[error("there is no key `{key}` in the Secret `{name}` of the namespace `{NAMESPACE}`")]
    Missing {
        /// The Secret.
        name: String,
        /// The key in its data.
        key: String,
    },
    /// The value is no preshared key.
    #[error(
        "the key `{key}` of the Secret `{name}` holds no preshared key: write 32 bytes in base64, as `wg genpsk` prints them"
    )]
    Invalid {
        /// The Secret.
        name: String,
        /// The key in its data.
        key: String,
    },
    /// The server refused, or could not be reached.
    #[error("cannot read the Secret: {0}")]
    Client(#[from] kube::Error),
    /// The server did not answer.
    #[error("cannot read the Secret: no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
}

/// Reads the preshared key that a Peer refers to.
///
/// # Errors
/// See [`SecretError`].
pub async fn preshared_key(api: &ApiClient, reference: &SecretReference) -> Result<SecretKey, SecretError> {
    let missing = || SecretError::Missing { name: reference.name.clone(), key: reference.key.clone() };
    let request = Request::new(Secret::url_path(&(), Some(NAMESPACE)))
        .get(&reference.name, &GetParams::default())
        .map_err(kube::Error::BuildRequest)?;
    // Not through `Api`: the client would log an answer that it cannot read.
    let answer = timeout(ANSWER_LIMIT, api.client().request_text(request)).await;
    let text = match answer.map_err(|_| SecretError::NoAnswer(ANSWER_LIMIT))? {
        Ok(text) => Zeroizing::new(text),
        Err(kube::Error::Api(status)) if status.code == 404 => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    let invalid = || SecretError::Invalid { name: reference.name.clone(), key: reference.key.clone() };
    let data = serde_json::from_str::<SecretData<'_>>(&text).map_err(|_| invalid())?.data;
    let value = data.get(reference.key.as_str()).ok_or_else(missing)?;
    key_in(value).ok_or_else(invalid)
}

/// The values are borrowed from the answer, so that no copy of them stays behind.
#[derive(Deserialize)]
struct SecretData<'a> {
    #[serde(borrow, default)]
    data: BTreeMap<&'a str, &'a str>,
}

/// A Secret's value: the key as `wg genpsk` prints it, or its 32 bytes, encoded once more as Kubernetes does.
fn key_in(value: &str) -> Option<SecretKey> {
    let outer = Zeroizing::new(STANDARD.decode(value).ok()?);
    if let Ok(bytes) = <[u8; 32]>::try_from(outer.as_slice()) {
        return Some(SecretKey::new(bytes));
    }
    let inner = Zeroizing::new(STANDARD.decode(outer.trim_ascii()).ok()?);
    let mut bytes = <[u8; 32]>::try_from(inner.as_slice()).ok()?;
    let key = SecretKey::new(bytes);
    bytes.zeroize();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_both_forms() {
        let bytes = [7; 32];
        let printed = STANDARD.encode(bytes);
        for value in [STANDARD.encode(bytes), STANDARD.encode(&printed), STANDARD.encode(format!("{printed}\n"))] {
            assert_eq!(key_in(&value).unwrap().expose(), &bytes);
        }
        for value in ["", "?", &printed[..40], &STANDARD.encode("short")] {
            assert_eq!(key_in(value), None, "{value}");
        }
    }
}
