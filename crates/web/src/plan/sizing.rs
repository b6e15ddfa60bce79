//! Replicas, cores, connections, memory and disk.

use serde::Serialize;

use super::{Measurements, PlanOptions, PlannedLoad};

const SECONDS_PER_DAY: f64 = 86_400.0;
const MONTH_DAYS: f64 = 30.0;
const BYTES_PER_MIB: f64 = 1_048_576.0;
const BYTES_PER_GIB: f64 = 1_073_741_824.0;

/// Processors are not planned to be busier: the seed scales `api` out at 70 % CPU.
const MAX_CPU_UTILISATION: f64 = 0.7;

/// The cores on which acknowledgements and pages were measured, with whoever asked and Postgres on them.
const BENCHMARK_CORES: f64 = 2.0;

/// `MAX_CONCURRENT_REPLIES` as it comes, and the fewest slots that are worth a replica.
const DEFAULT_REPLY_SLOTS: f64 = 256.0;
const MIN_REPLY_SLOTS: f64 = 16.0;

/// `DATABASE_POOL_SIZE` and `DATABASE_MAX_OVERFLOW` as they come, and the sessions in which `api` listens.
const POOL_CONNECTIONS: f64 = 50.0;
const LISTEN_CONNECTIONS: f64 = 2.0;

/// Connections that a Postgres of ordinary size holds well; beyond it a pooler stands between.
pub(super) const MAX_DIRECT_CONNECTIONS: f64 = 400.0;

/// A page of the dashboard is loaded so often by who looks at it, as it tells of news.
const SECONDS_PER_PAGE_VIEW: f64 = 10.0;

/// What Redis takes before anything is in it, in MiB; and what a Postgres wants for each core, in GiB.
const REDIS_BASE_MIB: f64 = 8.0;
const GIB_PER_DATABASE_CORE: f64 = 4.0;

/// What has to be there.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DeploymentSizes {
    pub(super) messages_per_second: f64,
    pub(super) messages_per_second_at_peak: f64,
    /// Answers in work at once, at the peak.
    pub(super) replies_at_once: f64,
    /// With one that may be lost.
    pub(super) api_replicas: f64,
    pub(super) max_concurrent_replies: f64,
    pub(super) api_cores_busy: f64,
    pub(super) api_mib_each: f64,
    /// With one that may be lost.
    pub(super) web_replicas: f64,
    pub(super) dashboard_users: f64,
    pub(super) database_cores: f64,
    pub(super) database_gib_memory: f64,
    /// That all replicas open at most.
    pub(super) connections: f64,
    pub(super) needs_pooler: bool,
    pub(super) gib_a_month: f64,
    pub(super) gib_of_queue: f64,
    pub(super) disk_gib: f64,
    pub(super) wal_gib_a_day: f64,
    pub(super) redis_mib: f64,
}

impl DeploymentSizes {
    /// Counts for a load.
    pub(super) fn estimate(options: &PlanOptions, measured: &Measurements, load: PlannedLoad) -> Self {
        let a_day = load.workspaces * load.messages_per_day;
        let rate = a_day / SECONDS_PER_DAY;
        let peak = rate * options.peak;
        let at_once = peak * options.answer_seconds;
        let slots = slots_with_headroom(at_once);
        let api_cores = (peak * measured.value("api_cpu_per_reply") / 1e3)
            + peak * BENCHMARK_CORES / measured.value("acknowledged_per_second");
        // The last one is for when another is lost.
        let working = (slots / DEFAULT_REPLY_SLOTS)
            .max(api_cores / (options.cores * MAX_CPU_UTILISATION))
            .ceil()
            .max(1.0);
        let max_concurrent_replies = ((slots / working / 8.0).ceil() * 8.0).max(MIN_REPLY_SLOTS);
        let dashboard_users = (load.workspaces * options.dashboard_users / 100.0).ceil();
        let web_cores =
            dashboard_users / SECONDS_PER_PAGE_VIEW * BENCHMARK_CORES / measured.value("pages_per_second");
        let web_replicas = (web_cores / (options.cores * MAX_CPU_UTILISATION)).ceil().max(1.0) + 1.0;
        let database_cores =
            (peak * measured.value("postgres_cpu_per_reply") / 1e3 / MAX_CPU_UTILISATION).ceil().max(1.0);
        let api_replicas = working + 1.0;
        let connections =
            api_replicas * (POOL_CONNECTIONS + LISTEN_CONNECTIONS) + web_replicas * POOL_CONNECTIONS;
        let gib_of_queue = a_day * options.retention_days * measured.value("queue_per_reply") / BYTES_PER_GIB;
        let gib_a_month = a_day * MONTH_DAYS * measured.value("kept_per_reply") / BYTES_PER_GIB;
        Self {
            messages_per_second: rate,
            messages_per_second_at_peak: peak,
            replies_at_once: at_once,
            api_replicas,
            max_concurrent_replies,
            api_cores_busy: api_cores,
            api_mib_each: measured.value("api_idle")
                + max_concurrent_replies * measured.value("api_per_streaming_reply"),
            web_replicas,
            dashboard_users,
            database_cores,
            database_gib_memory: database_cores * GIB_PER_DATABASE_CORE,
            connections,
            needs_pooler: connections > MAX_DIRECT_CONNECTIONS,
            gib_a_month,
            gib_of_queue,
            disk_gib: gib_of_queue + gib_a_month * options.months,
            wal_gib_a_day: a_day * measured.value("wal_per_reply") / BYTES_PER_GIB,
            redis_mib: REDIS_BASE_MIB
                + load.workspaces * measured.value("redis_per_workspace") / BYTES_PER_MIB,
        }
    }

    /// What is shown.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let pooled = if self.needs_pooler { ", by a pooler" } else { "" };
        vec![
            ("messages a second, mean", format_number(self.messages_per_second)),
            ("messages a second, at the peak", format_number(self.messages_per_second_at_peak)),
            ("answers in work at once", format_number(self.replies_at_once)),
            ("replicas of api, one to lose", format!("{}", self.api_replicas)),
            ("MAX_CONCURRENT_REPLIES, at least", format!("{}", self.max_concurrent_replies)),
            ("cores that api keeps busy", format_number(self.api_cores_busy)),
            ("memory of an api, MiB", format_number(self.api_mib_each)),
            ("people at the dashboard", format!("{}", self.dashboard_users)),
            ("replicas of web, one to lose", format!("{}", self.web_replicas)),
            ("cores of Postgres", format!("{}", self.database_cores)),
            ("connections at most", format!("{}{pooled}", self.connections)),
            ("events kept, GiB", format_number(self.gib_of_queue)),
            ("conversations a month, GiB", format_number(self.gib_a_month)),
            ("disk, GiB", format_number(self.disk_gib)),
            ("WAL a day, GiB", format_number(self.wal_gib_a_day)),
            ("Redis, MiB", format_number(self.redis_mib)),
        ]
    }
}

/// Slots for so many in the mean: what comes by chance is within three times its root of it.
fn slots_with_headroom(at_once: f64) -> f64 {
    at_once + 3.0 * at_once.sqrt()
}

/// Two digits behind the point where it is small, none where it is large.
pub(super) fn format_number(number: f64) -> String {
    match number {
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}
