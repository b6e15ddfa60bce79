//! What the overview tells. Who asks for the same within two seconds is told the same, and who asks for their own at the same
//! moment as others is answered together with them: a workspace that looks at its page all at once asks the database once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use db::overview::UsageOverview;
use db::{Db, DbError, Stale, Tx};
use models::{TenantId, UserId};
use moka::future::Cache;

use crate::auth::CurrentUser;
use crate::batcher::Batcher;

/// For so long; whoever says that there is something new waits for it first.
pub(crate) const OVERVIEW_CACHE_TTL: Duration = Duration::from_secs(2);

/// Different ones that are kept.
const MAX_CACHED_OVERVIEWS: u64 = 2_000;

/// Reasons that are told, at most.
const MAX_OVERVIEW_REASONS: i32 = 6;

/// What the database tells of some time.
pub(crate) struct OverviewData {
    pub(crate) overview: UsageOverview,
    pub(crate) budget: Option<BudgetStatus>,
}

/// This month's, in millionths of a dollar.
pub(crate) struct BudgetStatus {
    pub(crate) spent: i64,
    /// For answers in work, at their worst.
    pub(crate) reserved: i64,
    pub(crate) limit: i64,
}

/// Whose, of one person only, and of what time.
#[derive(Clone, PartialEq, Eq, Hash)]
struct OverviewKey {
    tenant_id: TenantId,
    user_id: Option<UserId>,
    span: OverviewWindow,
    /// Whether the primary is asked.
    is_primary_read: bool,
}

/// A time that can be looked back on, and how much of it makes a bar; both in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OverviewWindow {
    pub(crate) seconds: u32,
    pub(crate) step: u32,
}

/// What was told of late, as it was drawn, and where the rest is asked.
pub(crate) struct OverviewCache {
    rendered: Cache<OverviewKey, Stale<Arc<str>>>,
    batcher: Batcher<OverviewKey, Stale<Arc<OverviewData>>>,
}

impl OverviewCache {
    pub(crate) fn new(db: &Db) -> Self {
        let db = db.clone();
        Self {
            rendered: Cache::builder()
                .max_capacity(MAX_CACHED_OVERVIEWS)
                .time_to_live(OVERVIEW_CACHE_TTL)
                .build(),
            batcher: Batcher::new(move |keys| load_overviews(db.clone(), keys)),
        }
    }

    /// What somebody may see of that time, drawn. Many at once wait for one answer.
    pub(crate) async fn get_or_render(
        &self,
        signed_in: &CurrentUser,
        span: OverviewWindow,
        render: impl FnOnce(&OverviewData) -> String,
    ) -> Result<Stale<Arc<str>>, Arc<DbError>> {
        let session = &signed_in.session;
        let user_id = (!signed_in.is_admin).then(|| session.user_id.clone());
        let is_current = signed_in.has_recent_write();
        let key =
            OverviewKey { tenant_id: session.tenant_id.clone(), user_id, span, is_primary_read: is_current };
        let drawn = async {
            let told = self.batcher.load(key.clone()).await?.ok_or(DbError::Timeout)?;
            Ok(Stale { value: Arc::from(render(&told.value)), age: told.age })
        };
        self.rendered.try_get_with_by_ref(&key, drawn).await
    }
}

/// A workspace at a time, for all of its people who ask.
async fn load_overviews(
    db: Db,
    keys: Vec<OverviewKey>,
) -> Result<HashMap<OverviewKey, Stale<Arc<OverviewData>>>, DbError> {
    let mut asked: HashMap<(TenantId, OverviewWindow, bool), Vec<Option<UserId>>> = HashMap::new();
    for key in keys {
        asked.entry((key.tenant_id, key.span, key.is_primary_read)).or_default().push(key.user_id);
    }
    let mut told = HashMap::new();
    for ((tenant_id, span, is_current), people) in asked {
        let db = if is_current { db.primary_only() } else { db.clone() };
        let (of, people) = (&tenant_id, &people);
        let ask = |mut tx: Tx| async move { load_tenant_overviews(&mut tx, of, people, span).await };
        let seen = db.read(of, ask).await?;
        for (user_id, one) in seen.value {
            let key =
                OverviewKey { tenant_id: tenant_id.clone(), user_id, span, is_primary_read: is_current };
            told.insert(key, Stale { value: one, age: seen.age });
        }
    }
    Ok(told)
}

/// What each of these people is told, or nobody in particular.
async fn load_tenant_overviews(
    tx: &mut Tx,
    tenant_id: &TenantId,
    people: &[Option<UserId>],
    span: OverviewWindow,
) -> Result<Vec<(Option<UserId>, Arc<OverviewData>)>, DbError> {
    let db_span = db::overview::OverviewWindow { seconds: span.seconds.into(), step: span.step.into() };
    let mut told = Vec::with_capacity(people.len());
    for (user_id, overview) in
        db::overview::list(tx, tenant_id, people, db_span, MAX_OVERVIEW_REASONS).await?
    {
        // A person's own page does not tell of the budget.
        let budget = match user_id {
            Some(_) => None,
            None => find_budget(tx, tenant_id).await?,
        };
        told.push((user_id, Arc::new(OverviewData { overview, budget })));
    }
    Ok(told)
}

async fn find_budget(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<BudgetStatus>, DbError> {
    let Some(of) = db::settings::find(tx, tenant_id).await?.settings.budget_micros else { return Ok(None) };
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    Ok(Some(BudgetStatus {
        spent,
        reserved: db::reservations::reserved_total(tx, tenant_id).await?,
        limit: of,
    }))
}
