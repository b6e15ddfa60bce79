//! A tenant's data key is replaced together with all that it encrypts, while everything goes on. What each step is good for
//! stands in `db::rotation`; whoever comes after a process that died takes the same steps from the beginning.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db::audit_log::AuditAction;
use db::rotation::{self, RotationLock, RotationScope};
use db::{Db, DbError, PinnedConnection};
use models::TenantId;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How often is looked whether a key is due, or left behind.
const KEY_ROTATION_CHECK_INTERVAL: Duration = Duration::from_secs(15);

/// How long is waited for a transaction that is under way. A backup may take longer: then the old key stays, and the next
/// rotation deletes it.
const OPEN_TRANSACTIONS_TIMEOUT: Duration = Duration::from_secs(60);

/// How long `api` has for sorting what was delivered before it is done here.
const INBOX_DRAIN_GRACE: Duration = Duration::from_secs(3);

/// Between two looks at what others do.
const ROTATION_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Walks over all places; what somebody held locked is met by the next.
const MAX_REENCRYPT_PASSES: u32 = 20;

/// Who rotates, and how much at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RotationPace {
    /// For the audit log.
    pub(crate) actor: &'static str,
    /// Values in one transaction.
    pub(crate) batch_size: i64,
    /// Rests behind each page for as long as it took.
    pub(crate) is_gentle: bool,
}

/// For a person who waits for it.
pub(crate) const FOREGROUND_PACE: RotationPace =
    RotationPace { actor: "operator", batch_size: 300, is_gentle: false };

const BACKGROUND_PACE: RotationPace = RotationPace { actor: "enablebot", batch_size: 100, is_gentle: true };

/// What came of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RotationOutcome {
    /// Values that were sealed anew.
    pub(crate) reencrypted: u64,
    /// Why an old key is still there.
    pub(crate) old_key_reason: Option<OldKeyReason>,
}

/// Why an old key is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldKeyReason {
    /// A transaction goes on for so long that what it has read is not known.
    OpenTransaction,
    /// Something that it sealed does not open, or is locked for long.
    StillNeeded,
}

impl OldKeyReason {
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::OpenTransaction => "a transaction that began before goes on, a backup for example",
            Self::StillNeeded => "something that it sealed does not open or is locked",
        }
    }
}

/// Replaces a tenant's key, if it was made before that time, and clears away what older keys sealed. `told` hears how many
/// values are done, of how many.
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
    let mut resealed = 0;
    for walk in 0..MAX_REENCRYPT_PASSES {
        let left = count_remaining(db, tenant_id).await?;
        if left == 0 {
            break;
        }
        sleep(ROTATION_POLL_INTERVAL * walk).await;
        let before = resealed;
        resealed +=
            reencrypt_columns(db, tenant_id, pace, |done| on_progress(before + done, before + left)).await?;
    }
    let kept = match wait_for_open_transactions(db).await? {
        true => delete_unused_keys(db, tenant_id, pace, resealed).await?,
        false => Some(OldKeyReason::OpenTransaction),
    };
    Ok(RotationOutcome { reencrypted: resealed, old_key_reason: kept })
}

/// Waits for all transactions that are under way now; false where one goes on for too long.
async fn wait_for_open_transactions(db: &Db) -> Result<bool, DbError> {
    let under_way = rotation::list_open_transactions(&mut db.begin_cross_tenant().await?).await?;
    let begun = Instant::now();
    while rotation::has_open_transactions(&mut db.begin_cross_tenant().await?, &under_way).await? {
        if begun.elapsed() > OPEN_TRANSACTIONS_TIMEOUT {
            return Ok(false);
        }
        sleep(ROTATION_POLL_INTERVAL).await;
    }
    Ok(true)
}

/// Waits until all that is delivered by now is sorted into `events`. Where no `api` runs it is done here.
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

/// Seals anew what is found, place by place and page by page; how much that was.
async fn reencrypt_columns(
    db: &Db,
    tenant_id: &TenantId,
    pace: RotationPace,
    mut on_progress: impl FnMut(u64),
) -> Result<u64, DbError> {
    let mut resealed = 0;
    for place in rotation::encrypted_columns() {
        let mut after = None;
        loop {
            let begun = Instant::now();
            let mut tx = db.begin(tenant_id).await?;
            let page =
                rotation::reencrypt(&mut tx, tenant_id, place, after.as_ref(), pace.batch_size).await?;
            tx.commit().await?;
            resealed += page.reencrypted;
            on_progress(resealed);
            if page.failed > 0 {
                tracing::error!(tenant_id = %tenant_id, "{} value(s) of {place:?} do not open", page.failed);
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
    Ok(resealed)
}

async fn delete_unused_keys(
    db: &Db,
    tenant_id: &TenantId,
    pace: RotationPace,
    resealed: u64,
) -> Result<Option<OldKeyReason>, DbError> {
    let mut tx = db.begin(tenant_id).await?;
    let dropped = rotation::delete_unused_keys(&mut tx, tenant_id).await?;
    let is_left = !rotation::count_remaining(&mut tx, tenant_id).await?.is_empty();
    if dropped > 0 {
        let detail = json!({ "keys_deleted": dropped, "values_resealed": resealed });
        db::audit_log::insert(&mut tx, tenant_id, pace.actor, AuditAction::KeyRotated, detail).await?;
    }
    tx.commit().await?;
    Ok(is_left.then_some(OldKeyReason::StillNeeded))
}

/// Replaces keys as they come due, on one replica at a time, until `end`. What was interrupted goes on.
pub(crate) async fn run_key_rotation_loop(db: Db, older_than: TimeDelta, end: CancellationToken) {
    let mut ticks = interval(KEY_ROTATION_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let working = async {
        loop {
            ticks.tick().await;
            if let Err(error) = rotate_due(&db, older_than).await {
                tracing::warn!(error = %error, "keys that are due were not replaced");
            }
        }
    };
    tokio::select! {
        () = working => {}
        () = end.cancelled() => {}
    }
}

async fn rotate_due(db: &Db, older_than: TimeDelta) -> Result<(), DbError> {
    let everybody = RotationScope::default();
    let list = async || rotation::list_due(&mut db.begin_cross_tenant().await?, &everybody, older_than).await;
    if list().await?.is_empty() {
        return Ok(());
    }
    let Some(lock) = RotationLock::try_acquire(db).await? else { return Ok(()) };
    // Somebody else may have done it meanwhile.
    for tenant_id in list().await? {
        let made_before = rotation::server_time(&mut db.begin_cross_tenant().await?).await? - older_than;
        tracing::info!(tenant_id = %tenant_id, "a data key is due: it is replaced with all that it encrypts");
        let rotated = rotate_data_key(db, &tenant_id, made_before, BACKGROUND_PACE, |_, _| ()).await?;
        let resealed = rotated.reencrypted;
        match rotated.old_key_reason {
            None => {
                tracing::info!(tenant_id = %tenant_id, "a data key was replaced, {resealed} value(s) sealed anew");
            }
            Some(kept) => {
                let why = kept.description();
                tracing::warn!(tenant_id = %tenant_id, "a data key was replaced, and the old one kept: {why}");
            }
        }
    }
    lock.release().await;
    Ok(())
}
