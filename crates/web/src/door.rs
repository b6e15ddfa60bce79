//! Whose session it is, asked of the database for many at once: whoever comes while the last question is under way goes into
//! the next one. Nothing is kept, so a session that was ended is ended.

use db::sessions::Found;
use db::{Db, DbError, in_time};
use tokio::sync::{mpsc, oneshot};

/// Sessions in one question, at most, and those that wait for theirs.
const BATCH: usize = 512;
const CAPACITY: usize = 8_192;

/// Questions at a time: one is answered while the next is made up.
const ASKERS: usize = 2;

type Waiting = (Vec<u8>, oneshot::Sender<Result<Option<Found>, DbError>>);

/// Where those wait who come with a cookie.
pub(crate) struct Door {
    askers: Vec<mpsc::Sender<Waiting>>,
}

impl Door {
    /// Its askers end with it.
    pub(crate) fn open(db: &Db) -> Self {
        let asker = |_| {
            let (waiting, receiver) = mpsc::channel(CAPACITY);
            tokio::spawn(ask(db.clone(), receiver));
            waiting
        };
        Self { askers: (0..ASKERS).map(asker).collect() }
    }

    /// Whose session this is a digest of; `None` where it is nobody's.
    ///
    /// # Errors
    /// The database does not answer, or too many wait already.
    pub(crate) async fn find(&self, digest: Vec<u8>) -> Result<Option<Found>, DbError> {
        let place = digest.first().map_or(0, |byte| usize::from(*byte)) % self.askers.len();
        let (told, answer) = oneshot::channel();
        self.askers[place].try_send((digest, told)).map_err(|_| DbError::Silent)?;
        answer.await.unwrap_or(Err(DbError::Silent))
    }
}

async fn ask(db: Db, mut receiver: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut waiting, BATCH).await > 0 {
        let digests: Vec<Vec<u8>> = waiting.iter().map(|(digest, _)| digest.clone()).collect();
        let found = in_time(async {
            let mut tx = db.begin().await?;
            let found = db::sessions::find_all(&mut tx, &digests).await?;
            tx.commit().await?;
            Ok(found)
        });
        match found.await {
            Ok(found) => waiting.drain(..).for_each(|(digest, told)| {
                let _ = told.send(Ok(found.get(&digest).cloned()));
            }),
            Err(error) => {
                tracing::error!(error = %error, "the sessions could not be looked up");
                waiting.drain(..).for_each(|(_, told)| drop(told.send(Err(DbError::Silent))));
            }
        }
    }
}
