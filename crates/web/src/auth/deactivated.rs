//! People who left Slack, but of whom something here still works.

use std::collections::BTreeSet;
use std::time::Duration;

use assistant::Standing;
use futures_util::{StreamExt, TryStreamExt, stream};
use models::{TenantId, UserId};
use tokio::time::timeout;

use super::standing::{StandingError, ask_slack};
use crate::state::WebState;

/// People whom Slack is asked about at the same time.
const CONCURRENT_ROLE_FETCHES: usize = 8;

/// Longest wait for Slack. The page is shown without its answer afterwards.
const DEACTIVATED_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns those of these people whose account is deactivated; `None` if Slack did not say in time.
pub(crate) async fn find_deactivated(
    app: &WebState,
    tenant_id: &TenantId,
    user_ids: BTreeSet<UserId>,
) -> Option<BTreeSet<UserId>> {
    let fetched = stream::iter(user_ids)
        .map(|user_id| async move {
            let standing = ask_slack(app, tenant_id, &user_id).await?;
            Ok::<_, StandingError>((standing == Standing::Gone).then_some(user_id))
        })
        .buffer_unordered(CONCURRENT_ROLE_FETCHES)
        .try_filter_map(async |left| Ok(left))
        .try_collect();
    timeout(DEACTIVATED_TIMEOUT, fetched).await.ok()?.ok()
}
