//! What the overview tells. Who asks for the same within two seconds is told the same, and who asks for their own at the same
//! moment as others is answered together with them: a workspace that looks at its page all at once asks the database once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use db::overview::Overview;
use db::{Db, DbError, Seen, Tx};
use models::{TenantId, UserId};
use moka::future::Cache;

use crate::session::SignedIn;
use crate::together::Together;

/// For so long; whoever says that there is something new waits for it first.
pub(crate) const TOLD_FOR: Duration = Duration::from_secs(2);

/// Different ones that are kept.
const KEPT: u64 = 2_000;

/// Reasons that are told, at most.
const REASONS: i32 = 6;

/// What the database tells of some time.
pub(crate) struct Told {
    pub(crate) overview: Overview,
    pub(crate) budget: Option<Budget>,
}

/// This month's, in millionths of a dollar.
pub(crate) struct Budget {
    pub(crate) spent: i64,
    /// For answers in work, at their worst.
    pub(crate) held: i64,
    pub(crate) of: i64,
}

/// Whose, of one person only, and of what time.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    tenant_id: TenantId,
    user_id: Option<UserId>,
    span: Span,
    /// Whether the primary is asked.
    is_current: bool,
}

/// A time that can be looked back on, and how much of it makes a bar; both in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) seconds: u32,
    pub(crate) step: u32,
}

/// What was told of late, as it was drawn, and where the rest is asked.
pub(crate) struct Overviews {
    drawn: Cache<Key, Seen<Arc<str>>>,
    told: Together<Key, Seen<Arc<Told>>>,
}

impl Overviews {
    pub(crate) fn of(db: &Db) -> Self {
        let db = db.clone();
        Self {
            drawn: Cache::builder().max_capacity(KEPT).time_to_live(TOLD_FOR).build(),
            told: Together::new(move |keys| look(db.clone(), keys)),
        }
    }

    /// What somebody may see of that time, drawn. Many at once wait for one answer.
    pub(crate) async fn find(
        &self,
        signed_in: &SignedIn,
        span: Span,
        draw: impl FnOnce(&Told) -> String,
    ) -> Result<Seen<Arc<str>>, Arc<DbError>> {
        let session = &signed_in.session;
        let user_id = (!signed_in.manages).then(|| session.user_id.clone());
        let is_current = signed_in.has_just_changed();
        let key = Key { tenant_id: session.tenant_id.clone(), user_id, span, is_current };
        let drawn = async {
            let told = self.told.ask(key.clone()).await?.ok_or(DbError::Silent)?;
            Ok(Seen { value: Arc::from(draw(&told.value)), age: told.age })
        };
        self.drawn.try_get_with_by_ref(&key, drawn).await
    }
}

/// A workspace at a time, for all of its people who ask.
async fn look(db: Db, keys: Vec<Key>) -> Result<HashMap<Key, Seen<Arc<Told>>>, DbError> {
    let mut asked: HashMap<(TenantId, Span, bool), Vec<Option<UserId>>> = HashMap::new();
    for key in keys {
        asked.entry((key.tenant_id, key.span, key.is_current)).or_default().push(key.user_id);
    }
    let mut told = HashMap::new();
    for ((tenant_id, span, is_current), people) in asked {
        let db = if is_current { db.without_standby() } else { db.clone() };
        let (of, people) = (&tenant_id, &people);
        let ask = |mut tx: Tx| async move { tell(&mut tx, of, people, span).await };
        let seen = db.read(of, ask).await?;
        for (user_id, one) in seen.value {
            let key = Key { tenant_id: tenant_id.clone(), user_id, span, is_current };
            told.insert(key, Seen { value: one, age: seen.age });
        }
    }
    Ok(told)
}

/// What each of these people is told, or nobody in particular.
async fn tell(
    tx: &mut Tx,
    tenant_id: &TenantId,
    people: &[Option<UserId>],
    span: Span,
) -> Result<Vec<(Option<UserId>, Arc<Told>)>, DbError> {
    let db_span = db::overview::Span { seconds: span.seconds.into(), step: span.step.into() };
    let mut told = Vec::with_capacity(people.len());
    for (user_id, overview) in db::overview::list(tx, tenant_id, people, db_span, REASONS).await? {
        // A person's own page does not tell of the budget.
        let budget = match user_id {
            Some(_) => None,
            None => find_budget(tx, tenant_id).await?,
        };
        told.push((user_id, Arc::new(Told { overview, budget })));
    }
    Ok(told)
}

async fn find_budget(tx: &mut Tx, tenant_id: &TenantId) -> Result<Option<Budget>, DbError> {
    let Some(of) = db::settings::find(tx, tenant_id).await?.settings.budget_micros else { return Ok(None) };
    let spent = db::usage::spent_this_month(tx, tenant_id).await?;
    Ok(Some(Budget { spent, held: db::reservations::held(tx, tenant_id).await?, of }))
}
