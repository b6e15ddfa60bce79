//! What the services stand on: Postgres, pgBouncer before it, and the ways to both. All of it can fall.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Runtime;

use super::proxy::Proxy;
use crate::cluster::{Cluster, Pooler};
use crate::launch::{self, Signal};

/// What has fallen comes back at its time.
pub(super) struct Base {
    pooler: Pooler,
    pooled: Proxy,
    direct: Proxy,
    database: String,
    postgres_back: Option<Instant>,
    pooler_back: Option<PoolerBack>,
}

enum PoolerBack {
    Started(Instant),
    Continued(Instant),
}

impl Base {
    pub(super) fn start(runtime: &Runtime, cluster: &Cluster, database: &str) -> Result<Self> {
        let pooler = Pooler::start(cluster)?;
        Ok(Self {
            pooled: runtime.block_on(Proxy::start(pooler.port()))?,
            direct: runtime.block_on(Proxy::start(cluster.port()))?,
            pooler,
            database: database.to_owned(),
            postgres_back: None,
            pooler_back: None,
        })
    }

    /// `DATABASE_URL` leads through pgBouncer, `DATABASE_DIRECT_URL` past it.
    pub(super) fn variables(&self, cluster: &Cluster) -> [(&'static str, String); 2] {
        let url = cluster.url(&self.database);
        let through = |proxy: &Proxy| url.replace(&cluster.port().to_string(), &proxy.port.to_string());
        [("DATABASE_URL", through(&self.pooled)), ("DATABASE_DIRECT_URL", through(&self.direct))]
    }

    /// Whether Postgres can be asked.
    pub(super) fn has_postgres(&self) -> bool {
        self.postgres_back.is_none()
    }

    /// Breaks every connection, and every new one for so long.
    pub(super) fn cut(&self, pause: Duration) {
        self.pooled.cut(pause);
        self.direct.cut(pause);
    }

    /// Postgres ends as in a crash, without a checkpoint.
    pub(super) fn crash_postgres(&mut self, cluster: &mut Cluster, pause: Duration) -> Result<()> {
        if self.postgres_back.is_none() {
            cluster.crash()?;
            self.postgres_back = Some(Instant::now() + pause);
        }
        Ok(())
    }

    pub(super) fn kill_pooler(&mut self, pause: Duration) -> Result<()> {
        if self.pooler_back.is_none() {
            self.pooler.kill()?;
            self.pooler_back = Some(PoolerBack::Started(Instant::now() + pause));
        }
        Ok(())
    }

    pub(super) fn stop_pooler(&mut self, pause: Duration) {
        if self.pooler_back.is_none() {
            launch::send(self.pooler.pid(), Signal::STOP);
            self.pooler_back = Some(PoolerBack::Continued(Instant::now() + pause));
        }
    }

    /// What was away for long enough comes back.
    pub(super) fn tend(&mut self, cluster: &mut Cluster) -> Result<()> {
        let now = Instant::now();
        if self.postgres_back.is_some_and(|back| now >= back) {
            cluster.revive()?;
            self.postgres_back = None;
        }
        match self.pooler_back {
            Some(PoolerBack::Started(back)) if now >= back => self.pooler.revive()?,
            Some(PoolerBack::Continued(back)) if now >= back => {
                launch::send(self.pooler.pid(), Signal::CONT);
            }
            _ => return Ok(()),
        }
        self.pooler_back = None;
        Ok(())
    }

    /// Nothing stays away any longer.
    pub(super) fn mend(&mut self, cluster: &mut Cluster) -> Result<()> {
        let now = Instant::now();
        self.postgres_back = self.postgres_back.map(|_| now);
        self.pooler_back = self.pooler_back.take().map(|back| match back {
            PoolerBack::Started(_) => PoolerBack::Started(now),
            PoolerBack::Continued(_) => PoolerBack::Continued(now),
        });
        self.tend(cluster)
    }
}
