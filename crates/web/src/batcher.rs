//! What many ask at once, asked of the database together: whoever comes while the last question is under way goes into the
//! next one. Nothing is kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use db::{DbError, with_timeout};
use tokio::sync::{mpsc, oneshot};

/// Asked together at most, and those that wait for their turn.
const MAX_BATCH_SIZE: usize = 512;
const BATCH_QUEUE_CAPACITY: usize = 8_192;

/// At a time: one is answered while the next is made up.
const BATCH_WORKERS: usize = 2;

type PendingLookup<Q, A> = (Q, oneshot::Sender<Result<Option<A>, DbError>>);

/// Where those wait who ask.
pub(crate) struct Batcher<Q, A> {
    workers: Vec<mpsc::Sender<PendingLookup<Q, A>>>,
    next_worker: AtomicUsize,
}

impl<Q, A> Batcher<Q, A>
where
    Q: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + 'static,
{
    /// Its askers end with it.
    pub(crate) fn new<F>(load_batch: impl Fn(Vec<Q>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<Q, A>, DbError>> + Send + 'static,
    {
        let asker = |_| {
            let (waiting, receiver) = mpsc::channel(BATCH_QUEUE_CAPACITY);
            tokio::spawn(run_worker(receiver, load_batch.clone()));
            waiting
        };
        Self { workers: (0..BATCH_WORKERS).map(asker).collect(), next_worker: AtomicUsize::new(0) }
    }

    /// The answer; `None` where there is none.
    ///
    /// # Errors
    /// The database does not answer, or too many wait already.
    pub(crate) async fn load(&self, key: Q) -> Result<Option<A>, DbError> {
        let asker = self.next_worker.fetch_add(1, Ordering::Relaxed) % BATCH_WORKERS;
        let (told, answer) = oneshot::channel();
        self.workers[asker].try_send((key, told)).map_err(|_| DbError::Timeout)?;
        answer.await.unwrap_or(Err(DbError::Timeout))
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
        let questions = waiting.iter().map(|(question, _)| question.clone()).collect();
        match with_timeout(load_batch(questions)).await {
            Ok(found) => waiting.drain(..).for_each(|(question, told)| {
                let _ = told.send(Ok(found.get(&question).cloned()));
            }),
            Err(error) => {
                tracing::error!(error = %error, "what many asked at once has no answer");
                waiting.drain(..).for_each(|(_, told)| drop(told.send(Err(DbError::Timeout))));
            }
        }
    }
}
