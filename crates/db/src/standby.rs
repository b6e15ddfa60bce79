//! A standby of the database, which answers what the dashboard shows: how far behind the primary it is, and when it is not
//! asked.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::{Db, DbError};

/// Between two looks at how far it is.
const STANDBY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How long it may take to say so, and a question waits for a connection to it.
pub(crate) const STANDBY_TIMEOUT: Duration = Duration::from_secs(2);

/// One that is further behind is not asked.
const MAX_STANDBY_LAG: Duration = Duration::from_secs(30);

/// Positions of the primary that are remembered: ten minutes of them.
const MAX_WAL_POSITIONS: usize = 600;

/// What a question found, and how old that is.
#[derive(Clone, Copy, Debug)]
pub struct Stale<T> {
    /// The answer.
    pub value: T,
    /// How far behind the primary whoever answered was.
    pub age: Duration,
}

/// How a standby is.
#[derive(Clone, Debug)]
pub struct StandbyState {
    /// How old the oldest change is that it may lack; of one that is away, as far as that is known.
    pub lag: Duration,
    /// Why it cannot be asked at all.
    pub unavailable_reason: Option<&'static str>,
}

/// A standby, and how it is. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Standby {
    pool: PgPool,
    state: watch::Receiver<StandbyState>,
}

impl StandbyState {
    /// Whether questions go to it.
    pub fn is_usable(&self) -> bool {
        self.unavailable_reason.is_none() && self.lag <= MAX_STANDBY_LAG
    }
}

impl fmt::Display for StandbyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.unavailable_reason, self.lag.as_secs()) {
            (Some(why), _) => write!(f, "{why}; the primary answers for it"),
            (None, 0) => f.write_str("ok"),
            (None, lag) if self.is_usable() => write!(f, "ok, {lag} s behind"),
            (None, lag) => write!(f, "{lag} s behind; the primary answers for it"),
        }
    }
}

