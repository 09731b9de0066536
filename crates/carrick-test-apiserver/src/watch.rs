//! Watches: streams of a collection's changes
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, Interval, interval_at, sleep_until};

use crate::error::ApiError;
use crate::object::Object;
use crate::read::{Collection, Representation};
use crate::route::Parameters;
use crate::shared::{Command, Shared};
use crate::store::{Change, Store};

/// How often the server sends a bookmark.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a watch lasts if the client does not set a timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// An open watch.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    collection: Collection,
    representation: Representation,
    bookmarks: bool,
    /// The client knows all changes up to this version.
    position: u64,
    pending: VecDeque<Value>,
    ended: bool,
    deadline: Instant,
    bookmark_timer: Interval,
    versions: watch::Receiver<u64>,
    commands: broadcast::Receiver<Command>,
}

impl Watch {
    /// Starts a watch: from a version, or with the present objects first.
    ///
    /// # Errors
    /// 400 Bad Request for a resource version that is not a number.
    pub fn start(
        shared: &Arc<Shared>,
        collection: Collection,
        representation: Representation,
        parameters: &Parameters,
    ) -> Result<Self, ApiError> {
        let asked = parameters.version()?;
        let timeout = parameters.timeout_seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        let mut watch = Self {
            shared: shared.clone(),
            collection,
            representation,
            bookmarks: parameters.allow_watch_bookmarks,
            position: asked,
            pending: VecDeque::new(),
            ended: false,
            deadline: Instant::now() + timeout.unwrap_or(DEFAULT_TIMEOUT),
            bookmark_timer: interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL),
            versions: shared.versions(),
            commands: shared.commands(),
        };
        if asked == 0 {
            watch.send_present_objects(&shared.store());
        }
        Ok(watch)
    }

    /// The lines of the response's body. They end when the watch ends.
    pub fn into_lines(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            let line = Bytes::from(format!("{event}\n"));
            Some((Ok(line), watch))
        })
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            self.collect();
            if !self.pending.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.versions.changed() => self.ended |= changed.is_err(),
                command = self.commands.recv() => match command {
                    Ok(Command::Bookmark) => self.send_bookmark(),
                    Ok(Command::Gone) => {
                        let gone = ApiError::expired(self.position, self.shared.store().version());
                        self.fail(&gone);
                    }
                    Ok(Command::End) | Err(_) => self.ended = true,
                },
                _ = self.bookmark_timer.tick() => self.send_bookmark(),
                () = sleep_until(self.deadline) => {
                    self.send_bookmark();
                    self.ended = true;
                }
            }
        }
    }

    /// Queues the changes since the client's position.
    fn collect(&mut self) {
        self.versions.mark_unchanged();
        let shared = self.shared.clone();
        let store = shared.store();
        match store.changes_since(self.position) {
            Ok(changes) => {
                let events: Vec<_> = changes.filter_map(|change| self.event(change)).collect();
                self.pending.extend(events);
                self.position = self.position.max(store.version());
            }
            Err(expired) => self.fail(&expired),
        }
    }

    /// The event of a change. An object that starts to match the selector is added, one that no longer matches is deleted.
    fn event(&self, change: &Change) -> Option<Value> {
        let selected =
            |state: &Option<Arc<Object>>| state.clone().filter(|object| self.collection.contains(&change.key, object));
        let (kind, object) = match (selected(&change.before), selected(&change.after)) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
            (None, None) => return None,
        };
        let mut object = self.representation.render(&object);
        object["metadata"]["resourceVersion"] = json!(change.version.to_string());
        Some(json!({ "type": kind, "object": object }))
    }

    fn send_present_objects(&mut self, store: &Store) {
        let present = store
            .list(self.collection.resource, None)
            .filter(|(key, object)| self.collection.contains(key, object))
            .map(|(_, object)| self.representation.render(object))
            .map(|object| json!({ "type": "ADDED", "object": object }));
        self.pending.extend(present);
        self.position = store.version();
    }

    fn send_bookmark(&mut self) {
        if self.bookmarks {
            self.collect();
            let (api_version, kind) = self.representation.type_of(self.collection.resource);
            self.pending.push_back(json!({ "type": "BOOKMARK", "object": {
                "kind": kind, "apiVersion": api_version,
                "metadata": { "resourceVersion": self.position.to_string() },
            }}));
        }
    }

    fn fail(&mut self, error: &ApiError) {
        self.pending.push_back(json!({ "type": "ERROR", "object": error.to_json() }));
        self.ended = true;
    }
}
