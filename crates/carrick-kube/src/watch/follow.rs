//! Lists a resource and follows its changes, until its receiver is dropped.
//!
//! `kube::runtime::watcher` does the same, but tells neither that a watch stands again after a failure nor that a bookmark came; on a
//! quiet resource nothing else says that the connection lives. Here both are signals, every request has a limit, and silence ends a watch.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use carrick_backoff::Backoff;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::causes::with_causes;
use crate::client::ApiClient;

/// A signal about a followed resource.
#[derive(Debug)]
pub(crate) enum Signal<K> {
    /// The first page of a list came; what an earlier list named counts no more.
    ListBegins,
    /// An object of the list.
    Listed(K),
    /// The list is complete.
    ListEnds,
    /// The server has accepted a watch.
    Connected,
    /// Nothing changed, and the connection is alive.
    Alive,
    /// An object was added or changed.
    Applied(K),
    /// An object was deleted.
    Deleted(K),
    /// A request failed. The next one follows after a pause.
    Failed(FollowError),
}

/// Why a list or a watch ended too early.
#[derive(Debug, Error)]
pub(crate) enum FollowError {
    /// The server answered with an error, or not at all.
    #[error("{}", with_causes(.0))]
    Client(#[from] kube::Error),
    /// No answer within the limit.
    #[error("no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// Neither change nor bookmark within the limit.
    #[error("a watch was silent for {} s", .0.as_secs())]
    Silence(Duration),
    /// The server ended a watch as soon as it had begun.
    #[error("the server ended a watch at once")]
    EndedAtOnce,
}

/// Limits on what the server may take, and how the client spreads its requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Objects per page of a list.
    pub page_size: u32,
    /// A list's page or the answer to any other request must come within this time.
    pub answer: Duration,
    /// A watch must bring a change or a bookmark within this time; the API server sends a bookmark each minute.
    pub silence: Duration,
    /// How long the server should let a watch run, in seconds, below 295.
    pub watch_seconds: u32,
    /// The first delay after a failure.
    pub least_delay: Duration,
    /// The longest delay after a failure.
    pub most_delay: Duration,
    /// The delay after the server said that it has no such resource, or that it may not be read.
    pub absent_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            page_size: 100,
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(100),
            watch_seconds: 290,
            least_delay: Duration::from_millis(250),
            most_delay: Duration::from_secs(30),
            absent_delay: Duration::from_secs(30),
        }
    }
}

impl FollowError {
    /// The HTTP status, where the server answered.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Client(kube::Error::Api(status)) => Some(status.code),
            Self::Client(_) | Self::NoAnswer(_) | Self::Silence(_) | Self::EndedAtOnce => None,
        }
    }

    /// The version is too old: a new list is needed.
    fn has_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// The resource is not there, or not for us.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.code(), Some(403..=405))
    }
}

/// Lists and watches the objects that `fields` selects. Sends signals until their receiver is dropped.
pub(crate) async fn follow<K>(
    api: Api<K>,
    fields: Option<String>,
    limits: Limits,
    client: ApiClient,
    signals: mpsc::Sender<Signal<K>>,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let (mut backoff, began) = (Backoff::new(limits.least_delay, limits.most_delay), Instant::now());
    let follower = Follower { api, fields, limits, signals };
    let mut version = None;
    loop {
        let error = match follower.go_on(&mut version).await {
            Ok(()) => continue,
            Err(Ended::NoReceiver) => return,
            Err(Ended::Failed(error)) => error,
        };
        backoff.settle(began.elapsed(), follower.limits.most_delay * 2);
        let mut delay = backoff.delay(began.elapsed(), rand::random());
        if error.is_refusal() {
            delay = delay.max(follower.limits.absent_delay.mul_f64(1.0 - rand::random::<f64>() / 4.0));
        }
        if error.has_expired() {
            version = None;
        } else if !matches!(error, FollowError::EndedAtOnce)
            && follower.signals.send(Signal::Failed(error)).await.is_err()
        {
            return;
        }
        client.pause(delay).await;
    }
}

struct Follower<K> {
    api: Api<K>,
    fields: Option<String>,
    limits: Limits,
    signals: mpsc::Sender<Signal<K>>,
}

enum Ended {
    NoReceiver,
    Failed(FollowError),
}

impl From<FollowError> for Ended {
    fn from(error: FollowError) -> Self {
        Self::Failed(error)
    }
}

impl From<kube::Error> for Ended {
    fn from(error: kube::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl<K: Resource + Clone + Debug + DeserializeOwned + Send + 'static> Follower<K> {
    /// Lists, if no version is known, then watches until the server ends the watch in good order.
    async fn go_on(&self, version: &mut Option<String>) -> Result<(), Ended> {
        let start = match version {
            Some(version) => version.clone(),
            None => version.insert(self.list().await?).clone(),
        };
        self.watch(start, version).await
    }

    /// The version of the list.
    async fn list(&self) -> Result<String, Ended> {
        let mut parameters = ListParams::default().limit(self.limits.page_size);
        parameters.field_selector.clone_from(&self.fields);
        let mut begun = false;
        loop {
            let page = self.within_limit(self.api.list(&parameters)).await?;
            if !begun {
                self.send(Signal::ListBegins).await?;
                begun = true;
            }
            for object in page.items {
                self.send(Signal::Listed(object)).await?;
            }
            parameters.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if parameters.continue_token.is_none() {
                self.send(Signal::ListEnds).await?;
                return Ok(page.metadata.resource_version.unwrap_or_default());
            }
        }
    }

    async fn watch(&self, start: String, version: &mut Option<String>) -> Result<(), Ended> {
        let seconds = self.limits.watch_seconds;
        let spread = (f64::from(seconds) * rand::random::<f64>() / 4.0) as u32;
        let mut parameters = WatchParams::default().timeout(seconds - spread);
        parameters.field_selector.clone_from(&self.fields);
        let opened = Instant::now();
        let mut events = self.within_limit(self.api.watch(&parameters, &start)).await?.boxed();
        self.send(Signal::Connected).await?;
        loop {
            let next = timeout(self.limits.silence, events.try_next()).await;
            match next.map_err(|_| FollowError::Silence(self.limits.silence))?? {
                None if opened.elapsed() < Duration::from_secs(1) => return Err(FollowError::EndedAtOnce.into()),
                None => return Ok(()),
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    *version = object.resource_version();
                    self.send(Signal::Applied(object)).await?;
                }
                Some(WatchEvent::Deleted(object)) => {
                    *version = object.resource_version();
                    self.send(Signal::Deleted(object)).await?;
                }
                Some(WatchEvent::Bookmark(bookmark)) => {
                    *version = Some(bookmark.metadata.resource_version);
                    self.send(Signal::Alive).await?;
                }
                Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status).into()),
            }
        }
    }

    async fn within_limit<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, FollowError> {
        let limit = self.limits.answer;
        Ok(timeout(limit, request).await.map_err(|_| FollowError::NoAnswer(limit))??)
    }

    async fn send(&self, signal: Signal<K>) -> Result<(), Ended> {
        self.signals.send(signal).await.map_err(|_| Ended::NoReceiver)
    }
}
