//! A standby of the database, which serves the dashboard's reads: its lag behind the primary, and the
//! fallback to the primary.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions, PgConnection, Row};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::{Db, DbError};

/// Time between two checks of the lag.
const STANDBY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Timeout of such a check, and of waiting for a connection to the standby.
pub(crate) const STANDBY_TIMEOUT: Duration = Duration::from_secs(2);

/// A standby with a larger lag is not used.
const MAX_STANDBY_LAG: Duration = Duration::from_secs(30);

/// Recorded positions of the primary: ten minutes of them.
const MAX_WAL_POSITIONS: usize = 600;

/// The result of a query, and its age.
#[derive(Clone, Copy, Debug)]
pub struct Stale<T> {
    /// The result.
    pub value: T,
    /// Lag of the server that answered.
    pub age: Duration,
}

/// State of a standby.
#[derive(Clone, Debug)]
pub struct StandbyState {
    /// Age of the oldest change that it may lack; if it is unavailable, as far as known.
    pub lag: Duration,
    /// Reason why it is unavailable, if it is.
    pub unavailable_reason: Option<&'static str>,
}

/// A standby and its state. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Standby {
    pool: PgPool,
    state: watch::Receiver<StandbyState>,
}

impl StandbyState {
    /// Returns whether queries go to the standby.
    pub fn is_usable(&self) -> bool {
        self.unavailable_reason.is_none() && self.lag <= MAX_STANDBY_LAG
    }
}

impl fmt::Display for StandbyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.unavailable_reason, self.lag.as_secs()) {
            (Some(reason), _) => write!(f, "{reason}; using the primary"),
            (None, 0) => f.write_str("ok"),
            (None, lag) if self.is_usable() => write!(f, "ok, {lag} s behind"),
            (None, lag) => write!(f, "{lag} s behind; using the primary"),
        }
    }
}

impl Standby {
    /// Monitors the standby of `primary` until the pool is closed.
    pub(crate) fn monitor(pool: PgPool, address: PgConnectOptions, primary: Db) -> Self {
        let state = StandbyState { lag: Duration::ZERO, unavailable_reason: Some("not checked yet") };
        let (publisher, state) = watch::channel(state);
        tokio::spawn(run_monitor(pool.clone(), address, primary, publisher));
        Self { pool, state }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn state(&self) -> StandbyState {
        self.state.borrow().clone()
    }

    /// Returns the lag if the standby is usable.
    pub(crate) fn usable_lag(&self) -> Option<Duration> {
        let state = self.state.borrow();
        state.is_usable().then_some(state.lag)
    }

    /// Waits for a result, but cancels it if the standby becomes unavailable.
    pub(crate) async fn cancel_if_lost<T>(
        &self,
        query: impl Future<Output = Result<T, DbError>>,
    ) -> Result<T, DbError> {
        let mut state = self.state.clone();
        tokio::select! {
            result = query => result,
            _ = state.wait_for(|state| state.unavailable_reason.is_some()) => Err(DbError::Timeout),
        }
    }
}

async fn run_monitor(
    pool: PgPool,
    address: PgConnectOptions,
    primary: Db,
    publisher: watch::Sender<StandbyState>,
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
        let unavailable_reason = match replayed {
            Ok(Ok(Some(position))) => {
                positions.mark_replayed(position);
                None
            }
            Ok(Ok(None)) => Some("not a standby"),
            Ok(Err(_)) => Some("query failed"),
            Err(_) => Some("no response within two seconds"),
        };
        if unavailable_reason.is_some() {
            session = None;
        }
        publish_state(&publisher, StandbyState { lag: positions.lag(asked_at), unavailable_reason });
        sleep(STANDBY_CHECK_INTERVAL).await;
    }
}

/// Publishes the state and logs when queries switch between standby and primary.
fn publish_state(publisher: &watch::Sender<StandbyState>, state: StandbyState) {
    let (was_usable, is_usable) = (publisher.borrow().is_usable(), state.is_usable());
    let (lag, reason) = (state.lag.as_secs(), state.unavailable_reason.unwrap_or("too far behind"));
    match is_usable {
        true if !was_usable => tracing::info!("standby in use, {lag} s behind"),
        false if was_usable => tracing::warn!("standby unavailable ({reason}), using the primary"),
        _ => {}
    }
    publisher.send_replace(state);
}

/// Returns the position of the primary's WAL.
async fn read_primary_position(primary: &Db) -> Result<i64, DbError> {
    let mut tx = primary.begin_cross_tenant().await?;
    let position =
        sqlx::query_scalar!(r#"select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as "position!""#);
    Ok(position.fetch_one(&mut tx).await?)
}

/// Returns the replayed position; `None` if the server is not a standby. Uses the simple protocol, which
/// prepares nothing, because there may be a pooler.
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

/// Positions of the primary with their times. They turn a position into a lag, even while nothing is written,
/// using only this process's clock.
struct WalPositions {
    /// Positions not replayed yet, oldest first.
    pending: VecDeque<(i64, Instant)>,
    /// All commits before this time are replayed.
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
        while let Some((_, at)) = self.pending.pop_front_if(|(pending, _)| *pending <= position) {
            self.replayed_until = at;
        }
    }

    /// Returns the lag; zero if everything committed before the check that began at `asked_at` is replayed.
    fn lag(&self, asked_at: Instant) -> Duration {
        asked_at.saturating_duration_since(self.replayed_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_age_of_oldest_missing_write() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut positions = WalPositions::new(start);
        // Nothing is written for an hour, and everything is replayed.
        for second in [1, 3_600] {
            positions.record(10, at(second));
            positions.mark_replayed(10);
            assert_eq!(positions.lag(at(second)), Duration::ZERO);
        }
        positions.record(20, at(3_601));
        positions.record(30, at(3_602));
        positions.mark_replayed(10);
        assert_eq!(positions.lag(at(3_602)), Duration::from_secs(2), "20 is not replayed");
        positions.mark_replayed(29);
        assert_eq!(positions.lag(at(3_602)), Duration::from_secs(1), "30 is not replayed");
        // The primary cannot be reached for its position.
        positions.mark_replayed(30);
        assert_eq!(positions.lag(at(3_605)), Duration::from_secs(3));
    }

    #[test]
    fn unavailable_or_lagging_standby_is_unused() {
        let state = |seconds, unavailable_reason| StandbyState {
            lag: Duration::from_secs(seconds),
            unavailable_reason,
        };
        assert!(state(0, None).is_usable() && state(30, None).is_usable());
        assert!(!state(31, None).is_usable() && !state(0, Some("not a standby")).is_usable());
        let states = [state(0, None), state(9, None), state(31, None), state(9, Some("not a standby"))];
        assert_eq!(
            states.map(|state| state.to_string()),
            ["ok", "ok, 9 s behind", "31 s behind; using the primary", "not a standby; using the primary"]
        );
    }

    #[test]
    fn wal_positions_are_bounded() {
        let start = Instant::now();
        let mut positions = WalPositions::new(start);
        for second in 0..10_000 {
            positions.record(second, start + Duration::from_secs(second.unsigned_abs()));
        }
        assert_eq!(positions.pending.len(), MAX_WAL_POSITIONS);
        let now = start + Duration::from_secs(9_999);
        assert_eq!(positions.lag(now), Duration::from_secs(9_999));
        positions.mark_replayed(9_999);
        assert_eq!(positions.lag(now), Duration::ZERO);
    }
}
