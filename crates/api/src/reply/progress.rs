//! The stored progress of a reply: a retry continues from it, and pays for each request once.

use assistant::budget::{Allowance, Charge};
use db::replies::ReplyProgress;
use db::{DbError, Tx};

use crate::fail_point;
use crate::job::context::JobContext;
use crate::job::error::JobError;

/// Returns the progress of earlier tries.
pub(super) async fn load_progress(context: &JobContext<'_>) -> Result<ReplyProgress, DbError> {
    db::replies::find(&mut context.begin().await?, &context.job.tenant_id, context.job.seq).await
}

/// Stores the whole answer with its charge, before it is shown as done.
pub(super) async fn store_answer(
    context: &JobContext<'_>,
    text: &str,
    allowance: &Allowance,
    charge: &Charge,
) -> Result<(), JobError> {
    fail_point::reach("answer_made");
    let (tenant_id, seq) = (&context.job.tenant_id, context.job.seq);
    let mut tx = context.begin_fenced().await?;
    db::replies::set_answer(&mut tx, tenant_id, seq, text, &charge.usage, charge.cost_micros).await?;
    release_unspent(context, &mut tx, allowance).await?;
    tx.commit().await?;
    fail_point::reach("answer_kept");
    Ok(())
}

/// Stores the text of an answer that broke off, for the try that continues it, with its charge.
pub(super) async fn store_partial(
    context: &JobContext<'_>,
    text: &str,
    allowance: &Allowance,
    charge: &Charge,
) -> Result<(), JobError> {
    let (tenant_id, seq) = (&context.job.tenant_id, context.job.seq);
    let mut tx = context.begin_fenced().await?;
    if !text.trim().is_empty() {
        db::replies::set_partial_text(&mut tx, tenant_id, seq, text).await?;
    }
    db::replies::add_usage(&mut tx, tenant_id, seq, &charge.usage, charge.cost_micros).await?;
    release_unspent(context, &mut tx, allowance).await?;
    Ok(tx.commit().await?)
}

/// Releases the reservation of a request that no model accepted.
pub(super) async fn release_reservation(
    context: &JobContext<'_>,
    allowance: &Allowance,
) -> Result<(), JobError> {
    if allowance.reserved_seq.is_none() {
        return Ok(());
    }
    let mut tx = context.begin_fenced().await?;
    release_unspent(context, &mut tx, allowance).await?;
    Ok(tx.commit().await?)
}

/// Reduces the reservation to the cost so far, which the end of the event moves to the usage table. That may
/// take long: Slack may not answer until then.
async fn release_unspent(
    context: &JobContext<'_>,
    tx: &mut Tx,
    allowance: &Allowance,
) -> Result<(), DbError> {
    match allowance.reserved_seq {
        Some(seq) => db::reservations::settle_call(tx, &context.job.tenant_id, seq).await,
        None => Ok(()),
    }
}
