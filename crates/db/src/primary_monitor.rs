//! The addresses of one database. Where there are several the pool connects to the one that takes writes, and moves on
//! when another one does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::{sleep, timeout};

/// How long an address may take to answer, where there is another one to try.
const PRIMARY_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the address in use is looked at.
const PRIMARY_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The addresses, in the order in which they are tried.
#[derive(Clone)]
pub(crate) struct Addresses(Arc<Vec<PgConnectOptions>>);

/// When the pool last moved to another address: older connections lead to the one it left.
#[derive(Clone, Default)]
pub(crate) struct Failover(Arc<Mutex<Option<Instant>>>);

impl Addresses {
    pub(crate) fn parse(urls: &[SecretString]) -> Result<Self, sqlx::Error> {
        // pgBouncer refuses start-up parameters that it does not know.
        let read = |url: &SecretString| {
            Ok::<_, sqlx::Error>(url.expose_secret().parse::<PgConnectOptions>()?.extra_float_digits(None))
        };
        let addresses: Vec<_> = urls.iter().map(read).collect::<Result<_, _>>()?;
        match addresses.is_empty() {
            true => Err(sqlx::Error::Configuration("no address of a database".into())),
            false => Ok(Self(Arc::new(addresses))),
        }
    }

    pub(crate) fn first(&self) -> &PgConnectOptions {
        &self.0[0]
    }

    /// Connects to the first address that takes writes, and tells which that was.
    pub(crate) async fn connect_primary(&self) -> Result<(&PgConnectOptions, PgConnection), sqlx::Error> {
        if let [only] = &self.0[..] {
            return Ok((only, only.connect().await?));
        }
        let mut failure = sqlx::Error::PoolTimedOut;
        for address in self.0.iter() {
            match timeout(PRIMARY_PROBE_TIMEOUT, connect_for_writes(address)).await {
                Ok(Ok(connection)) => return Ok((address, connection)),
                Ok(Err(error)) => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Leads the pool to the address that takes writes, until the pool is closed.
    pub(crate) async fn follow_primary(self, pool: PgPool, moved: Failover) {
        let mut current = self.first().clone();
        while !pool.is_closed() && self.0.len() > 1 {
            match self.connect_primary().await {
                Ok((found, mut connection)) => {
                    let place =
                        |address: &PgConnectOptions| (address.get_host().to_owned(), address.get_port());
                    if place(found) != place(&current) {
                        tracing::warn!("Postgres is now that at {}:{}", found.get_host(), found.get_port());
                        current = found.clone();
                        pool.set_connect_options(found.clone());
                        moved.record();
                    }
                    while !pool.is_closed() && is_still_primary(&mut connection).await {
                        sleep(PRIMARY_CHECK_INTERVAL).await;
                    }
                }
                Err(error) => tracing::warn!(error = %error, "no address of Postgres takes writes"),
            }
            sleep(PRIMARY_CHECK_INTERVAL / 4).await;
        }
    }
}

impl Failover {
    /// Whether a connection of this age leads to where the pool is now.
    pub(crate) fn is_connection_current(&self, age: Duration) -> bool {
        let moved = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moved.is_none_or(|moved| age < moved.elapsed())
    }

    fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

async fn connect_for_writes(address: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut connection = address.connect().await?;
    match is_primary(&mut connection).await? {
        true => Ok(connection),
        false => Err(sqlx::Error::Configuration("this address takes no writes".into())),
    }
}

async fn is_still_primary(connection: &mut PgConnection) -> bool {
    matches!(timeout(PRIMARY_PROBE_TIMEOUT, is_primary(connection)).await, Ok(Ok(true)))
}

/// By the simple protocol, which prepares nothing: a pooler may stand between.
async fn is_primary(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    use sqlx::Row;
    sqlx::raw_sql("select not pg_is_in_recovery()").fetch_one(connection).await?.try_get(0)
}
