//! `oauth.*` and `auth.*`: exchanges codes for tokens, refreshes and revokes tokens.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::invocation::Invocation;
use super::{WebApiError, WebApiResult};
use crate::fake_slack::APP_ID;

/// <https://docs.slack.dev/reference/methods/oauth.v2.access>
pub(crate) fn access(call: &mut Invocation<'_>) -> WebApiResult {
    call.check_client()?;
    match call.args.text("grant_type").unwrap_or("authorization_code") {
        "authorization_code" => exchange_code(call),
        "refresh_token" => refresh_token(call),
        _ => Err("invalid_grant_type".into()),
    }
}

fn exchange_code(call: &mut Invocation<'_>) -> WebApiResult {
    let code = call.args.text("code").unwrap_or_default().to_owned();
    let grant = call.slack.redeem_install_code(&code).ok_or("invalid_code")?;
    if call.args.text("redirect_uri").unwrap_or_default() != grant.redirect_uri {
        return Err("bad_redirect_uri".into());
    }
    let org_wide = call.slack.find_enterprise(&grant.team).is_some_and(|org| org.installation.is_some());
    if org_wide && grant.enterprise.is_none() {
        return Err("cannot_install_an_org_installed_app".into());
    }
    let tenant = grant.enterprise.as_ref().unwrap_or(&grant.team).clone();
    call.slack.install(grant).ok_or("team_not_found")?;
    call.token_response(&tenant, true)
}

/// <https://docs.slack.dev/authentication/using-token-rotation>
fn refresh_token(call: &mut Invocation<'_>) -> WebApiResult {
    let token = call.args.text("refresh_token").unwrap_or_default().to_owned();
    let tenant = call.slack.refresh_tokens(&token).ok_or("invalid_refresh_token")?;
    call.token_response(&tenant, false)
}

impl Invocation<'_> {
    /// Builds the `oauth.v2.access` response for either kind of grant.
    fn token_response(&mut self, tenant: &str, with_user: bool) -> WebApiResult {
        self.tenant = tenant.to_owned();
        let bot = self.bot()?;
        let team = self.slack.teams.get(tenant).map(|team| json!({"id": team.id, "name": team.name}));
        let enterprise =
            self.slack.find_enterprise(tenant).map(|org| json!({"id": org.id, "name": org.name}));
        let mut answer = json!({
            "app_id": APP_ID,
            "scope": bot.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(","),
            "token_type": "bot",
            "access_token": bot.token,
            "bot_user_id": bot.bot_user_id,
            "team": team,
            "enterprise": enterprise,
            "is_enterprise_install": bot.is_enterprise_install,
        });
        if with_user {
            answer["authed_user"] = json!({"id": bot.installed_by});
        }
        if let (Some(refresh_token), Some(lifetime)) =
            (&bot.refresh_token, self.slack.settings.token_lifetime)
        {
            answer["refresh_token"] = json!(refresh_token);
            answer["expires_in"] = json!(lifetime.as_secs());
        }
        Ok(answer)
    }
}

/// <https://docs.slack.dev/reference/methods/auth.test>. An org-wide token is tested as the organisation's.
pub(crate) fn test(call: &mut Invocation<'_>) -> WebApiResult {
    let bot = call.bot()?;
    let enterprise = call.slack.find_enterprise(&call.tenant);
    let team = call.slack.teams.get(&call.tenant).map(|team| (&team.id, &team.name));
    let (id, name) = team.or(enterprise.map(|org| (&org.id, &org.name))).ok_or("team_not_found")?;
    let domain = name.to_lowercase().replace(' ', "-");
    let host = if bot.is_enterprise_install { "enterprise.slack.com" } else { "slack.com" };
    let mut answer = json!({
        "url": format!("https://{domain}.{host}/"), "team": name, "team_id": id,
        "user": call.slack.settings.app_name.to_lowercase(), "user_id": bot.bot_user_id,
        "bot_id": bot.bot_id, "is_enterprise_install": bot.is_enterprise_install,
    });
    if let Some(enterprise) = enterprise {
        answer["enterprise_id"] = json!(enterprise.id);
    }
    Ok(answer)
}

/// <https://docs.slack.dev/reference/methods/auth.teams.list>
pub(crate) fn list_teams(call: &mut Invocation<'_>) -> WebApiResult {
    let own = BTreeSet::from([call.tenant.clone()]);
    let ids = call.slack.enterprises.get(&call.tenant).map_or(&own, |enterprise| &enterprise.granted_teams);
    let teams = ids.iter().filter_map(|id| call.slack.teams.get(id));
    let teams: Vec<_> = teams.map(|team| json!({"id": team.id, "name": team.name})).collect();
    Ok(json!({"teams": teams, "response_metadata": {"next_cursor": ""}}))
}

/// <https://docs.slack.dev/reference/methods/auth.revoke>: it ends the installation, or where tokens rotate
/// only the
/// token.
pub(crate) fn revoke(call: &mut Invocation<'_>) -> WebApiResult {
    if call.args.flag("test") {
        return Ok(json!({"revoked": false}));
    }
    if call.bot()?.refresh_token.is_some() {
        call.slack.tokens.revoke(&call.token, "token_revoked");
    } else {
        call.slack.uninstall(&call.tenant, "token_revoked");
    }
    Ok(json!({"revoked": true}))
}

/// <https://docs.slack.dev/reference/methods/apps.uninstall>
pub(crate) fn uninstall(call: &mut Invocation<'_>) -> WebApiResult {
    call.check_client()?;
    call.slack.uninstall(&call.tenant, "account_inactive");
    Ok(json!({}))
}

impl Invocation<'_> {
    /// Checks the app's credentials from HTTP Basic or the arguments.
    pub(crate) fn check_client(&self) -> Result<(), WebApiError> {
        let argument = |name| self.args.text(name).unwrap_or_default().to_owned();
        let (id, secret) =
            self.basic_auth.clone().unwrap_or_else(|| (argument("client_id"), argument("client_secret")));
        if id != self.slack.settings.client_id {
            Err("invalid_client_id".into())
        } else if secret != self.slack.settings.client_secret {
            Err("bad_client_secret".into())
        } else {
            Ok(())
        }
    }
}

/// Decodes the client id and secret that follow `Basic `.
pub(crate) fn parse_basic_auth(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
