//! Rotation of data keys: replaces a tenant's key and re-encrypts its data while the services run.
//!
//! `db::rotation` explains the steps. After a crash the next process repeats them from the start.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db::audit_log::AuditAction;
use db::rotation::{self, RotationLock, RotationScope};
use db::{Db, DbError, PinnedConnection};
use models::TenantId;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// Interval between checks for due or unused keys.
const KEY_ROTATION_CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// Time limit for waiting on open transactions.
///
/// A backup may take longer: then the old key stays, and the next rotation deletes it.
const OPEN_TRANSACTIONS_TIMEOUT: Duration = Duration::from_secs(60);

/// Time that `api` gets to drain the inbox before the rotation does it itself.
const INBOX_DRAIN_GRACE: Duration = Duration::from_secs(3);

/// Interval between polls for other processes' work.
const ROTATION_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Maximum number of passes over all columns. A pass skips locked rows, and the next one gets them.
const MAX_REENCRYPT_PASSES: u32 = 20;

/// The speed of a rotation, and its name in the audit log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RotationPace {
    /// Actor in the audit log.
    pub(crate) actor: &'static str,
    /// Values per transaction.
    pub(crate) batch_size: i64,
    /// Pauses after each batch for as long as the batch took.
    pub(crate) is_gentle: bool,
}

/// The pace for a person who waits at a terminal.
pub(crate) const FOREGROUND_PACE: RotationPace =
    RotationPace { actor: "operator", batch_size: 300, is_gentle: false };

const BACKGROUND_PACE: RotationPace = RotationPace { actor: "enablebot", batch_size: 100, is_gentle: true };

/// The result for one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RotationOutcome {
    /// Values that were re-encrypted.
    pub(crate) reencrypted: u64,
    /// The reason an old key is still there, if one is.
    pub(crate) old_key_reason: Option<OldKeyReason>,
}

/// The reason an old key could not be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldKeyReason {
    /// A transaction that began earlier is still open, and may have read the old key.
    OpenTransaction,
    /// A value that it encrypts cannot be decrypted, or is locked.
    StillNeeded,
}

impl OldKeyReason {
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::OpenTransaction => "an earlier transaction is still open, for example a backup",
            Self::StillNeeded => "a value that it encrypts cannot be decrypted or is locked",
        }
    }
}

/// Replaces a tenant's data key if it was created before `made_before`, re-encrypts its data, and deletes
/// unused keys.
///
/// `on_progress` gets the number of re-encrypted values and the total.
pub(crate) async fn rotate_data_key(
    db: &Db,
    tenant_id: &TenantId,
    made_before: DateTime<Utc>,
    pace: RotationPace,
    mut on_progress: impl FnMut(u64, u64),
) -> Result<RotationOutcome, DbError> {
    let mut tx = db.begin(tenant_id).await?;
    rotation::check_catalog(&mut tx).await?;
    rotation::rotate_data_key(&mut tx, tenant_id, made_before).await?;
    tx.commit().await?;
    if !wait_for_open_transactions(db).await? {
        return Ok(RotationOutcome { reencrypted: 0, old_key_reason: Some(OldKeyReason::OpenTransaction) });
    }
    drain_inbox(db).await?;
    let mut reencrypted = 0;
    for pass in 0..MAX_REENCRYPT_PASSES {
        let left = count_remaining(db, tenant_id).await?;
        if left == 0 {
            break;
        }
        sleep(ROTATION_POLL_INTERVAL * pass).await;
        let before = reencrypted;
        reencrypted +=
            reencrypt_columns(db, tenant_id, pace, |done| on_progress(before + done, before + left)).await?;
    }
    let old_key_reason = match wait_for_open_transactions(db).await? {
        true => delete_unused_keys(db, tenant_id, pace, reencrypted).await?,
        false => Some(OldKeyReason::OpenTransaction),
    };
    Ok(RotationOutcome { reencrypted, old_key_reason })
}

/// Waits until all transactions that are open now have ended; returns false after a time-out.
async fn wait_for_open_transactions(db: &Db) -> Result<bool, DbError> {
    let open = rotation::list_open_transactions(&mut db.begin_cross_tenant().await?).await?;
    let begun = Instant::now();
    while rotation::has_open_transactions(&mut db.begin_cross_tenant().await?, &open).await? {
        if begun.elapsed() > OPEN_TRANSACTIONS_TIMEOUT {
            return Ok(false);
        }
        sleep(ROTATION_POLL_INTERVAL).await;
    }
    Ok(true)
}

