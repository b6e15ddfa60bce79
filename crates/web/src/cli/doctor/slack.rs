//! Checks of the credentials for Slack and for the model.

use std::time::Duration;

use ::slack::{BotAuth, SlackError, missing_scopes};
use db::tenants::TenantState;
use futures_util::{StreamExt, stream};
use models::{EnterpriseId, TeamId};
use secrecy::SecretString;

use super::config::DoctorConfig;
use super::finding::{CheckResult, Finding};
use super::keys::MAX_LISTED_TENANTS;
use crate::settings::read_allowed_teams;

/// Number of installations whose token is tested.
const MAX_CHECKED_TOKENS: usize = 100;
const MAX_CONCURRENT_TOKEN_CHECKS: usize = 10;

/// Rotating tokens are replaced hours before they expire; with less time left than this, the refresh has
/// failed.
const TOKEN_EXPIRY_WARNING: Duration = Duration::from_secs(30 * 60);

const SLACK_ORIGIN: &str = "https://slack.com";

/// Checks `SLACK_CLIENT_ID` and `SLACK_CLIENT_SECRET` with Slack.
pub(super) async fn check_app(setup: &DoctorConfig) -> CheckResult {
    let (Some(slack), Some(app)) = (&setup.slack, &setup.slack_app) else {
        return Err(Finding::skipped("SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are not both set"));
    };
    Ok(vec![match slack.test_app(app).await {
        Ok(()) => Finding::ok("Slack accepts its id and secret"),
        Err(error @ SlackError::Api { .. }) => Finding::fault(
            format!("Slack rejected its id or secret: {error}"),
            "copy both from the app's page: Basic Information → App Credentials",
        ),
        Err(error) => unreachable_finding(&error),
    }])
}

fn unreachable_finding(error: &SlackError) -> Finding {
    Finding::fault(
        format!("Slack cannot be reached: {error}"),
        "allow https to SLACK_BASE_URL from this machine",
    )
}

/// Checks the format of the signing secret. Only Slack knows the secret itself.
pub(super) async fn check_signing_secret(setup: &DoctorConfig) -> CheckResult {
    let Some(secret) = setup.api_var("SLACK_SIGNING_SECRET") else {
        return Err(Finding::skipped("SLACK_SIGNING_SECRET is not available here"));
    };
    let is_real_slack = setup.api_var("SLACK_BASE_URL").is_none_or(|url| url.starts_with(SLACK_ORIGIN));
    Ok(vec![evaluate_signing_secret(secret.trim(), is_real_slack)])
}

fn evaluate_signing_secret(secret: &str, is_real_slack: bool) -> Finding {
    let is_hex = secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (is_hex, is_real_slack) {
        (true, _) => Finding::ok("its format is right"),
        (false, false) => Finding::ok("set; its format is not checked, since SLACK_BASE_URL is not Slack's"),
        (false, true) => Finding::fault(
            "SLACK_SIGNING_SECRET is not 32 hexadecimal characters: every event would be rejected",
            "copy it from Basic Information → App Credentials → Signing Secret",
        ),
    }
}

/// Checks that each workspace granted the scopes that the bot needs.
pub(super) async fn check_scopes(setup: &DoctorConfig) -> CheckResult {
    let tenants = list_installed(setup).await?;
    let lacking = tenants.iter().filter_map(|tenant| {
        let missing = missing_scopes(tenant.scopes.as_deref().unwrap_or_default());
        let names: Vec<&str> = missing.iter().map(|scope| scope.name).collect();
        (!names.is_empty()).then(|| format!("{} lacks {}", tenant.tenant_id, names.join(", ")))
    });
    let lacking: Vec<String> = lacking.collect();
    Ok(vec![match lacking.is_empty() {
        true => Finding::ok(format!("{} installation(s) with all required scopes", tenants.len())),
        false => Finding::fault(
            join_first(&lacking),
            "an admin there has to reinstall; `web tenants list` shows what does not work",
        ),
    }])
}

/// Checks that each workspace that has the bot is in `ALLOWED_TEAMS`: one that installed before keeps it.
pub(super) async fn check_allowed_teams(setup: &DoctorConfig) -> CheckResult {
    let allowed = read_allowed_teams(&mut setup.web.clone());
    if !allowed.is_restricted() {
        return Ok(vec![Finding::ok("ALLOWED_TEAMS is not set: every workspace may install the bot")]);
    }
    let tenants = list_installed(setup).await?;
    let is_foreign = |tenant: &&TenantState| {
        let enterprise_id = tenant.enterprise_id.as_deref().map(EnterpriseId::from);
        !allowed.contains(Some(&TeamId::from(tenant.tenant_id.as_str())), enterprise_id.as_ref())
    };
    let foreign: Vec<String> = tenants.iter().filter(is_foreign).map(|it| it.tenant_id.to_string()).collect();
    Ok(vec![match foreign.is_empty() {
        true => Finding::ok(format!("{} installation(s), all in ALLOWED_TEAMS", tenants.len())),
        false => Finding::warn(
            format!("installed, but not in ALLOWED_TEAMS: {}", join_first(&foreign)),
            "add them, or stop them with `web tenants suspend`; they are answered until then",
        ),
    }])
}

