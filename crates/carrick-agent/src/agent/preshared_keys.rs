//! Preshared keys from the Secrets that the plan names. The agent reads them again from time to time, to take changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_kube::client::ApiClient;
use carrick_kube::secrets::preshared_key;
use carrick_netlink::wireguard::SecretKey;
use carrick_topology::model::SecretReference;
use tokio::sync::watch;

/// How often Secrets are read again. Watching them would need the right to list all of them.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// Keys by the Secret that holds them.
pub(super) type Keys = BTreeMap<SecretReference, SecretKey>;

/// The keys that are known, kept up to date in the background.
#[derive(Debug)]
pub(super) struct PresharedKeys {
    wanted: watch::Sender<BTreeSet<SecretReference>>,
    known: watch::Receiver<Keys>,
}

impl PresharedKeys {
    /// Starts the task that reads Secrets; it ends with this.
    pub(super) fn start(client: ApiClient) -> Self {
        let (wanted, wishes) = watch::channel(BTreeSet::new());
        let (found, known) = watch::channel(Keys::new());
        tokio::spawn(read(client, wishes, found));
        Self { wanted, known }
    }

    /// Sets the keys to read.
    pub(super) fn want(&self, references: BTreeSet<SecretReference>) {
        self.wanted.send_replace(references);
    }

    /// Waits until a key became known or changed.
    pub(super) async fn changed(&mut self) {
        if self.known.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// The keys that were read.
    pub(super) fn known(&self) -> Keys {
        self.known.borrow().clone()
    }
}

async fn read(client: ApiClient, mut wishes: watch::Receiver<BTreeSet<SecretReference>>, found: watch::Sender<Keys>) {
    loop {
        let wanted = wishes.borrow_and_update().clone();
        for reference in &wanted {
            match preshared_key(&client, reference).await {
                Ok(key) => {
                    found.send_if_modified(|known| known.insert(reference.clone(), key.clone()) != Some(key.clone()));
                }
                // What is known stays in force: an API that is away must not cut a peer off.
                Err(error) => tracing::warn!(event = "preshared_key_unreadable", %error),
            }
        }
        let pause = async {
            match wanted.is_empty() {
                true => std::future::pending().await,
                false => tokio::time::sleep(REFRESH_INTERVAL).await,
            }
        };
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}
