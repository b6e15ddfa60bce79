//! What the services stand on: Postgres, pgBouncer before it, Redis, and the ways to them. All of it can fall.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Runtime;

use super::proxy::Proxy;
use crate::cluster::{Cluster, Pooler};
use crate::launch::{self, Signal};
use crate::redis::Redis;

/// How a replica reaches Postgres: straight its statements have names, which a pooler does not take.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Pooled,
    Straight,
}

/// What has fallen comes back at its time.
pub(super) struct Base {
    pub(super) pooler: Part<Pooler>,
    pub(super) redis: Part<Redis>,
    pooled: Proxy,
    direct: Proxy,
    to_redis: Proxy,
    database: String,
    postgres_back: Option<Instant>,
}

impl Base {
    pub(super) fn start(runtime: &Runtime, cluster: &Cluster, database: &str) -> Result<Self> {
        let (pooler, redis) = (Pooler::start(cluster)?, Redis::start()?);
        Ok(Self {
            pooled: runtime.block_on(Proxy::start(pooler.port()))?,
            direct: runtime.block_on(Proxy::start(cluster.port()))?,
            to_redis: runtime.block_on(Proxy::start(redis.port()))?,
            pooler: Part::new(pooler),
            redis: Part::new(redis),
            database: database.to_owned(),
            postgres_back: None,
        })
    }

    /// `DATABASE_URL` leads through pgBouncer and `DATABASE_DIRECT_URL` past it, or both lead past it.
    pub(super) fn variables(&self, cluster: &Cluster, way: Way) -> [(&'static str, String); 3] {
        let url = cluster.url(&self.database);
        let through = |proxy: &Proxy| url.replace(&cluster.port().to_string(), &proxy.port.to_string());
        let proxy = match way {
            Way::Pooled => &self.pooled,
            Way::Straight => &self.direct,
        };
        [
            ("DATABASE_URL", through(proxy)),
            ("DATABASE_DIRECT_URL", through(&self.direct)),
            ("REDIS_URL", format!("redis://127.0.0.1:{}", self.to_redis.port)),
        ]
    }

    /// Whether Postgres can be asked.
    pub(super) fn has_postgres(&self) -> bool {
        self.postgres_back.is_none()
    }

    /// Whether replicas can reach it.
    pub(super) fn is_reachable(&self) -> bool {
        self.has_postgres() && self.pooler.back.is_none() && !self.pooled.is_cut()
    }

    /// Breaks every connection, and every new one for so long.
    pub(super) fn cut(&self, pause: Duration) {
        for proxy in [&self.pooled, &self.direct, &self.to_redis] {
            proxy.cut(pause);
        }
    }

    /// Postgres ends as in a crash, without a checkpoint.
    pub(super) fn crash_postgres(&mut self, cluster: &mut Cluster, pause: Duration) -> Result<()> {
        if self.postgres_back.is_none() {
            cluster.crash()?;
            self.postgres_back = Some(Instant::now() + pause);
        }
        Ok(())
    }

    /// What was away for long enough comes back.
    pub(super) fn tend(&mut self, cluster: &mut Cluster) -> Result<()> {
        if self.postgres_back.is_some_and(|back| Instant::now() >= back) {
            cluster.revive()?;
            self.postgres_back = None;
        }
        self.pooler.tend()?;
        self.redis.tend()
    }

    /// Nothing stays away any longer.
    pub(super) fn mend(&mut self, cluster: &mut Cluster) -> Result<()> {
        self.postgres_back = self.postgres_back.map(|_| Instant::now());
        self.pooler.hurry();
        self.redis.hurry();
        self.tend(cluster)
    }
}

/// A process that others stand on.
pub(super) trait Process {
    fn kill(&mut self) -> Result<()>;
    fn revive(&mut self) -> Result<()>;
    fn pid(&self) -> u32;
}

impl Process for Pooler {
    fn kill(&mut self) -> Result<()> {
        self.kill()
    }

    fn revive(&mut self) -> Result<()> {
        self.revive()
    }

    fn pid(&self) -> u32 {
        self.pid()
    }
}

impl Process for Redis {
    fn kill(&mut self) -> Result<()> {
        self.kill()
    }

    fn revive(&mut self) -> Result<()> {
        self.revive()
    }

    fn pid(&self) -> u32 {
        self.pid()
    }
}

/// A process that may be away; it takes one fall at a time.
pub(super) struct Part<P> {
    process: P,
    back: Option<(Instant, Fall)>,
}

#[derive(Clone, Copy)]
enum Fall {
    Killed,
    Stopped,
}

impl<P: Process> Part<P> {
    fn new(process: P) -> Self {
        Self { process, back: None }
    }

    pub(super) fn kill(&mut self, pause: Duration) -> Result<()> {
        if self.back.is_none() {
            self.process.kill()?;
            self.back = Some((Instant::now() + pause, Fall::Killed));
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, pause: Duration) {
        if self.back.is_none() {
            launch::send(self.process.pid(), Signal::STOP);
            self.back = Some((Instant::now() + pause, Fall::Stopped));
        }
    }

    fn tend(&mut self) -> Result<()> {
        let Some((at, fall)) = self.back else { return Ok(()) };
        if Instant::now() < at {
            return Ok(());
        }
        match fall {
            Fall::Killed => self.process.revive()?,
            Fall::Stopped => launch::send(self.process.pid(), Signal::CONT),
        }
        self.back = None;
        Ok(())
    }

    fn hurry(&mut self) {
        self.back = self.back.map(|(_, fall)| (Instant::now(), fall));
    }
}
