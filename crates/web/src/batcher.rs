//! A batcher for lookups: requests that arrive while a query runs share the next query. Results are not
//! cached. Lookups of several tenants share a batch only where one's trouble cannot fail the others: a batch
//! succeeds or fails as a whole.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use db::{DbError, with_timeout};
use tokio::sync::{mpsc, oneshot};

/// Maximum number of keys per query.
const MAX_BATCH_SIZE: usize = 512;

/// Maximum number of lookups that wait per worker.
const BATCH_QUEUE_CAPACITY: usize = 8_192;

/// Two workers, so one batch fills while the other is being loaded.
const BATCH_WORKERS: usize = 2;

type PendingLookup<Q, A> = (Q, oneshot::Sender<Result<Option<A>, DbError>>);

/// A queue of lookups, with its workers.
pub(crate) struct Batcher<Q, A> {
    workers: Vec<mpsc::Sender<PendingLookup<Q, A>>>,
    next_worker: AtomicUsize,
}

impl<Q, A> Batcher<Q, A>
where
    Q: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + 'static,
{
    /// Spawns the workers. They end when the batcher is dropped.
    pub(crate) fn new<F>(load_batch: impl Fn(Vec<Q>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<Q, A>, DbError>> + Send + 'static,
    {
        let spawn = |_| {
            let (sender, receiver) = mpsc::channel(BATCH_QUEUE_CAPACITY);
            tokio::spawn(run_worker(receiver, load_batch.clone()));
            sender
        };
        Self { workers: (0..BATCH_WORKERS).map(spawn).collect(), next_worker: AtomicUsize::new(0) }
    }

    /// Loads the value of a key; `None` if there is none.
    ///
    /// # Errors
    /// The query failed, or the queue is full.
    pub(crate) async fn load(&self, key: Q) -> Result<Option<A>, DbError> {
        let worker = self.next_worker.fetch_add(1, Ordering::Relaxed) % BATCH_WORKERS;
        let (sender, receiver) = oneshot::channel();
        self.workers[worker].try_send((key, sender)).map_err(|_| DbError::Timeout)?;
        receiver.await.unwrap_or(Err(DbError::Timeout))
    }
}

async fn run_worker<Q, A, F>(
    mut receiver: mpsc::Receiver<PendingLookup<Q, A>>,
    load_batch: impl Fn(Vec<Q>) -> F,
) where
    Q: Clone + Eq + Hash,
    A: Clone,
    F: Future<Output = Result<HashMap<Q, A>, DbError>>,
{
    let mut waiting = Vec::with_capacity(MAX_BATCH_SIZE);
    while receiver.recv_many(&mut waiting, MAX_BATCH_SIZE).await > 0 {
        let keys = waiting.iter().map(|(key, _)| key.clone()).collect();
        match with_timeout(load_batch(keys)).await {
            Ok(found) => waiting.drain(..).for_each(|(key, sender)| {
                let _ = sender.send(Ok(found.get(&key).cloned()));
            }),
            Err(error) => {
                tracing::error!(error = %error, "batched query failed");
                waiting.drain(..).for_each(|(_, sender)| drop(sender.send(Err(DbError::Timeout))));
            }
        }
    }
}
