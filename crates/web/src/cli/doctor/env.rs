//! Checks of the environment variables of both services, including misspelled ones.

use std::collections::BTreeSet;
use std::process::Stdio;

use service::SettingsError;
use tokio::process::Command;
use tokio::time::timeout;

use super::config::{API_ENV_FILE, DoctorConfig, PROBE_TIMEOUT};
use super::finding::{CheckResult, Finding};
use crate::WebSettings;

/// The example files list every variable, set or commented out.
const ENV_EXAMPLES: [&str; 2] =
    [include_str!("../../../../../.env.web.example"), include_str!("../../../../../.env.api.example")];

/// Variables that the example files leave out, because each is an alternative to another one.
const UNLISTED_VARS: [&str; 2] = ["PORT", "SUPABASE_DB_PASSWORD"];

/// Variables that must have the same value in both services.
const SHARED_VARS: [&str; 7] = [
    "DEFAULT_MONTHLY_BUDGET",
    "DATABASE_URL",
    "ENCRYPTION_KEYS",
    "REDIS_URL",
    "SLACK_CLIENT_ID",
    "SLACK_CLIENT_SECRET",
    "SLACK_BASE_URL",
];

/// Checks all variables of `web`, as it does when it starts.
pub(super) async fn check_web(setup: &DoctorConfig) -> CheckResult {
    let mut findings: Vec<Finding> = setup.web_error.iter().flat_map(settings_findings).collect();
    match WebSettings::from_environment(setup.web.clone()) {
        Ok(_) if findings.is_empty() => findings.push(Finding::ok("complete and well-formed")),
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

/// Checks all variables of `api` by running `api check`, since `web` does not know what `api` reads.
pub(super) async fn check_api(setup: &DoctorConfig) -> CheckResult {
    let Some(env) = &setup.api else {
        let remedy = format!(
            "run `api check` where its variables are set, or put {API_ENV_FILE} into the working directory"
        );
        return Ok(vec![Finding::warn("skipped: not available here", remedy)]);
    };
    let mut findings = run_api_check().await;
    for name in SHARED_VARS {
        let (web, api) = (setup.web.text(name), env.text(name));
        if api.is_some() && web.is_some() && api != web {
            let found = format!("{name} differs from web's");
            findings.push(Finding::fault(found, "give both services the same value"));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("complete, well-formed, and consistent with web's"));
    }
    Ok(findings)
}

/// Runs `api check`, if the binary `api` is next to `web`, and returns its findings.
async fn run_api_check() -> Vec<Finding> {
    let api = std::env::current_exe().ok().map(|web| web.with_file_name("api")).filter(|api| api.is_file());
    let incomplete = |reason: &str| vec![Finding::warn(reason, "run `api check` where api runs")];
    let Some(api) = api else { return incomplete("incomplete: there is no `api` next to this program") };
    let mut command = Command::new(api);
    command.arg("check").stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let Ok(Ok(output)) = timeout(PROBE_TIMEOUT, command.output()).await else {
        return incomplete("incomplete: `api check` did not run");
    };
    if output.status.success() {
        return Vec::new();
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = stderr.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| match line.split_once("; ") {
            Some((found, remedy)) => Finding::fault(found, remedy),
            None => Finding::fault(line, "run `api check`"),
        })
        .collect()
}

/// Checks for variables that no service reads.
pub(super) async fn check_spelling(setup: &DoctorConfig) -> CheckResult {
    let known = known_vars();
    let files = [Some(&setup.web), setup.api.as_ref()];
    let in_files: BTreeSet<String> =
        files.into_iter().flatten().flat_map(|env| env.file_names().to_vec()).collect();
    let in_process = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let set: BTreeSet<String> = in_files.iter().cloned().chain(in_process).collect();
    let mut findings = Vec::new();
    for name in set.iter().filter(|name| !known.contains(name.as_str())) {
        // The process also has variables of the system: report only those that look like one of ours.
        match known.iter().find(|known| is_similar(name, known)) {
            Some(meant) => findings.push(Finding::fault(
                format!("{name} is set, but not used"),
                format!("did you mean {meant}?"),
            )),
            None if in_files.contains(name) => findings.push(Finding::warn(
                format!("{name} is in a .env file, but not used"),
                "remove it, or check its spelling in .env.web.example and .env.api.example",
            )),
            None => {}
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("no unknown variables"));
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

/// Returns true if a name is one typo away from a known one, or two for a long name.
fn is_similar(name: &str, known: &str) -> bool {
    let max_typos = if known.len() < 10 { 1 } else { 2 };
    known.len() > 5 && strsim::damerau_levenshtein(&name.to_ascii_uppercase(), known) <= max_typos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelled_variables_are_recognized() {
        let known = known_vars();
        for name in ["DATABASE_URL", "OPENAI_FALLBACK_MODELS", "SESSION_SECRET", "PORT"] {
            assert!(known.contains(name), "{name}");
        }
        for (typo, meant) in
            [("SESION_SECRET", "SESSION_SECRET"), ("REDIS_URI", "REDIS_URL"), ("redis_url", "REDIS_URL")]
        {
            assert!(is_similar(typo, meant), "{typo}");
        }
        for name in ["PATH", "HOSTNAME", "SSL_CERT_FILE", "RUST_LOG", "API_HOST", "SUPPORT"] {
            assert!(!known.iter().any(|known| is_similar(name, known)), "{name}");
        }
    }
}
