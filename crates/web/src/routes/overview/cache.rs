//! A cache of rendered overviews.
//!
//! Requests for the same overview within two seconds share one result. Concurrent requests of one workspace
//! share one query, so many people who open the page at once cost little.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use db::overview::UsageOverview;
use db::{Db, DbError, Stale, Tx};
use models::{BudgetCeiling, TenantId, UserId};
use moka::future::Cache;

use crate::auth::current_user::CurrentUser;
use crate::batcher::Batcher;

/// Lifetime of a rendered overview. The live stream waits this long before it announces a change.
pub(crate) const OVERVIEW_CACHE_TTL: Duration = Duration::from_secs(2);

/// Capacity of the cache.
const MAX_CACHED_OVERVIEWS: u64 = 2_000;

/// Time without a request after which a workspace's loader ends.
const LOADER_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum number of reasons for unanswered questions in an overview.
const MAX_OVERVIEW_REASONS: i32 = 6;

/// The data of an overview.
pub(crate) struct OverviewData {
    pub(crate) overview: UsageOverview,
    pub(crate) budget: Option<BudgetStatus>,
}

/// The budget of this month, in millionths of a dollar.
pub(crate) struct BudgetStatus {
    pub(crate) spent: i64,
    /// Worst-case cost of answers in progress.
    pub(crate) reserved: i64,
    pub(crate) limit: i64,
    /// True if the operator's ceiling is the limit.
    pub(crate) is_ceiling: bool,
}

/// Identifies an overview: of a workspace or of one person, in a time window.
#[derive(Clone, PartialEq, Eq, Hash)]
struct OverviewKey {
    tenant_id: TenantId,
    user_id: Option<UserId>,
    window: OverviewSpan,
    /// True if the data comes from the primary.
    is_primary_read: bool,
}

/// A time window up to now, and the width of a bar, both in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OverviewSpan {
    pub(crate) seconds: u32,
    pub(crate) step: u32,
}

/// Loads the overviews of one workspace.
type OverviewLoader = Batcher<OverviewKey, Stale<Arc<OverviewData>>>;

/// Rendered overviews, and a batcher for each workspace that loads the others: a workspace whose overview is
/// slow or unreadable keeps nobody else waiting.
pub(crate) struct OverviewCache {
    db: Db,
    budget_ceiling: BudgetCeiling,
    rendered: Cache<OverviewKey, Stale<Arc<str>>>,
    loaders: moka::sync::Cache<TenantId, Arc<OverviewLoader>>,
}

impl OverviewCache {
    pub(crate) fn new(db: &Db, budget_ceiling: BudgetCeiling) -> Self {
        Self {
            db: db.clone(),
            budget_ceiling,
            rendered: Cache::builder()
                .max_capacity(MAX_CACHED_OVERVIEWS)
                .time_to_live(OVERVIEW_CACHE_TTL)
                .build(),
            loaders: moka::sync::Cache::builder()
                .max_capacity(MAX_CACHED_OVERVIEWS)
                .time_to_idle(LOADER_IDLE_TIMEOUT)
                .build(),
        }
    }

    fn loader(&self, tenant_id: &TenantId) -> Arc<OverviewLoader> {
        self.loaders.get_with_by_ref(tenant_id, || {
            let (db, ceiling) = (self.db.clone(), self.budget_ceiling);
            Arc::new(Batcher::new(move |keys| load_overviews(db.clone(), ceiling, keys)))
        })
    }

    /// Returns the rendered overview that the person may see. Concurrent requests for it wait for one result.
    pub(crate) async fn get_or_render(
        &self,
        signed_in: &CurrentUser,
        window: OverviewSpan,
        render: impl FnOnce(&OverviewData) -> String,
    ) -> Result<Stale<Arc<str>>, Arc<DbError>> {
        let session = &signed_in.session;
        let user_id = (!signed_in.is_admin).then(|| session.user_id.clone());
        let is_primary_read = signed_in.has_recent_write();
        let key = OverviewKey { tenant_id: session.tenant_id.clone(), user_id, window, is_primary_read };
        let rendered = async {
            let data = self.loader(&key.tenant_id).load(key.clone()).await?.ok_or(DbError::Timeout)?;
            Ok(Stale { value: Arc::from(render(&data.value)), age: data.age })
        };
        self.rendered.try_get_with_by_ref(&key, rendered).await
    }
}

/// Loads overviews of a workspace with one query per window.
async fn load_overviews(
    db: Db,
    ceiling: BudgetCeiling,
    keys: Vec<OverviewKey>,
) -> Result<HashMap<OverviewKey, Stale<Arc<OverviewData>>>, DbError> {
    let mut groups: HashMap<(TenantId, OverviewSpan, bool), Vec<Option<UserId>>> = HashMap::new();
    for key in keys {
        groups.entry((key.tenant_id, key.window, key.is_primary_read)).or_default().push(key.user_id);
    }
    let mut overviews = HashMap::new();
    for ((tenant, window, is_primary_read), people) in groups {
        let db = if is_primary_read { db.primary_only() } else { db.clone() };
        let (tenant_id, people) = (&tenant, &people);
        let query = |mut tx: Tx| async move {
            load_tenant_overviews(&mut tx, tenant_id, people, window, ceiling).await
        };
        let loaded = db.read(tenant_id, query).await?;
        for (user_id, data) in loaded.value {
            let key = OverviewKey { tenant_id: tenant.clone(), user_id, window, is_primary_read };
            overviews.insert(key, Stale { value: data, age: loaded.age });
        }
    }
    Ok(overviews)
}

/// Loads the overviews of these people; `None` stands for the whole workspace.
async fn load_tenant_overviews(
    tx: &mut Tx,
    tenant_id: &TenantId,
    people: &[Option<UserId>],
    window: OverviewSpan,
    ceiling: BudgetCeiling,
) -> Result<Vec<(Option<UserId>, Arc<OverviewData>)>, DbError> {
    let window = db::overview::OverviewWindow { seconds: window.seconds.into(), step: window.step.into() };
    let mut overviews = Vec::with_capacity(people.len());
    for (user_id, overview) in db::overview::list(tx, tenant_id, people, window, MAX_OVERVIEW_REASONS).await?
    {
        // A person's own page does not show the budget.
        let budget = match user_id {
            Some(_) => None,
            None => find_budget(tx, tenant_id, ceiling).await?,
        };
        overviews.push((user_id, Arc::new(OverviewData { overview, budget })));
    }
    Ok(overviews)
}

async fn find_budget(
    tx: &mut Tx,
    tenant_id: &TenantId,
    ceiling: BudgetCeiling,
) -> Result<Option<BudgetStatus>, DbError> {
    let own = db::settings::find(tx, tenant_id).await?.settings.budget_micros;
    let Some(limit) = ceiling.cap(own) else { return Ok(None) };
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    let reserved = db::reservations::reserved_total(tx, tenant_id).await?;
    Ok(Some(BudgetStatus { spent, reserved, limit, is_ceiling: own != Some(limit) }))
}
