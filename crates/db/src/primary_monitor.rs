//! The addresses of one database. If there are several, the pool connects to the one that accepts writes, and
//! follows a failover.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::{sleep, timeout};

/// Timeout of an address when there are others to try.
const PRIMARY_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time between two checks of the current address.
const PRIMARY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The addresses, in the order in which they are tried.
#[derive(Clone)]
pub(crate) struct Addresses(Arc<Vec<PgConnectOptions>>);

/// Time of the last failover: older connections lead to the previous primary.
#[derive(Clone, Default)]
pub(crate) struct Failover(Arc<Mutex<Option<Instant>>>);

impl Addresses {
    pub(crate) fn parse(urls: &[SecretString]) -> Result<Self, sqlx::Error> {
        // PgBouncer rejects startup parameters that it does not know.
        let parse = |url: &SecretString| {
            Ok::<_, sqlx::Error>(url.expose_secret().parse::<PgConnectOptions>()?.extra_float_digits(None))
        };
        let addresses: Vec<_> = urls.iter().map(parse).collect::<Result<_, _>>()?;
        match addresses.is_empty() {
            true => Err(sqlx::Error::Configuration("no database address".into())),
            false => Ok(Self(Arc::new(addresses))),
        }
    }

    pub(crate) fn first(&self) -> &PgConnectOptions {
        &self.0[0]
    }

    /// Connects to the first address that accepts writes, and returns that address.
    pub(crate) async fn connect_primary(&self) -> Result<(&PgConnectOptions, PgConnection), sqlx::Error> {
        if let [only] = &self.0[..] {
            return Ok((only, only.connect().await?));
        }
        let mut last_error = sqlx::Error::PoolTimedOut;
        for address in self.0.iter() {
            match timeout(PRIMARY_PROBE_TIMEOUT, connect_for_writes(address)).await {
                Ok(Ok(connection)) => return Ok((address, connection)),
                Ok(Err(error)) => last_error = error,
                Err(_) => {}
            }
        }
        Err(last_error)
    }

    /// Points the pool at the address that accepts writes, until the pool is closed.
    pub(crate) async fn follow_primary(self, pool: PgPool, failover: Failover) {
        let mut current = self.first().clone();
        while !pool.is_closed() && self.0.len() > 1 {
            match self.connect_primary().await {
                Ok((found, mut connection)) => {
                    if host_and_port(found) != host_and_port(&current) {
                        let (host, port) = host_and_port(found);
                        tracing::warn!("switched to the Postgres server {host}:{port}");
                        current = found.clone();
                        pool.set_connect_options(found.clone());
                        failover.record();
                    }
                    while !pool.is_closed() && is_still_primary(&mut connection).await {
                        sleep(PRIMARY_CHECK_INTERVAL).await;
                    }
                }
                Err(error) => tracing::warn!(error = %error, "no Postgres address accepts writes"),
            }
            sleep(PRIMARY_CHECK_INTERVAL / 4).await;
        }
    }
}

impl Failover {
    /// Returns whether a connection of this age leads to the current primary.
    pub(crate) fn is_connection_current(&self, age: Duration) -> bool {
        let moved_at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moved_at.is_none_or(|moved_at| age < moved_at.elapsed())
    }

    fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

fn host_and_port(address: &PgConnectOptions) -> (&str, u16) {
    (address.get_host(), address.get_port())
}

async fn connect_for_writes(address: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut connection = address.connect().await?;
    match is_primary(&mut connection).await? {
        true => Ok(connection),
        false => Err(sqlx::Error::Configuration("this address does not accept writes".into())),
    }
}

async fn is_still_primary(connection: &mut PgConnection) -> bool {
    matches!(timeout(PRIMARY_PROBE_TIMEOUT, is_primary(connection)).await, Ok(Ok(true)))
}

/// Returns whether the server accepts writes. Uses the simple protocol, which prepares nothing, because there
/// may be a pooler.
async fn is_primary(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    use sqlx::Row;
    sqlx::raw_sql("select not pg_is_in_recovery()").fetch_one(connection).await?.try_get(0)
}