impl Standby {
    /// Looks at the standby of `primary` until its pool is closed.
    pub(crate) fn monitor(pool: PgPool, address: PgConnectOptions, primary: Db) -> Self {
        let state = StandbyState { lag: Duration::ZERO, unavailable_reason: Some("was not looked at yet") };
        let (told, state) = watch::channel(state);
        tokio::spawn(run_monitor(pool.clone(), address, primary, told));
        Self { pool, state }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn state(&self) -> StandbyState {
        self.state.borrow().clone()
    }

    /// How old what it says is, if it is to be asked.
    pub(crate) fn usable_lag(&self) -> Option<Duration> {
        let state = self.state.borrow();
        state.is_usable().then_some(state.lag)
    }

    /// Waits for an answer, but not of one that is away by now.
    pub(crate) async fn cancel_if_lost<T>(
        &self,
        answer: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let mut state = self.state.clone();
        tokio::select! {
            answer = answer => answer,
            _ = state.wait_for(|state| state.unavailable_reason.is_some()) => Err(DbError::Timeout),
        }
    }
}

async fn run_monitor(
    pool: PgPool,
    address: PgConnectOptions,
    primary: Db,
    told: watch::Sender<StandbyState>,
) {
    let mut positions = WalPositions::new(Instant::now());
    let mut session = None;
    while !pool.is_closed() {
        let asked_at = Instant::now();
        let written = timeout(STANDBY_TIMEOUT, read_primary_position(&primary)).await;
        if let Ok(Ok(position)) = written {
            positions.record(position, asked_at);
        }
        let replayed = timeout(STANDBY_TIMEOUT, read_replay_position(&mut session, &address)).await;
        let trouble = match replayed {
            Ok(Ok(Some(position))) => {
                positions.mark_replayed(position);
                None
            }
            Ok(Ok(None)) => Some("is no standby"),
            Ok(Err(_)) => Some("does not answer as it should"),
            Err(_) => Some("does not answer within two seconds"),
        };
        if trouble.is_some() {
            session = None;
        }
        publish_state(&told, StandbyState { lag: positions.lag(asked_at), unavailable_reason: trouble });
        sleep(STANDBY_CHECK_INTERVAL).await;
    }
}

/// Notes how the standby is; what changes with that is logged.
fn publish_state(told: &watch::Sender<StandbyState>, state: StandbyState) {
    let (was_asked, is_asked) = (told.borrow().is_usable(), state.is_usable());
    let (lag, why) = (state.lag.as_secs(), state.unavailable_reason.unwrap_or("is too far behind"));
    match is_asked {
        true if !was_asked => tracing::info!(lag, "the standby answers for the dashboard"),
        false if was_asked => tracing::warn!(lag, "the standby {why}: the primary answers for it"),
        _ => {}
    }
    told.send_replace(state);
}

/// How far the primary's log is written.
async fn read_primary_position(primary: &Db) -> Result<i64, DbError> {
    let mut tx = primary.begin_cross_tenant().await?;
    let position =
        sqlx::query_scalar!(r#"select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as "position!""#);
    Ok(position.fetch_one(&mut tx).await?)
}

/// How far that is replayed; `None` where nothing is, since whoever is there takes writes itself. By the simple protocol,
/// which prepares nothing: a pooler may stand between.
async fn read_replay_position(
    session: &mut Option<PgConnection>,
    address: &PgConnectOptions,
) -> Result<Option<i64>, DbError> {
    let mut connection = match session.take() {
        Some(connection) => connection,
        None => address.connect().await?,
    };
    let sql = "select pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint where pg_is_in_recovery()";
    let row = sqlx::raw_sql(sql).fetch_optional(&mut connection).await?;
    let position = row.map(|row| row.try_get(0)).transpose()?;
    *session = Some(connection);
    Ok(position)
}

/// Where the primary was when: by that a lag is a time, also while nothing is written, and needs no clock but this one.
struct WalPositions {
    /// Those that are not replayed yet, oldest first.
    pending: VecDeque<(i64, Instant)>,
    /// What was committed before is there.
    replayed_until: Instant,
}

impl WalPositions {
    fn new(now: Instant) -> Self {
        Self { pending: VecDeque::new(), replayed_until: now }
    }

    fn record(&mut self, position: i64, at: Instant) {
        if self.pending.len() == MAX_WAL_POSITIONS {
            self.pending.pop_front();
        }
        self.pending.push_back((position, at));
    }

    fn mark_replayed(&mut self, position: i64) {
        while let Some((_, at)) = self.pending.pop_front_if(|(waiting, _)| *waiting <= position) {
            self.replayed_until = at;
        }
    }

    /// None where all is there that was committed before the look that began at this time.
    fn lag(&self, asked_at: Instant) -> Duration {
        asked_at.saturating_duration_since(self.replayed_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_age_of_oldest_missing_write() {
        let begun = Instant::now();
        let at = |second| begun + Duration::from_secs(second);
        let mut positions = WalPositions::new(begun);
        // Nothing is written for an hour, and all of it is there.
        for second in [1, 3_600] {
            positions.record(10, at(second));
            positions.mark_replayed(10);
            assert_eq!(positions.lag(at(second)), Duration::ZERO);
        }
        positions.record(20, at(3_601));
        positions.record(30, at(3_602));
        positions.mark_replayed(10);
        assert_eq!(positions.lag(at(3_602)), Duration::from_secs(2), "20 is not there");
        positions.mark_replayed(29);
        assert_eq!(positions.lag(at(3_602)), Duration::from_secs(1), "30 is not there");
        // The primary is not there to tell how far it is.
        positions.mark_replayed(30);
        assert_eq!(positions.lag(at(3_605)), Duration::from_secs(3));
    }

    #[test]
    fn unavailable_or_lagging_standby_is_unused() {
        let state = |seconds, trouble| StandbyState {
            lag: Duration::from_secs(seconds),
            unavailable_reason: trouble,
        };
        assert!(state(0, None).is_usable() && state(30, None).is_usable());
        assert!(!state(31, None).is_usable() && !state(0, Some("is no standby")).is_usable());
        let told = [state(0, None), state(9, None), state(31, None), state(9, Some("is no standby"))];
        assert_eq!(
            told.map(|state| state.to_string()),
            [
                "ok",
                "ok, 9 s behind",
                "31 s behind; the primary answers for it",
                "is no standby; the primary answers for it"
            ]
        );
    }

    #[test]
    fn wal_positions_are_bounded() {
        let begun = Instant::now();
        let mut positions = WalPositions::new(begun);
        for second in 0..10_000 {
            positions.record(second, begun + Duration::from_secs(second.unsigned_abs()));
        }
        assert_eq!(positions.pending.len(), MAX_WAL_POSITIONS);
        let now = begun + Duration::from_secs(9_999);
        assert_eq!(positions.lag(now), Duration::from_secs(9_999));
        positions.mark_replayed(9_999);
        assert_eq!(positions.lag(now), Duration::ZERO);
    }
}
