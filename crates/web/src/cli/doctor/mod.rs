//! `web doctor`: the checklist of a deployment.
//!
//! Checks run independently and for a few seconds each, so one fault does not hide another. Each reports its
//! findings and how to fix them, and never prints a secret.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

mod clock;
mod config;
mod database;
mod env;
mod finding;
mod instances;
mod keys;
mod public_url;
mod redis;
mod slack;
mod tls;

use std::io::{IsTerminal, stderr};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use tokio::time::timeout;

use config::DoctorConfig;
use finding::{CheckResult, Finding, Severity};

/// Upper limit for one check. The time-outs inside the checks are shorter.
const CHECK_TIMEOUT: Duration = Duration::from_secs(12);

const MAX_CONCURRENT_CHECKS: usize = 6;

/// Options of `web doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorOptions {
    /// Output as JSON
    #[arg(long)]
    json: bool,
}

/// An item of the checklist.
struct DoctorCheck<'a> {
    name: &'static str,
    run: Pin<Box<dyn Future<Output = CheckResult> + 'a>>,
}

/// One finding in the JSON output.
#[derive(Serialize)]
struct CheckReport {
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

/// Runs every check. The exit code is 1 if there is a fault.
pub fn run(options: &DoctorOptions) -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let lines = crate::cli::block_on(async {
        let setup = DoctorConfig::read().await;
        run_checks(&setup, |line| {
            if !options.json {
                print_report(line);
            }
        })
        .await
    });
    let count = |verdict| lines.iter().filter(|line| line.finding.verdict == verdict).count();
    let (faults, warnings) = (count(Severity::Fault), count(Severity::Warn));
    match options.json {
        true => {
            println!("{:#}", serde_json::json!({ "faults": faults, "warnings": warnings, "checks": lines }))
        }
        false => println!("\n{faults} fault(s), {warnings} warning(s)."),
    }
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lists all checks, in the order of a set-up.
fn list_checks(setup: &DoctorConfig) -> Vec<DoctorCheck<'_>> {
    fn check<'a>(name: &'static str, run: impl Future<Output = CheckResult> + 'a) -> DoctorCheck<'a> {
        DoctorCheck { name, run: Box::pin(run) }
    }
    vec![
        check("variables of web", env::check_web(setup)),
        check("variables of api", env::check_api(setup)),
        check("spelling", env::check_spelling(setup)),
        check("session secret", keys::check_session_secret(setup)),
        check("core dumps", clock::check_core_dumps()),
        check("database", database::check_server(setup)),
        check("database encryption", database::check_encryption(setup)),
        check("migrations", database::check_migrations(setup)),
        check("schema", database::check_schema_exposure(setup)),
        check("row-level security", database::check_row_security(setup)),
        check("connections", database::check_connections(setup)),
        check("direct connection", database::check_listen_session(setup)),
        check("encryption keys", keys::check_encryption_keys(setup)),
        check("redis", redis::check_redis(setup)),
        check("clock", clock::check_clock(setup)),
        check("certificate", public_url::check_certificate(setup)),
        check("public address", public_url::check_public_url(setup)),
        check("slack app", slack::check_app(setup)),
        check("signing secret", slack::check_signing_secret(setup)),
        check("allowed teams", slack::check_allowed_teams(setup)),
        check("slack scopes", slack::check_scopes(setup)),
        check("slack tokens", slack::check_tokens(setup)),
        check("model", slack::check_model_key(setup)),
        check("replicas", instances::check_instances(setup)),
        check("queue", instances::check_queue(setup)),
        check("dead letters", instances::check_dead_letters(setup)),
        check("backups", instances::check_backups(setup)),
    ]
}

/// Runs several checks at a time, and reports them in the order of the list.
async fn run_checks(setup: &DoctorConfig, mut on_report: impl FnMut(&CheckReport)) -> Vec<CheckReport> {
    let checks = list_checks(setup);
    let (all, shows_progress) = (checks.len(), stderr().is_terminal());
    let results = checks.into_iter().map(|DoctorCheck { name, run }| async move {
        let found = timeout(CHECK_TIMEOUT, run).await.unwrap_or_else(|_| {
            let found = format!("the check timed out after {} s", CHECK_TIMEOUT.as_secs());
            Err(Finding::fault(found, "find out which server does not respond"))
        });
        (name, found.unwrap_or_else(|finding| vec![finding]))
    });
    let mut results = stream::iter(results).buffered(MAX_CONCURRENT_CHECKS);
    let mut lines = Vec::new();
    for done in 1.. {
        if shows_progress {
            eprint!("\r\x1b[K{done} of {all} …");
        }
        let Some((check, findings)) = results.next().await else { break };
        if shows_progress {
            eprint!("\r\x1b[K");
        }
        for finding in findings {
            let line = CheckReport { check, finding };
            on_report(&line);
            lines.push(line);
        }
    }
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    lines
}

fn print_report(CheckReport { check, finding }: &CheckReport) {
    let verdict = match finding.verdict {
        Severity::Ok => "ok",
        Severity::Warn => "WARN",
        Severity::Fault => "FAULT",
    };
    println!("{verdict:6}{check:21}{}", finding.found);
    if let Some(remedy) = &finding.remedy {
        println!("{:27}→ {remedy}", "");
    }
}
