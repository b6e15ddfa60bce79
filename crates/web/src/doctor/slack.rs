//! The Slack app, the workspaces that installed it, and the model: whether each takes what we have for it.

use std::time::Duration;

use ::slack::{BotAuth, SlackError, missing_scopes};
use db::tenants::TenantState;
use futures_util::{StreamExt, stream};
use secrecy::SecretString;

use super::config::DoctorConfig;
use super::keys::MAX_LISTED_TENANTS;
use super::{CheckResult, Finding};

/// Installations whose token is tried, and so many at once.
const MAX_CHECKED_TOKENS: usize = 100;
const MAX_CONCURRENT_TOKEN_CHECKS: usize = 10;

/// A token that rotates is replaced hours before it ends.
const TOKEN_EXPIRY_WARNING: Duration = Duration::from_secs(30 * 60);

const SLACK_ORIGIN: &str = "https://slack.com";

/// Whether Slack knows the app by `SLACK_CLIENT_ID` and `SLACK_CLIENT_SECRET`.
pub(super) async fn check_app(setup: &DoctorConfig) -> CheckResult {
    let (Some(slack), Some(app)) = (&setup.slack, &setup.slack_app) else {
        return Err(Finding::skipped("SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are not both set"));
    };
    Ok(vec![match slack.test_app(app).await {
        Ok(()) => Finding::ok("Slack knows it by its id and secret"),
        Err(error @ SlackError::Api { .. }) => Finding::fault(
            format!("Slack does not know it: {error}"),
            "take both from the app's page: Basic Information → App Credentials",
        ),
        Err(error) => unreachable_finding(&error),
    }])
}

fn unreachable_finding(error: &SlackError) -> Finding {
    Finding::fault(format!("Slack did not answer: {error}"), "let this machine reach SLACK_BASE_URL by https")
}

/// Only Slack knows it: it is looked whether it can be one.
pub(super) async fn check_signing_secret(setup: &DoctorConfig) -> CheckResult {
    let Some(secret) = setup.api_var("SLACK_SIGNING_SECRET") else {
        return Err(Finding::skipped("SLACK_SIGNING_SECRET is not given here"));
    };
    let is_slacks = setup.api_var("SLACK_BASE_URL").is_none_or(|url| url.starts_with(SLACK_ORIGIN));
    Ok(vec![evaluate_signing_secret(secret.trim(), is_slacks)])
}

fn evaluate_signing_secret(secret: &str, is_slacks: bool) -> Finding {
    let is_hex = secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (is_hex, is_slacks) {
        (true, _) => Finding::ok("it has the form of one"),
        (false, false) => Finding::ok("set; its form is not looked at, since SLACK_BASE_URL is not Slack's"),
        (false, true) => Finding::fault(
            "SLACK_SIGNING_SECRET is not 32 hexadecimal characters: no event would be believed",
            "take it from Basic Information → App Credentials → Signing Secret",
        ),
    }
}

/// Whether each workspace granted what the bot needs, as it was installed.
pub(super) async fn check_scopes(setup: &DoctorConfig) -> CheckResult {
    let tenants = list_installed(setup).await?;
    let lacking = tenants.iter().filter_map(|tenant| {
        let missing = missing_scopes(tenant.scopes.as_deref().unwrap_or_default());
        let names: Vec<&str> = missing.iter().map(|scope| scope.name).collect();
        (!names.is_empty()).then(|| format!("{} lacks {}", tenant.tenant_id, names.join(", ")))
    });
    let lacking: Vec<String> = lacking.collect();
    Ok(vec![match lacking.is_empty() {
        true => Finding::ok(format!("{} installation(s), all that is needed is granted", tenants.len())),
        false => Finding::fault(
            join_first(&lacking),
            "let an admin there install again; `web tenants list` says what breaks",
        ),
    }])
}

/// Workspaces that have the bot, also those whose token is dead.
async fn list_installed(setup: &DoctorConfig) -> Result<Vec<TenantState>, Finding> {
    let mut tenants =
        setup.query(async |db| db::tenants::list(&mut db.begin_cross_tenant().await?).await).await?;
    tenants.retain(|tenant| tenant.installed_at.is_some() && tenant.delete_after.is_none());
    Ok(tenants)
}

