//! Checks of Redis.

use std::collections::BTreeSet;

use cache::RedisInfo;
use db::instances::Instance;
use secrecy::ExposeSecret;
use url::Url;

use super::config::DoctorConfig;
use super::database::is_local;
use super::finding::{CheckResult, Finding};

/// The oldest major version that still gets fixes. All features used here are older.
const MIN_REDIS_MAJOR: u32 = 6;

/// Checks that Redis is set where it is needed, shared by all replicas, reachable and well configured.
pub(super) async fn check_redis(setup: &DoctorConfig) -> CheckResult {
    let replicas =
        setup.query(async |db| db::instances::list(&mut db.begin_cross_tenant().await?).await).await;
    let Some(url) = &setup.redis_url else {
        let replicas = replicas?;
        return Ok(list_address_mismatches(&replicas)
            .into_iter()
            .chain([missing_redis_finding(setup, &replicas)])
            .collect());
    };
    let mut findings = list_address_mismatches(&replicas.unwrap_or_default());
    if url.expose_secret().starts_with("redis:")
        && !Url::parse(url.expose_secret()).is_ok_and(|url| is_local(&url))
    {
        findings.push(Finding::fault("the connection is not encrypted", "use rediss:// in REDIS_URL"));
    }
    match cache::inspect(url).await {
        Ok(state) => findings.extend(evaluate_redis(&state)),
        Err(error) => findings.push(Finding::fault(
            format!("cannot connect: {error}"),
            "check REDIS_URL; until Redis is back, each replica counts its limits separately",
        )),
    }
    Ok(findings)
}

fn missing_redis_finding(setup: &DoctorConfig, replicas: &[Instance]) -> Finding {
    if setup.web.text("REDIS_URL").is_some() {
        return Finding::skipped("REDIS_URL is malformed");
    }
    let count = |service: &str| replicas.iter().filter(|replica| replica.service == service).count();
    match (count("api"), count("web")) {
        (0..=1, 0..=1) => Finding::ok("not set, and not needed with one replica of each service"),
        (api, web) => Finding::fault(
            format!(
                "REDIS_URL is not set, but there are {api} replicas of api and {web} of web: each counts \
                 limits separately"
            ),
            "set REDIS_URL to one Redis for all of them",
        ),
    }
}

/// Reports replicas that use different Redis servers, or none.
fn list_address_mismatches(replicas: &[Instance]) -> Vec<Finding> {
    let addresses: BTreeSet<String> = replicas
        .iter()
        .map(|replica| replica.shared_facts().redis.unwrap_or_else(|| "none".to_owned()))
        .collect();
    match addresses.len() {
        0..=1 => Vec::new(),
        _ => vec![Finding::fault(
            format!("the replicas use different servers: {}", Vec::from_iter(addresses).join(", ")),
            "give all of them the same REDIS_URL",
        )],
    }
}

fn evaluate_redis(state: &RedisInfo) -> Vec<Finding> {
    let mut findings = Vec::new();
    let major = state.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < MIN_REDIS_MAJOR) {
        findings.push(Finding::warn(
            format!("version {} is no longer maintained", state.version),
            format!("upgrade to {MIN_REDIS_MAJOR} or newer"),
        ));
    }
    if !state.is_primary {
        findings.push(Finding::fault("read-only: this is a replica", "set REDIS_URL to the primary"));
    }
    if state.max_memory > 0 && state.policy == "noeviction" {
        findings.push(Finding::fault(
            "writes will fail once its memory is full (maxmemory-policy noeviction)",
            "set maxmemory-policy volatile-ttl or allkeys-lru: every key here expires anyway",
        ));
    }
    if findings.is_empty() {
        let limit = match state.max_memory {
            0 => "no limit".to_owned(),
            bytes => format!("{} MiB, then {}", bytes >> 20, state.policy),
        };
        let used = state.used_memory >> 20;
        findings.push(Finding::ok(format!("version {}, {used} MiB in use, {limit}", state.version)));
    }
    findings
}
