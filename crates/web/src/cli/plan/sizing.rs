//! Estimates of replicas, CPU cores, connections, memory and disk.

use serde::Serialize;

use super::measurements::Measurements;
use super::options::{PlanOptions, PlannedLoad};

const SECONDS_PER_DAY: f64 = 86_400.0;
const MONTH_DAYS: f64 = 30.0;
const BYTES_PER_MIB: f64 = 1_048_576.0;
const BYTES_PER_GIB: f64 = 1_073_741_824.0;

/// Planned CPU utilization. The HPA in `deploy/kubernetes` scales `api` out at 70 % too.
const MAX_CPU_UTILISATION: f64 = 0.7;

/// CPU cores of the machine of the measurements, shared by the load generator and Postgres.
const BENCHMARK_CORES: f64 = 2.0;

/// Default of `MAX_CONCURRENT_REPLIES`, and the smallest number of slots that is worth a replica.
const DEFAULT_REPLY_SLOTS: f64 = 256.0;
const MIN_REPLY_SLOTS: f64 = 16.0;

/// Default of `DATABASE_POOL_SIZE` plus `DATABASE_MAX_OVERFLOW`, and the sessions that `api` uses for LISTEN.
const POOL_CONNECTIONS: f64 = 50.0;
const LISTEN_CONNECTIONS: f64 = 2.0;

/// Direct connections that a Postgres of common size handles well. More than this needs a pooler.
pub(super) const MAX_DIRECT_CONNECTIONS: f64 = 400.0;

/// A dashboard user reloads the page this often, as it refreshes itself.
const SECONDS_PER_PAGE_VIEW: f64 = 10.0;

/// Memory of an empty Redis in MiB, and of Postgres per CPU core in GiB.
const REDIS_BASE_MIB: f64 = 8.0;
const GIB_PER_DATABASE_CORE: f64 = 4.0;

/// The resources of a deployment.
#[derive(Clone, Debug, Serialize)]
pub(super) struct DeploymentSizes {
    pub(super) messages_per_second: f64,
    pub(super) messages_per_second_at_peak: f64,
    /// Concurrent answers at peak.
    pub(super) replies_at_once: f64,
    /// Includes a spare.
    pub(super) api_replicas: f64,
    pub(super) max_concurrent_replies: f64,
    pub(super) api_cores_busy: f64,
    pub(super) api_mib_each: f64,
    /// Includes a spare.
    pub(super) web_replicas: f64,
    pub(super) dashboard_users: f64,
    pub(super) database_cores: f64,
    pub(super) database_gib_memory: f64,
    /// Upper limit over all replicas.
    pub(super) connections: f64,
    pub(super) needs_pooler: bool,
    pub(super) gib_a_month: f64,
    pub(super) gib_of_queue: f64,
    pub(super) disk_gib: f64,
    pub(super) wal_gib_a_day: f64,
    pub(super) redis_mib: f64,
}

impl DeploymentSizes {
    /// Estimates the resources for a load.
    pub(super) fn estimate(options: &PlanOptions, measured: &Measurements, load: PlannedLoad) -> Self {
        let daily_messages = load.workspaces * load.messages_per_day;
        let rate = daily_messages / SECONDS_PER_DAY;
        let peak = rate * options.peak;
        let at_once = peak * options.answer_seconds;
        let slots = slots_with_headroom(at_once);
        let api_cores = (peak * measured.value("api_cpu_per_reply") / 1e3)
            + peak * BENCHMARK_CORES / measured.value("acknowledged_per_second");
        // One spare is added below.
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
        let gib_of_queue =
            daily_messages * options.retention_days * measured.value("queue_per_reply") / BYTES_PER_GIB;
        let gib_a_month = daily_messages * MONTH_DAYS * measured.value("kept_per_reply") / BYTES_PER_GIB;
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
            wal_gib_a_day: daily_messages * measured.value("wal_per_reply") / BYTES_PER_GIB,
            redis_mib: REDIS_BASE_MIB
                + load.workspaces * measured.value("redis_per_workspace") / BYTES_PER_MIB,
        }
    }

    /// Returns the rows of the table.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let pooled = if self.needs_pooler { ", through a pooler" } else { "" };
        vec![
            ("messages per second, average", format_number(self.messages_per_second)),
            ("messages per second, peak", format_number(self.messages_per_second_at_peak)),
            ("concurrent answers", format_number(self.replies_at_once)),
            ("api replicas, with a spare", format!("{}", self.api_replicas)),
            ("MAX_CONCURRENT_REPLIES, minimum", format!("{}", self.max_concurrent_replies)),
            ("api CPU at peak (cores)", format_number(self.api_cores_busy)),
            ("memory per api replica, MiB", format_number(self.api_mib_each)),
            ("dashboard users", format!("{}", self.dashboard_users)),
            ("web replicas, with a spare", format!("{}", self.web_replicas)),
            ("Postgres CPU (cores)", format!("{}", self.database_cores)),
            ("Postgres connections, maximum", format!("{}{pooled}", self.connections)),
            ("stored events, GiB", format_number(self.gib_of_queue)),
            ("conversations per month, GiB", format_number(self.gib_a_month)),
            ("disk, GiB", format_number(self.disk_gib)),
            ("WAL per day, GiB", format_number(self.wal_gib_a_day)),
            ("Redis, MiB", format_number(self.redis_mib)),
        ]
    }
}

/// Returns the slots for an average number of concurrent answers, with headroom for random peaks.
fn slots_with_headroom(at_once: f64) -> f64 {
    // Arrivals are Poisson: the standard deviation is the root of the mean, and peaks stay within three of
    // them.
    at_once + 3.0 * at_once.sqrt()
}

/// Formats a number with two decimals if it is small, none if it is large.
pub(super) fn format_number(number: f64) -> String {
    match number {
        number if number >= 100.0 => format!("{number:.0}"),
        number if number >= 10.0 => format!("{number:.1}"),
        number => format!("{number:.2}"),
    }
}
