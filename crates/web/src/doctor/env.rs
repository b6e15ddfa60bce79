//! What is set and what is not, of both services; and what is set that nobody reads, because it is misspelt.

use std::collections::BTreeSet;
use std::process::Stdio;

use service::SettingsError;
use tokio::process::Command;
use tokio::time::timeout;

use super::config::{API_ENV_FILE, DoctorConfig, PROBE_TIMEOUT};
use super::{CheckResult, Finding};
use crate::WebSettings;

/// Each variable stands there, set or behind a `#`.
const ENV_EXAMPLES: [&str; 2] =
    [include_str!("../../../../.env.web.example"), include_str!("../../../../.env.api.example")];

/// Those of the contract that the files leave out, since one needs another instead of them.
const UNLISTED_VARS: [&str; 2] = ["PORT", "SUPABASE_DB_PASSWORD"];

/// Both services must have the same.
const SHARED_VARS: [&str; 6] = [
    "DATABASE_URL",
    "ENCRYPTION_KEYS",
    "REDIS_URL",
    "SLACK_CLIENT_ID",
    "SLACK_CLIENT_SECRET",
    "SLACK_BASE_URL",
];

/// All that `web` reads, as it does when it starts.
pub(super) async fn check_web(setup: &DoctorConfig) -> CheckResult {
    let mut findings: Vec<Finding> = setup.web_error.iter().flat_map(settings_findings).collect();
    match WebSettings::from_environment(setup.web.clone()) {
        Ok(_) if findings.is_empty() => findings.push(Finding::ok("all that it needs, and well-formed")),
        Ok(_) => {}
        Err(error) => findings.extend(settings_findings(&error)),
    }
    Ok(findings)
}

fn settings_findings(error: &SettingsError) -> impl Iterator<Item = Finding> {
    error.0.iter().map(|problem| {
        let example = format!("for example {}={}", problem.name, problem.example);
        Finding::fault(format!("{} {}", problem.name, problem.reason), example)
    })
}

/// All that `api` reads: it looks itself, if it is here, since `web` does not know what it reads.
pub(super) async fn check_api(setup: &DoctorConfig) -> CheckResult {
    let Some(env) = &setup.api else {
        let todo = format!(
            "run `api check` where its variables are set, or this with {API_ENV_FILE} in the working directory"
        );
        return Ok(vec![Finding::warn("not looked at: they are not given here", todo)]);
    };
    let mut findings = run_api_check().await;
    for name in SHARED_VARS {
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
async fn run_api_check() -> Vec<Finding> {
    let api = std::env::current_exe().ok().map(|web| web.with_file_name("api")).filter(|api| api.is_file());
    let unseen = |why: &str| vec![Finding::warn(why, "run `api check` where api runs")];
    let Some(api) = api else { return unseen("not all looked at: there is no `api` beside this program") };
    let mut command = Command::new(api);
    command.arg("check").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let Ok(Ok(output)) = timeout(PROBE_TIMEOUT, command.output()).await else {
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
pub(super) async fn check_spelling(setup: &DoctorConfig) -> CheckResult {
    let known = known_vars();
    let files = [Some(&setup.web), setup.api.as_ref()];
    let in_files: BTreeSet<String> =
        files.into_iter().flatten().flat_map(|env| env.file_names().to_vec()).collect();
    let in_process = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let set: BTreeSet<String> = in_files.iter().cloned().chain(in_process).collect();
    let mut findings = Vec::new();
    for name in set.iter().filter(|name| !known.contains(name.as_str())) {
        // The system's own variables are nobody's mistake, unless they look like one of ours.
        match known.iter().find(|known| is_similar(name, known)) {
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

fn known_vars() -> BTreeSet<&'static str> {
    let named = ENV_EXAMPLES.iter().flat_map(|example| example.lines()).filter_map(|line| {
        let (name, _) = line.trim_start_matches('#').split_once('=')?;
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        Some(name).filter(|name| !name.is_empty() && is_name(name))
    });
    named.chain(UNLISTED_VARS).collect()
}

/// One letter more, less, other or swapped; in a long name two.
fn is_similar(name: &str, known: &str) -> bool {
    let slips = if known.len() < 10 { 1 } else { 2 };
    known.len() > 5 && strsim::damerau_levenshtein(&name.to_ascii_uppercase(), known) <= slips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_variables_are_recognised() {
        let known = known_vars();
        for name in ["DATABASE_URL", "OPENAI_FALLBACK_MODELS", "SESSION_SECRET", "PORT"] {
            assert!(known.contains(name), "{name}");
        }
        for (slip, meant) in
            [("SESION_SECRET", "SESSION_SECRET"), ("REDIS_URI", "REDIS_URL"), ("redis_url", "REDIS_URL")]
        {
            assert!(is_similar(slip, meant), "{slip}");
        }
        for name in ["PATH", "HOSTNAME", "SSL_CERT_FILE", "RUST_LOG", "API_HOST", "SUPPORT"] {
            assert!(!known.iter().any(|known| is_similar(name, known)), "{name}");
        }
    }
}