/// Waits until everything that is now in the inbox has been moved to `events`, or moves it if no `api` does.
async fn drain_inbox(db: &Db) -> Result<(), DbError> {
    let Some(last) = db::event_inbox::find_last_batch(&mut db.begin_cross_tenant().await?).await? else {
        return Ok(());
    };
    let begun = Instant::now();
    while db::event_inbox::has_pending(&mut db.begin_cross_tenant().await?, last).await? {
        sleep(ROTATION_POLL_INTERVAL).await;
        if begun.elapsed() > INBOX_DRAIN_GRACE {
            db::event_inbox::enqueue_pending(&mut PinnedConnection::new(db)).await?;
        }
    }
    Ok(())
}

async fn count_remaining(db: &Db, tenant_id: &TenantId) -> Result<u64, DbError> {
    let left = rotation::count_remaining(&mut db.begin(tenant_id).await?, tenant_id).await?;
    Ok(left.iter().map(|left| left.values.unsigned_abs()).sum())
}

/// Re-encrypts all columns batch by batch, and returns the number of values.
async fn reencrypt_columns(
    db: &Db,
    tenant_id: &TenantId,
    pace: RotationPace,
    mut on_progress: impl FnMut(u64),
) -> Result<u64, DbError> {
    let mut reencrypted = 0;
    for column in rotation::encrypted_columns() {
        let mut after = None;
        loop {
            let begun = Instant::now();
            let mut tx = db.begin(tenant_id).await?;
            let page =
                rotation::reencrypt(&mut tx, tenant_id, column, after.as_ref(), pace.batch_size).await?;
            tx.commit().await?;
            reencrypted += page.reencrypted;
            on_progress(reencrypted);
            if page.failed > 0 {
                tracing::error!(%tenant_id, "decryption failed: {} value(s) of {column:?}", page.failed);
            }
            if pace.is_gentle && page.reencrypted > 0 {
                sleep(begun.elapsed()).await;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(reencrypted)
}

async fn delete_unused_keys(
    db: &Db,
    tenant_id: &TenantId,
    pace: RotationPace,
    reencrypted: u64,
) -> Result<Option<OldKeyReason>, DbError> {
    let mut tx = db.begin(tenant_id).await?;
    let dropped = rotation::delete_unused_keys(&mut tx, tenant_id).await?;
    let is_left = !rotation::count_remaining(&mut tx, tenant_id).await?.is_empty();
    if dropped > 0 {
        let detail = json!({ "keys_deleted": dropped, "values_resealed": reencrypted });
        db::audit_log::insert(&mut tx, tenant_id, pace.actor, AuditAction::KeyRotated, detail).await?;
    }
    tx.commit().await?;
    Ok(is_left.then_some(OldKeyReason::StillNeeded))
}

/// Replaces due keys until `shutdown`, on one replica at a time, and resumes interrupted rotations.
pub(crate) async fn run_key_rotation_loop(db: Db, older_than: TimeDelta, shutdown: CancellationToken) {
    let mut ticks = interval(KEY_ROTATION_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let working = async {
        loop {
            ticks.tick().await;
            if let Err(error) = rotate_due(&db, older_than).await {
                tracing::warn!(error = %error, "key rotation failed");
            }
        }
    };
    tokio::select! {
        () = working => {}
        () = shutdown.cancelled() => {}
    }
}

async fn rotate_due(db: &Db, older_than: TimeDelta) -> Result<(), DbError> {
    let all_tenants = RotationScope::default();
    let list =
        async || rotation::list_due(&mut db.begin_cross_tenant().await?, &all_tenants, older_than).await;
    if list().await?.is_empty() {
        return Ok(());
    }
    let Some(lock) = RotationLock::try_acquire(db).await? else { return Ok(()) };
    // Another replica may have rotated them meanwhile.
    for tenant_id in list().await? {
        let made_before = rotation::server_time(&mut db.begin_cross_tenant().await?).await? - older_than;
        tracing::info!(tenant_id = %tenant_id, "data key rotation started");
        match rotate_data_key(db, &tenant_id, made_before, BACKGROUND_PACE, |_, _| ()).await {
            Ok(rotated) => log_rotation(&tenant_id, rotated),
            Err(error) if error.is_tenant_specific() => {
                tracing::error!(%tenant_id, error = %error, "key rotation failed; the other workspaces go on");
            }
            Err(error) => return Err(error),
        }
    }
    lock.release().await;
    Ok(())
}

fn log_rotation(tenant_id: &TenantId, rotated: RotationOutcome) {
    let reencrypted = rotated.reencrypted;
    match rotated.old_key_reason.map(OldKeyReason::description) {
        None => tracing::info!(%tenant_id, "data key rotated: {reencrypted} value(s) re-encrypted"),
        Some(reason) => {
            tracing::warn!(%tenant_id, "data key rotated, but the old key is still needed: {reason}");
        }
    }
}
