//! A tenant's data key is replaced together with all that it encrypts, while everything goes on. What each step is good for
//! stands in `db::rotation`; whoever comes after a process that died takes the same steps from the beginning.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use db::audit_log::Action;
use db::rotation::{self, Lock, Scope};
use db::{Db, DbError, Session};
use models::TenantId;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// How often is looked whether a key is due, or left behind.
const INTERVAL: Duration = Duration::from_secs(15);

/// How long is waited for a transaction that is under way. A backup may take longer: then the old key stays, and the next
/// rotation deletes it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long `api` has for sorting what was delivered before it is done here.
const SORTING: Duration = Duration::from_secs(3);

/// Between two looks at what others do.
const LOOK: Duration = Duration::from_millis(5);

/// Walks over all places; what somebody held locked is met by the next.
const WALKS: u32 = 20;

/// Who rotates, and how much at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// For the audit log.
    pub(crate) actor: &'static str,
    /// Values in one transaction.
    pub(crate) page: i64,
    /// Rests behind each page for as long as it took.
    pub(crate) is_gentle: bool,
}

/// For a person who waits for it.
pub(crate) const BRISK: Pace = Pace { actor: "operator", page: 300, is_gentle: false };

const GENTLE: Pace = Pace { actor: "enablebot", page: 100, is_gentle: true };

/// What came of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// Values that were sealed anew.
    pub(crate) resealed: u64,
    /// Why an old key is still there.
    pub(crate) kept: Option<Kept>,
}

/// Why an old key is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A transaction goes on for so long that what it has read is not known.
    UnderWay,
    /// Something that it sealed does not open, or is locked for long.
    StillNeeded,
}

impl Kept {
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::UnderWay => "a transaction that began before goes on, a backup for example",
            Self::StillNeeded => "something that it sealed does not open or is locked",
        }
    }
}

/// Replaces a tenant's key, if it was made before that time, and clears away what older keys sealed. `told` hears how many
/// values are done, of how many.
pub(crate) async fn rotate(
    db: &Db,
    tenant_id: &TenantId,
    made_before: DateTime<Utc>,
    pace: Pace,
    mut told: impl FnMut(u64, u64),
) -> Result<Rotated, DbError> {
    let mut tx = db.begin(tenant_id).await?;
    rotation::check_catalogue(&mut tx).await?;
    rotation::retire(&mut tx, tenant_id, made_before).await?;
    tx.commit().await?;
    if !others_ended(db).await? {
        return Ok(Rotated { resealed: 0, kept: Some(Kept::UnderWay) });
    }
    sort_deliveries(db).await?;
    let mut resealed = 0;
    for walk in 0..WALKS {
        let left = count_left(db, tenant_id).await?;
        if left == 0 {
            break;
        }
        sleep(LOOK * walk).await;
        let before = resealed;
        resealed += walk_over(db, tenant_id, pace, |done| told(before + done, before + left)).await?;
    }
    let kept = match others_ended(db).await? {
        true => drop_emptied(db, tenant_id, pace, resealed).await?,
        false => Some(Kept::UnderWay),
    };
    Ok(Rotated { resealed, kept })
}

/// Waits for all transactions that are under way now; false where one goes on for too long.
async fn others_ended(db: &Db) -> Result<bool, DbError> {
    let under_way = rotation::list_under_way(&mut db.begin_for_all().await?).await?;
    let begun = Instant::now();
    while rotation::are_under_way(&mut db.begin_for_all().await?, &under_way).await? {
        if begun.elapsed() > PATIENCE {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
    Ok(true)
}

/// Waits until all that is delivered by now is sorted into `events`. Where no `api` runs it is done here.
async fn sort_deliveries(db: &Db) -> Result<(), DbError> {
    let Some(last) = db::deliveries::find_last(&mut db.begin_for_all().await?).await? else { return Ok(()) };
    let begun = Instant::now();
    while db::deliveries::are_waiting(&mut db.begin_for_all().await?, last).await? {
        sleep(LOOK).await;
        if begun.elapsed() > SORTING {
            db::deliveries::sort(&mut Session::new(db)).await?;
        }
    }
    Ok(())
}

async fn count_left(db: &Db, tenant_id: &TenantId) -> Result<u64, DbError> {
    let left = rotation::count_left(&mut db.begin(tenant_id).await?, tenant_id).await?;
    Ok(left.iter().map(|left| left.values.unsigned_abs()).sum())
}

/// Seals anew what is found, place by place and page by page; how much that was.
async fn walk_over(
    db: &Db,
    tenant_id: &TenantId,
    pace: Pace,
    mut told: impl FnMut(u64),
) -> Result<u64, DbError> {
    let mut resealed = 0;
    for place in rotation::places() {
        let mut after = None;
        loop {
            let begun = Instant::now();
            let mut tx = db.begin(tenant_id).await?;
            let page = rotation::reseal(&mut tx, tenant_id, place, after.as_ref(), pace.page).await?;
            tx.commit().await?;
            resealed += page.resealed;
            told(resealed);
            if page.refused > 0 {
                tracing::error!(tenant_id = %tenant_id, "{} value(s) of {place:?} do not open", page.refused);
            }
            if pace.is_gentle && page.resealed > 0 {
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

async fn drop_emptied(
    db: &Db,
    tenant_id: &TenantId,
    pace: Pace,
    resealed: u64,
) -> Result<Option<Kept>, DbError> {
    let mut tx = db.begin(tenant_id).await?;
    let dropped = rotation::drop_emptied(&mut tx, tenant_id).await?;
    let is_left = !rotation::count_left(&mut tx, tenant_id).await?.is_empty();
    if dropped > 0 {
        let detail = json!({ "keys_deleted": dropped, "values_resealed": resealed });
        db::audit_log::insert(&mut tx, tenant_id, pace.actor, Action::KeyRotated, detail).await?;
    }
    tx.commit().await?;
    Ok(is_left.then_some(Kept::StillNeeded))
}

/// Replaces keys as they come due, on one replica at a time, until `end`. What was interrupted goes on.
pub(crate) async fn keep(db: Db, older_than: TimeDelta, end: CancellationToken) {
    let mut ticks = interval(INTERVAL);
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
    let everybody = Scope::default();
    let list = async || rotation::list_due(&mut db.begin_for_all().await?, &everybody, older_than).await;
    if list().await?.is_empty() {
        return Ok(());
    }
    let Some(lock) = Lock::try_take(db).await? else { return Ok(()) };
    // Somebody else may have done it meanwhile.
    for tenant_id in list().await? {
        let made_before = rotation::now(&mut db.begin_for_all().await?).await? - older_than;
        tracing::info!(tenant_id = %tenant_id, "a data key is due: it is replaced with all that it encrypts");
        let rotated = rotate(db, &tenant_id, made_before, GENTLE, |_, _| ()).await?;
        let resealed = rotated.resealed;
        match rotated.kept {
            None => {
                tracing::info!(tenant_id = %tenant_id, "a data key was replaced, {resealed} value(s) sealed anew");
            }
            Some(kept) => {
                let why = kept.in_words();
                tracing::warn!(tenant_id = %tenant_id, "a data key was replaced, and the old one kept: {why}");
            }
        }
    }
    lock.release().await;
    Ok(())
}
