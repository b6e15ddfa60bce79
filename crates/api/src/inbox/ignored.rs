//! Records ignored events in batches.

use std::time::Duration;

use db::Db;
use models::IgnoredEvent;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// The number of ignored events in one transaction.
const MAX_IGNORED_BATCH: usize = 512;

/// The pause between two batches. Nothing waits for these records: the longer the pause, the larger the
/// batch.
const IGNORED_FLUSH_INTERVAL: Duration = Duration::from_millis(200);

pub(super) async fn write_ignored_batches(db: Db, mut receiver: mpsc::Receiver<IgnoredEvent>) {
    loop {
        let mut batch = Vec::with_capacity(MAX_IGNORED_BATCH);
        if receiver.recv_many(&mut batch, MAX_IGNORED_BATCH).await == 0 {
            return;
        }
        let written = async {
            let mut tx = db.begin_cross_tenant().await?;
            db::ignored_events::insert(&mut tx, &batch).await?;
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::warn!(error = %error, "{} ignored events not recorded", batch.len());
        }
        sleep(IGNORED_FLUSH_INTERVAL).await;
    }
}
