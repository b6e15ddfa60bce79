//! What is set and what is not, of both services; and what is set that nobody reads, because it is misspelt.

use std::collections::BTreeSet;
use std::process::Stdio;

use service::SettingsError;
use tokio::process::Command;
use tokio::time::timeout;

use super::setup::{ENV_FILE_OF_API, PATIENCE, Setup};
use super::{Finding, Look};
use crate::Settings;

/// Each variable stands there, set or behind a `#`.
const EXAMPLES: [&str; 2] =
    [include_str!("../../../../.env.web.example"), include_str!("../../../../.env.api.example")];

/// Those of the contract that the files leave out, since one needs another instead of them.
const OTHERS: [&str; 2] = ["PORT", "SUPABASE_DB_PASSWORD"];

/// Both services must have the same.
const SHARED: [&str; 6] = [
    "DATABASE_URL",
    "ENCRYPTION_KEYS",
    "REDIS_URL",
    "SLACK_CLIENT_ID",
    "SLACK_CLIENT_SECRET",
    "SLACK_BASE_URL",
];

/// All that `web` reads, as it does when it starts.
pub(super) async fn of_web(setup: &Setup) -> Look {
    let mut findings: Vec<Finding> = setup.web_unread.iter().flat_map(told).collect();
    match Settings::from_environment(setup.web.clone()) {
        Ok(_) if findings.is_empty() => findings.push(Finding::ok("all that it needs, and well-formed")),
        Ok(_) => {}
        Err(error) => findings.extend(told(&error)),
    }
    Ok(findings)
}

fn told(error: &SettingsError) -> impl Iterator<Item = Finding> {
    error.0.iter().map(|problem| {
        let example = format!("for example {}={}", problem.name, problem.example);
        Finding::fault(format!("{} {}", problem.name, problem.reason), example)
    })
}

/// All that `api` reads: it looks itself, if it is here, since `web` does not know what it reads.
pub(super) async fn of_api(setup: &Setup) -> Look {
    let Some(env) = &setup.api else {
        let todo = format!(
            "run `api check` where its variables are set, or this with {ENV_FILE_OF_API} in the working directory"
        );
        return Ok(vec![Finding::warn("not looked at: they are not given here", todo)]);
    };
    let mut findings = check_by_itself().await;
    for name in SHARED {
        let (web, api) = (setup.web.text(name), env.text(name));
        if api.is_some() && web.is_some() && api != web {
            let found = format!("{name} is another than web's");
            findings.push(Finding::fault(found, "give both services the same"));
        }
    }
    if findings.is_empty() {
        findings
            .push(Finding::ok("all that it needs, well-formed, and the same as web's where it has to be"));
    }
    Ok(findings)
}

/// What `api check` says, where `api` lies beside `web`.
async fn check_by_itself() -> Vec<Finding> {
    let api = std::env::current_exe().ok().map(|web| web.with_file_name("api")).filter(|api| api.is_file());
    let unseen = |why: &str| vec![Finding::warn(why, "run `api check` where api runs")];
    let Some(api) = api else { return unseen("not all looked at: there is no `api` beside this program") };
    let mut command = Command::new(api);
    command.arg("check").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let Ok(Ok(output)) = timeout(PATIENCE, command.output()).await else {
        return unseen("not all looked at: `api check` did not run");
    };
    if output.status.success() {
        return Vec::new();
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = told.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| match line.split_once("; ") {
            Some((found, todo)) => Finding::fault(found, todo),
            None => Finding::fault(line, "run `api check`"),
        })
        .collect()
}

/// What is set and read by nobody.
pub(super) async fn spelling(setup: &Setup) -> Look {
    let known = known();
    let files = [Some(&setup.web), setup.api.as_ref()];
    let in_files: BTreeSet<String> =
        files.into_iter().flatten().flat_map(|env| env.file_names().to_vec()).collect();
    let in_process = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let set: BTreeSet<String> = in_files.iter().cloned().chain(in_process).collect();
    let mut findings = Vec::new();
    for name in set.iter().filter(|name| !known.contains(name.as_str())) {
        // The system's own variables are nobody's mistake, unless they look like one of ours.
        match known.iter().find(|known| is_like(name, known)) {
            Some(meant) => findings.push(Finding::fault(
                format!("{name} is set, and read by nobody"),
                format!("it may have been meant as {meant}"),
            )),
            None if in_files.contains(name) => findings.push(Finding::warn(
                format!("{name} is in a .env file, and read by nobody"),
                "take it out, or see how it is spelt in .env.web.example and .env.api.example",
            )),
            None => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("nothing is set that nobody reads"));
    }
    Ok(findings)
}

fn known() -> BTreeSet<&'static str> {
    let named = EXAMPLES.iter().flat_map(|example| example.lines()).filter_map(|line| {
        let (name, _) = line.trim_start_matches('#').split_once('=')?;
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        Some(name).filter(|name| !name.is_empty() && is_name(name))
    });
    named.chain(OTHERS).collect()
}

/// One letter more, less, other or swapped; in a long name two.
fn is_like(name: &str, known: &str) -> bool {
    let slips = if known.len() < 10 { 1 } else { 2 };
    known.len() > 5 && strsim::damerau_levenshtein(&name.to_ascii_uppercase(), known) <= slips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_the_examples_and_slips_are_recognised() {
        let known = known();
        for name in ["DATABASE_URL", "OPENAI_FALLBACK_MODELS", "SESSION_SECRET", "PORT"] {
            assert!(known.contains(name), "{name}");
        }
        for (slip, meant) in
            [("SESION_SECRET", "SESSION_SECRET"), ("REDIS_URI", "REDIS_URL"), ("redis_url", "REDIS_URL")]
        {
            assert!(is_like(slip, meant), "{slip}");
        }
        for name in ["PATH", "HOSTNAME", "SSL_CERT_FILE", "RUST_LOG", "API_HOST", "SUPPORT"] {
            assert!(!known.iter().any(|known| is_like(name, known)), "{name}");
        }
    }
}
