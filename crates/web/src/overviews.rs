//! What the overview tells. Who asks for the same within two seconds is told the same: a workspace that looks at its page all
//! at once asks the database once.

use std::sync::Arc;
use std::time::Duration;

use db::overview::{Bucket, Reason, Scope, Totals};
use db::{Db, DbError};
use models::{TenantId, UserId};
use moka::future::Cache;

use crate::session::SignedIn;

/// For so long; whoever says that there is something new waits for it first.
pub(crate) const TOLD_FOR: Duration = Duration::from_secs(2);

/// Different ones that are kept.
const KEPT: u64 = 2_000;

/// Reasons that are told, at most.
const REASONS: i64 = 6;

/// What the database tells of some time.
pub(crate) struct Told {
    /// Changes with every question.
    pub(crate) mark: String,
    pub(crate) totals: Totals,
    pub(crate) buckets: Vec<Bucket>,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) budget: Option<Budget>,
}

/// This month's, in millionths of a dollar.
pub(crate) struct Budget {
    pub(crate) spent: i64,
    /// For answers in work, at their worst.
    pub(crate) held: i64,
    pub(crate) of: i64,
}

/// A time that can be looked back on, and how much of it makes a bar; both in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) seconds: f64,
    pub(crate) step: f64,
}

/// Whose, of one person only, and back for how many seconds.
type Key = (TenantId, Option<UserId>, u64);

/// What was told of late, as it was drawn.
pub(crate) struct Overviews(Cache<Key, Arc<str>>);

impl Overviews {
    pub(crate) fn empty() -> Self {
        Self(Cache::builder().max_capacity(KEPT).time_to_live(TOLD_FOR).build())
    }

    /// What somebody may see of that time, drawn. Many at once wait for one answer.
    pub(crate) async fn find(
        &self,
        db: &Db,
        signed_in: &SignedIn,
        span: Span,
        draw: impl FnOnce(Told) -> String,
    ) -> Result<Arc<str>, Arc<DbError>> {
        let session = &signed_in.session;
        let user_id = (!signed_in.manages).then(|| session.user_id.clone());
        let key = (session.tenant_id.clone(), user_id.clone(), span.seconds as u64);
        let told = look(db, &session.tenant_id, user_id.as_ref(), span);
        self.0.try_get_with(key, async { Ok(Arc::from(draw(told.await?))) }).await
    }
}

/// A person's own page does not tell of the budget.
async fn look(db: &Db, tenant_id: &TenantId, user_id: Option<&UserId>, span: Span) -> Result<Told, DbError> {
    let scope = Scope { tenant_id, user_id, seconds: span.seconds };
    let mut tx = db.begin().await?;
    // First of all: what changes meanwhile is news.
    let mark = db::overview::mark(&mut tx, scope).await?;
    let budget = match user_id {
        Some(_) => None,
        None => match db::settings::find(&mut tx, tenant_id).await?.settings.budget_micros {
            Some(of) => Some(Budget {
                spent: db::usage::spent_this_month(&mut tx, tenant_id).await?,
                held: db::reservations::held(&mut tx, tenant_id).await?,
                of,
            }),
            None => None,
        },
    };
    Ok(Told {
        mark,
        totals: db::overview::totals(&mut tx, scope).await?,
        buckets: db::overview::buckets(&mut tx, scope, span.step).await?,
        reasons: db::overview::list_reasons(&mut tx, scope, REASONS).await?,
        budget,
    })
}