fn join_first(told: &[String]) -> String {
    let named = told.iter().take(MAX_LISTED_TENANTS).cloned().collect::<Vec<_>>().join("; ");
    match told.len().saturating_sub(MAX_LISTED_TENANTS) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// Whether tokens live: what is noted of all of them, and what Slack says of the first hundred.
pub(super) async fn check_tokens(setup: &DoctorConfig) -> CheckResult {
    let tenants = list_installed(setup).await?;
    let mut findings = Vec::new();
    let ending = setup
        .query(async |db| {
            db::tokens::list_expiring(&mut db.begin_cross_tenant().await?, TOKEN_EXPIRY_WARNING).await
        })
        .await?;
    if !ending.is_empty() {
        let ending: Vec<String> = ending.iter().map(ToString::to_string).collect();
        findings.push(Finding::fault(
            format!("about to end, and not replaced: {}", join_first(&ending)),
            "see api's log for why; it needs SLACK_CLIENT_ID and SLACK_CLIENT_SECRET",
        ));
    }
    let trials = tenants.iter().take(MAX_CHECKED_TOKENS).map(|tenant| check_token(setup, tenant));
    let trials: Vec<TokenCheck> = stream::iter(trials).buffered(MAX_CONCURRENT_TOKEN_CHECKS).collect().await;
    let untried = tenants.iter().skip(MAX_CHECKED_TOKENS);
    let noted = untried.filter_map(|tenant| Some((tenant, tenant.disabled_reason.clone()?)));
    let trials: Vec<TokenCheck> =
        trials.into_iter().chain(noted.map(|(tenant, why)| TokenCheck::invalid(tenant, why))).collect();
    let dead: Vec<String> = trials
        .iter()
        .filter_map(|trial| if let TokenCheck::Invalid(told) = trial { Some(told.clone()) } else { None })
        .collect();
    if !dead.is_empty() {
        findings.push(Finding::fault(join_first(&dead), "let an admin there install again"));
    }
    let unseen = trials.iter().filter(|trial| matches!(trial, TokenCheck::Skipped)).count();
    if unseen > 0 {
        findings.push(Finding::skipped(&format!("{unseen} token(s) could not be read, or not be tried")));
    }
    if findings.is_empty() {
        let (all, tried) = (tenants.len(), tenants.len().min(MAX_CHECKED_TOKENS));
        findings
            .push(Finding::ok(format!("{all} installation(s), Slack takes the token of the first {tried}")));
    }
    Ok(findings)
}

/// What came of a token.
enum TokenCheck {
    Valid,
    /// Whose, and why.
    Invalid(String),
    /// It does not open, which the check of the keys tells; or Slack did not say.
    Skipped,
}

impl TokenCheck {
    fn invalid(tenant: &TenantState, why: impl std::fmt::Display) -> Self {
        Self::Invalid(format!("{}: {why}", tenant.tenant_id))
    }
}

async fn check_token(setup: &DoctorConfig, tenant: &TenantState) -> TokenCheck {
    if let Some(reason) = &tenant.disabled_reason {
        return TokenCheck::invalid(tenant, reason);
    }
    let tenant_id = &tenant.tenant_id;
    let found =
        setup.query(async |db| db::installations::find(&mut db.begin(tenant_id).await?, tenant_id).await);
    let (Ok(Some(installed)), Some(slack)) = (found.await, &setup.slack) else { return TokenCheck::Skipped };
    let bot =
        BotAuth { tenant_id: tenant_id.clone(), token: installed.bot_token, team_id: None, send_guard: None };
    match slack.test_token(&bot).await {
        // What the installation lacks is told by the check of the scopes.
        Ok(granted) => {
            let missing = granted.map(|granted| missing_scopes(&granted)).unwrap_or_default();
            let noted = missing_scopes(tenant.scopes.as_deref().unwrap_or_default());
            match missing.iter().find(|scope| !noted.contains(scope)) {
                Some(scope) => TokenCheck::invalid(tenant, format!("the token lacks {} by now", scope.name)),
                None => TokenCheck::Valid,
            }
        }
        Err(error @ SlackError::Api { .. }) => TokenCheck::invalid(tenant, error),
        Err(_) => TokenCheck::Skipped,
    }
}

/// Whether the model's server takes the key.
pub(super) async fn check_model_key(setup: &DoctorConfig) -> CheckResult {
    let Some(key) = setup.api_var("OPENAI_API_KEY") else {
        return Err(Finding::skipped("OPENAI_API_KEY is not given here"));
    };
    let base_url = setup.api_var("OPENAI_BASE_URL");
    let base_url = base_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned());
    Ok(vec![match llm::check_api_key(base_url.trim(), &SecretString::from(key.trim())).await {
        Ok(()) => Finding::ok("its server takes the key"),
        Err(error) => Finding::fault(error.to_string(), "see OPENAI_API_KEY and OPENAI_BASE_URL"),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn signing_secret_format_is_checked_for_slack() {
        let [good, bad] =
            ["8f742231b10e8888abcd99yyyzzz85a5".replace(['y', 'z'], "0"), "xoxb-1-2".to_owned()];
        assert_eq!(evaluate_signing_secret(&good, true).verdict, Severity::Ok);
        assert_eq!(evaluate_signing_secret(&bad, true).verdict, Severity::Fault);
        assert_eq!(evaluate_signing_secret(&bad, false).verdict, Severity::Ok);
        assert!(!evaluate_signing_secret(&bad, true).found.contains(&bad));
    }
}