/// Lists workspaces that have the bot, including those whose token is revoked.
async fn list_installed(setup: &DoctorConfig) -> Result<Vec<TenantState>, Finding> {
    let mut tenants =
        setup.query(async |db| db::tenants::list(&mut db.begin_cross_tenant().await?).await).await?;
    tenants.retain(|tenant| tenant.installed_at.is_some() && tenant.delete_after.is_none());
    Ok(tenants)
}

fn join_first(items: &[String]) -> String {
    let named = items.iter().take(MAX_LISTED_TENANTS).cloned().collect::<Vec<_>>().join("; ");
    match items.len().saturating_sub(MAX_LISTED_TENANTS) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// Checks all tokens by their recorded state, and the first hundred with Slack.
pub(super) async fn check_tokens(setup: &DoctorConfig) -> CheckResult {
    let tenants = list_installed(setup).await?;
    let mut findings = Vec::new();
    let expiring = setup
        .query(async |db| {
            db::tokens::list_expiring(&mut db.begin_cross_tenant().await?, TOKEN_EXPIRY_WARNING).await
        })
        .await?;
    if !expiring.is_empty() {
        let expiring: Vec<String> = expiring.iter().map(ToString::to_string).collect();
        findings.push(Finding::fault(
            format!("about to expire, and not refreshed: {}", join_first(&expiring)),
            "see api's log; it needs SLACK_CLIENT_ID and SLACK_CLIENT_SECRET to refresh them",
        ));
    }
    findings.extend(evaluate_tokens(&check_all_tokens(setup, &tenants).await));
    if findings.is_empty() {
        let (all, tested) = (tenants.len(), tenants.len().min(MAX_CHECKED_TOKENS));
        findings.push(Finding::ok(format!(
            "{all} installation(s), Slack accepts the token of the first {tested}"
        )));
    }
    Ok(findings)
}

async fn check_all_tokens(setup: &DoctorConfig, tenants: &[TenantState]) -> Vec<TokenCheck> {
    let tested = tenants.iter().take(MAX_CHECKED_TOKENS).map(|tenant| check_token(setup, tenant));
    let tested: Vec<TokenCheck> = stream::iter(tested).buffered(MAX_CONCURRENT_TOKEN_CHECKS).collect().await;
    let untested = tenants.iter().skip(MAX_CHECKED_TOKENS);
    let disabled = untested.filter_map(|tenant| Some((tenant, tenant.disabled_reason.clone()?)));
    tested.into_iter().chain(disabled.map(|(tenant, why)| TokenCheck::invalid(tenant, why))).collect()
}

fn evaluate_tokens(checks: &[TokenCheck]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let invalid: Vec<String> = checks
        .iter()
        .filter_map(|check| if let TokenCheck::Invalid(text) = check { Some(text.clone()) } else { None })
        .collect();
    if !invalid.is_empty() {
        findings.push(Finding::fault(join_first(&invalid), "an admin there has to reinstall"));
    }
    let skipped = checks.iter().filter(|check| matches!(check, TokenCheck::Skipped)).count();
    if skipped > 0 {
        findings.push(Finding::skipped(&format!("{skipped} token(s) could not be decrypted or tested")));
    }
    findings
}

/// The result of testing a token.
enum TokenCheck {
    Valid,
    /// The tenant and the reason.
    Invalid(String),
    /// The token cannot be decrypted, which the check of the keys reports; or Slack did not respond.
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
        // Scopes that were missing from the start are reported by the check of the scopes.
        Ok(granted) => {
            let missing = granted.map(|granted| missing_scopes(&granted)).unwrap_or_default();
            let recorded = missing_scopes(tenant.scopes.as_deref().unwrap_or_default());
            match missing.iter().find(|scope| !recorded.contains(scope)) {
                Some(scope) => TokenCheck::invalid(tenant, format!("the token no longer has {}", scope.name)),
                None => TokenCheck::Valid,
            }
        }
        Err(error @ SlackError::Api { .. }) => TokenCheck::invalid(tenant, error),
        Err(_) => TokenCheck::Skipped,
    }
}

/// Checks the API key with the model's server.
pub(super) async fn check_model_key(setup: &DoctorConfig) -> CheckResult {
    let Some(key) = setup.api_var("OPENAI_API_KEY") else {
        return Err(Finding::skipped("OPENAI_API_KEY is not available here"));
    };
    let base_url = setup.api_var("OPENAI_BASE_URL");
    let base_url = base_url.unwrap_or_else(|| "https://api.openai.com/v1".to_owned());
    Ok(vec![match llm::check_api_key(base_url.trim(), &SecretString::from(key.trim())).await {
        Ok(()) => Finding::ok("its server accepts the key"),
        Err(error) => Finding::fault(error.to_string(), "check OPENAI_API_KEY and OPENAI_BASE_URL"),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
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
