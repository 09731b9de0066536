//! Many requests at the same time, but not all of them.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;

/// How many requests hold a permit at the same time.
const MAX_CONCURRENT: usize = 32;

/// Runs all futures and returns their results in order. At most [`MAX_CONCURRENT`] of them hold a permit. A future that takes longer than
/// `permit_time` gives its permit to the next one and continues without, so that agents that never answer do not delay the others.
pub(super) async fn run_all<T>(
    permit_time: Duration,
    futures: impl IntoIterator<Item = impl Future<Output = T>>,
) -> Vec<T> {
    let permits = &Semaphore::new(MAX_CONCURRENT);
    let limited = futures.into_iter().map(async |future| {
        let permit = permits.acquire().await;
        let mut future = pin!(future);
        match tokio::time::timeout(permit_time, future.as_mut()).await {
            Ok(result) => result,
            Err(_) => {
                drop(permit);
                future.await
            }
        }
    });
    futures::future::join_all(limited).await
}
