//! What many ask at once, asked of the database together: whoever comes while the last question is under way goes into the
//! next one. Nothing is kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use db::{DbError, in_time};
use tokio::sync::{mpsc, oneshot};

/// Asked together at most, and those that wait for their turn.
const BATCH: usize = 512;
const CAPACITY: usize = 8_192;

/// At a time: one is answered while the next is made up.
const ASKERS: usize = 2;

type Waiting<Q, A> = (Q, oneshot::Sender<Result<Option<A>, DbError>>);

/// Where those wait who ask.
pub(crate) struct Together<Q, A> {
    askers: Vec<mpsc::Sender<Waiting<Q, A>>>,
    next: AtomicUsize,
}

impl<Q, A> Together<Q, A>
where
    Q: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + 'static,
{
    /// Its askers end with it.
    pub(crate) fn new<F>(ask: impl Fn(Vec<Q>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = Result<HashMap<Q, A>, DbError>> + Send + 'static,
    {
        let asker = |_| {
            let (waiting, receiver) = mpsc::channel(CAPACITY);
            tokio::spawn(answer(receiver, ask.clone()));
            waiting
        };
        Self { askers: (0..ASKERS).map(asker).collect(), next: AtomicUsize::new(0) }
    }

    /// The answer; `None` where there is none.
    ///
    /// # Errors
    /// The database does not answer, or too many wait already.
    pub(crate) async fn ask(&self, question: Q) -> Result<Option<A>, DbError> {
        let asker = self.next.fetch_add(1, Ordering::Relaxed) % ASKERS;
        let (told, answer) = oneshot::channel();
        self.askers[asker].try_send((question, told)).map_err(|_| DbError::Silent)?;
        answer.await.unwrap_or(Err(DbError::Silent))
    }
}

async fn answer<Q, A, F>(mut receiver: mpsc::Receiver<Waiting<Q, A>>, ask: impl Fn(Vec<Q>) -> F)
where
    Q: Clone + Eq + Hash,
    A: Clone,
    F: Future<Output = Result<HashMap<Q, A>, DbError>>,
{
    let mut waiting = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut waiting, BATCH).await > 0 {
        let questions = waiting.iter().map(|(question, _)| question.clone()).collect();
        match in_time(ask(questions)).await {
            Ok(found) => waiting.drain(..).for_each(|(question, told)| {
                let _ = told.send(Ok(found.get(&question).cloned()));
            }),
            Err(error) => {
                tracing::error!(error = %error, "what many asked at once has no answer");
                waiting.drain(..).for_each(|(_, told)| drop(told.send(Err(DbError::Silent))));
            }
        }
    }
}
