//! The infrastructure of the services: Postgres, pgBouncer, Redis, and the connections to them. All of it can
//! fail.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Runtime;

use super::proxy::Proxy;
use crate::child_process::{self, Signal};
use crate::cluster::{Cluster, Pooler};
use crate::redis::Redis;

/// A replica's connection to Postgres. A direct connection uses named statements, which a pooler does not
/// support.
#[derive(Clone, Copy)]
pub(super) enum PostgresRoute {
    Pooled,
    Direct,
}

/// The infrastructure. Failed parts are restarted when their time has come.
pub(super) struct Infra {
    pub(super) pooler: FaultyProcess<Pooler>,
    pub(super) redis: FaultyProcess<Redis>,
    pooled: Proxy,
    direct: Proxy,
    to_redis: Proxy,
    database: String,
    postgres_restart_at: Option<Instant>,
}

impl Infra {
    pub(super) fn start(runtime: &Runtime, cluster: &Cluster, database: &str) -> Result<Self> {
        let (pooler, redis) = (Pooler::start(cluster)?, Redis::start()?);
        Ok(Self {
            pooled: runtime.block_on(Proxy::start(pooler.port()))?,
            direct: runtime.block_on(Proxy::start(cluster.port()))?,
            to_redis: runtime.block_on(Proxy::start(redis.port()))?,
            pooler: FaultyProcess::new(pooler),
            redis: FaultyProcess::new(redis),
            database: database.to_owned(),
            postgres_restart_at: None,
        })
    }

    /// Returns the variables: `DATABASE_URL` through pgBouncer and `DATABASE_DIRECT_URL` around it, or both
    /// around it.
    pub(super) fn variables(&self, cluster: &Cluster, way: PostgresRoute) -> [(&'static str, String); 3] {
        let url = cluster.url(&self.database);
        let through = |proxy: &Proxy| url.replace(&cluster.port().to_string(), &proxy.port.to_string());
        let proxy = match way {
            PostgresRoute::Pooled => &self.pooled,
            PostgresRoute::Direct => &self.direct,
        };
        [
            ("DATABASE_URL", through(proxy)),
            ("DATABASE_DIRECT_URL", through(&self.direct)),
            ("REDIS_URL", format!("redis://127.0.0.1:{}", self.to_redis.port)),
        ]
    }

    /// Returns whether Postgres responds.
    pub(super) fn is_postgres_up(&self) -> bool {
        self.postgres_restart_at.is_none()
    }

    /// Returns whether replicas can reach Postgres.
    pub(super) fn is_postgres_reachable(&self) -> bool {
        self.is_postgres_up() && self.pooler.recovery.is_none() && !self.pooled.is_cut()
    }

    /// Breaks every connection, and every new one during the pause.
    pub(super) fn cut_connections(&self, pause: Duration) {
        for proxy in [&self.pooled, &self.direct, &self.to_redis] {
            proxy.cut(pause);
        }
    }

    /// Crashes Postgres, without a checkpoint.
    pub(super) fn crash_postgres(&mut self, cluster: &mut Cluster, pause: Duration) -> Result<()> {
        if self.postgres_restart_at.is_none() {
            cluster.crash()?;
            self.postgres_restart_at = Some(Instant::now() + pause);
        }
        Ok(())
    }

    /// Restarts what has been down for long enough.
    pub(super) fn restart_due(&mut self, cluster: &mut Cluster) -> Result<()> {
        if self.postgres_restart_at.is_some_and(|back| Instant::now() >= back) {
            cluster.relaunch()?;
            self.postgres_restart_at = None;
        }
        self.pooler.recover_due()?;
        self.redis.recover_due()
    }

    /// Restarts everything that is down.
    pub(super) fn end_faults(&mut self, cluster: &mut Cluster) -> Result<()> {
        self.postgres_restart_at = self.postgres_restart_at.map(|_| Instant::now());
        self.pooler.recover_now();
        self.redis.recover_now();
        self.restart_due(cluster)
    }
}

/// A process of the infrastructure.
pub(super) trait InfraProcess {
    fn kill(&mut self) -> Result<()>;
    fn relaunch(&mut self) -> Result<()>;
    fn pid(&self) -> u32;
}

impl InfraProcess for Pooler {
    fn kill(&mut self) -> Result<()> {
        self.kill()
    }

    fn relaunch(&mut self) -> Result<()> {
        self.relaunch()
    }

    fn pid(&self) -> u32 {
        self.pid()
    }
}

impl InfraProcess for Redis {
    fn kill(&mut self) -> Result<()> {
        self.kill()
    }

    fn relaunch(&mut self) -> Result<()> {
        self.relaunch()
    }

    fn pid(&self) -> u32 {
        self.pid()
    }
}

/// A process that may be down. It handles one failure at a time.
pub(super) struct FaultyProcess<P> {
    process: P,
    recovery: Option<(Instant, ProcessFault)>,
}

#[derive(Clone, Copy)]
enum ProcessFault {
    Killed,
    Stopped,
}

impl<P: InfraProcess> FaultyProcess<P> {
    fn new(process: P) -> Self {
        Self { process, recovery: None }
    }

    pub(super) fn kill(&mut self, pause: Duration) -> Result<()> {
        if self.recovery.is_none() {
            self.process.kill()?;
            self.recovery = Some((Instant::now() + pause, ProcessFault::Killed));
        }
        Ok(())
    }

    pub(super) fn suspend(&mut self, pause: Duration) {
        if self.recovery.is_none() {
            child_process::send_signal(self.process.pid(), Signal::STOP);
            self.recovery = Some((Instant::now() + pause, ProcessFault::Stopped));
        }
    }

    fn recover_due(&mut self) -> Result<()> {
        let Some((at, fall)) = self.recovery else { return Ok(()) };
        if Instant::now() < at {
            return Ok(());
        }
        match fall {
            ProcessFault::Killed => self.process.relaunch()?,
            ProcessFault::Stopped => child_process::send_signal(self.process.pid(), Signal::CONT),
        }
        self.recovery = None;
        Ok(())
    }

    fn recover_now(&mut self) {
        self.recovery = self.recovery.map(|(_, fall)| (Instant::now(), fall));
    }
}
