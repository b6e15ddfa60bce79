//! `web doctor`: the checklist of a deployment. Each check looks by itself and for a few seconds at most, so that no fault hides
//! another, and says what was found and what to do; never a secret.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

mod clock;
mod database;
mod front;
mod keys;
mod redis;
mod running;
mod setup;
mod slack;
mod tls;
mod variables;

use std::io::{IsTerminal, stderr};
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use tokio::time::timeout;

use setup::Setup;

/// How long a check may take; each waits for less by itself.
const PATIENCE: Duration = Duration::from_secs(12);

/// Checks that look at once.
const AT_ONCE: usize = 6;

/// What can be asked for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// For a program: one JSON object
    #[arg(long)]
    json: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// It works, but not in every case; or nobody could look.
    Warn,
    /// It does not work, or something is lost or open that must not be.
    Fault,
}

/// What a check found, and what to do about it.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    verdict: Verdict,
    found: String,
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

impl Finding {
    fn ok(found: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, found: found.into(), todo: None }
    }

    fn warn(found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, found: found.into(), todo: Some(todo.into()) }
    }

    fn fault(found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fault, found: found.into(), todo: Some(todo.into()) }
    }

    /// Nobody could look, because of something that another check tells.
    fn unseen(why: &str) -> Self {
        Self { verdict: Verdict::Warn, found: format!("not looked at: {why}"), todo: None }
    }
}

/// What a check says; the error is one more finding, at which it ended early.
type Look = Result<Vec<Finding>, Finding>;

/// A box of the list.
struct Check<'a> {
    name: &'static str,
    look: Pin<Box<dyn Future<Output = Look> + 'a>>,
}

/// One finding, as a program reads it.
#[derive(Serialize)]
struct Line {
    check: &'static str,
    #[serde(flatten)]
    finding: Finding,
}

/// Runs every check. The exit code is a failure where there is a fault.
pub fn run(options: &Options) -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let lines = crate::commands::block_on(async {
        let setup = Setup::read().await;
        look_at_all(&setup, |line| {
            if !options.json {
                print(line);
            }
        })
        .await
    });
    let count = |verdict| lines.iter().filter(|line| line.finding.verdict == verdict).count();
    let (faults, warnings) = (count(Verdict::Fault), count(Verdict::Warn));
    match options.json {
        true => {
            println!("{:#}", serde_json::json!({ "faults": faults, "warnings": warnings, "checks": lines }))
        }
        false => println!("\n{faults} fault(s), {warnings} warning(s)."),
    }
    if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All boxes, in the order in which a set-up is made.
fn checks(setup: &Setup) -> Vec<Check<'_>> {
    fn check<'a>(name: &'static str, look: impl Future<Output = Look> + 'a) -> Check<'a> {
        Check { name, look: Box::pin(look) }
    }
    vec![
        check("variables of web", variables::of_web(setup)),
        check("variables of api", variables::of_api(setup)),
        check("spelling", variables::spelling(setup)),
        check("session secret", keys::session_secret(setup)),
        check("core dumps", clock::core_dumps()),
        check("database", database::reached(setup)),
        check("database encryption", database::encryption(setup)),
        check("migrations", database::migrations(setup)),
        check("schema", database::exposure(setup)),
        check("row-level security", database::row_security(setup)),
        check("connections", database::connections(setup)),
        check("way past the pooler", database::listening(setup)),
        check("encryption keys", keys::encryption_keys(setup)),
        check("redis", redis::look(setup)),
        check("clock", clock::look(setup)),
        check("certificate", front::certificate(setup)),
        check("public address", front::address(setup)),
        check("slack app", slack::app(setup)),
        check("signing secret", slack::signing_secret(setup)),
        check("slack scopes", slack::scopes(setup)),
        check("slack tokens", slack::tokens(setup)),
        check("model", slack::model(setup)),
        check("replicas", running::replicas(setup)),
        check("queue", running::queue(setup)),
        check("set aside", running::set_aside(setup)),
        check("backups", running::backups(setup)),
    ]
}

/// Lets several look at once, and tells each in its turn.
async fn look_at_all(setup: &Setup, mut tell: impl FnMut(&Line)) -> Vec<Line> {
    let checks = checks(setup);
    let (all, shows) = (checks.len(), stderr().is_terminal());
    let looks = checks.into_iter().map(|Check { name, look }| async move {
        let found = timeout(PATIENCE, look).await.unwrap_or_else(|_| {
            let found = format!("nothing was found out within {} s", PATIENCE.as_secs());
            Err(Finding::fault(found, "see what does not answer"))
        });
        (name, found.unwrap_or_else(|finding| vec![finding]))
    });
    let mut looks = stream::iter(looks).buffered(AT_ONCE);
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
            let line = Line { check, finding };
            tell(&line);
            lines.push(line);
        }
    }
    if shows {
        eprint!("\r\x1b[K");
    }
    lines
}

fn print(Line { check, finding }: &Line) {
    let verdict = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "WARN",
        Verdict::Fault => "FAULT",
    };
    println!("{verdict:6}{check:21}{}", finding.found);
    if let Some(todo) = &finding.todo {
        println!("{:27}→ {todo}", "");
    }
}
