//! `web doctor`: the checklist of a deployment. Each check looks by itself and for a few seconds at most, so that no fault hides
//! another, and says what was found and what to do; never a secret.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

mod clock;
mod config;
mod database;
mod env;
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

/// How long a check may take; each waits for less by itself.
const CHECK_TIMEOUT: Duration = Duration::from_secs(12);

/// Checks that look at once.
const MAX_CONCURRENT_CHECKS: usize = 6;

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct DoctorOptions {
    /// For a program: one JSON object
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Ok,
    /// It works, but not in every case; or nobody could look.
    Warn,
    /// It does not work, or something is lost or open that must not be.
    Fault,
}

/// What a check found, and what to do about it.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    verdict: Severity,
    found: String,
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self { verdict: Severity::Ok, found: found.into(), remedy: None }
    }

    fn warn(found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { verdict: Severity::Warn, found: found.into(), remedy: Some(todo.into()) }
    }

    fn fault(found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { verdict: Severity::Fault, found: found.into(), remedy: Some(todo.into()) }
    }

    /// Nobody could look, because of something that another check tells.
    fn skipped(why: &str) -> Self {
        Self { verdict: Severity::Warn, found: format!("not looked at: {why}"), remedy: None }
    }
}

/// What a check says; the error is one more finding, at which it ended early.
type CheckResult = Result<Vec<Finding>, Finding>;

/// A box of the list.
struct DoctorCheck<'a> {
    name: &'static str,
    run: Pin<Box<dyn Future<Output = CheckResult> + 'a>>,
}

/// One finding, as a program reads it.
#[derive(Serialize)]
struct CheckReport {
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

/// Runs every check. The exit code is a failure where there is a fault.
pub fn run(options: &DoctorOptions) -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let lines = crate::commands::block_on(async {
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

/// All boxes, in the order in which a set-up is made.
fn list_checks(setup: &DoctorConfig) -> Vec<DoctorCheck<'_>> {
    fn check<'a>(name: &'static str, look: impl Future<Output = CheckResult> + 'a) -> DoctorCheck<'a> {
        DoctorCheck { name, run: Box::pin(look) }
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
        check("way past the pooler", database::check_listen_session(setup)),
        check("encryption keys", keys::check_encryption_keys(setup)),
        check("redis", redis::check_redis(setup)),
        check("clock", clock::check_clock(setup)),
        check("certificate", public_url::check_certificate(setup)),
        check("public address", public_url::check_public_url(setup)),
        check("slack app", slack::check_app(setup)),
        check("signing secret", slack::check_signing_secret(setup)),
        check("slack scopes", slack::check_scopes(setup)),
        check("slack tokens", slack::check_tokens(setup)),
        check("model", slack::check_model_key(setup)),
        check("replicas", instances::check_instances(setup)),
        check("queue", instances::check_queue(setup)),
        check("set aside", instances::check_dead_letters(setup)),
        check("backups", instances::check_backups(setup)),
    ]
}

/// Lets several look at once, and tells each in its turn.
async fn run_checks(setup: &DoctorConfig, mut on_report: impl FnMut(&CheckReport)) -> Vec<CheckReport> {
    let checks = list_checks(setup);
    let (all, shows) = (checks.len(), stderr().is_terminal());
    let looks = checks.into_iter().map(|DoctorCheck { name, run: look }| async move {
        let found = timeout(CHECK_TIMEOUT, look).await.unwrap_or_else(|_| {
            let found = format!("nothing was found out within {} s", CHECK_TIMEOUT.as_secs());
            Err(Finding::fault(found, "see what does not answer"))
        });
        (name, found.unwrap_or_else(|finding| vec![finding]))
    });
    let mut looks = stream::iter(looks).buffered(MAX_CONCURRENT_CHECKS);
    let mut lines = Vec::new();
    for done in 1.. {
        if shows {
            eprint!("\r\x1b[K{done} of {all} …");
        }
        let Some((check, findings)) = looks.next().await else { break };
        if shows {
            eprint!("\r\x1b[K");
        }
        for finding in findings {
            let line = CheckReport { check, finding };
            on_report(&line);
            lines.push(line);
        }
    }
    if shows {
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
    if let Some(todo) = &finding.remedy {
        println!("{:27}→ {todo}", "");
    }
}
