//! Codes to tokens, and tokens to their end.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::dispatch::Invocation;
use super::{Answer, Refusal};
use crate::world::APP_ID;

/// <https://docs.slack.dev/reference/methods/oauth.v2.access>
pub(crate) fn access(call: &mut Invocation<'_>) -> Answer {
    call.check_client()?;
    match call.args.text("grant_type").unwrap_or("authorization_code") {
        "authorization_code" => {}
        // Tokens here do not rotate, so no refresh token is right.
        "refresh_token" => return Err("invalid_refresh_token".into()),
        _ => return Err("invalid_grant_type".into()),
    }
    let code = call.args.text("code").unwrap_or_default().to_owned();
    let grant = call.world.take_code(&code).ok_or("invalid_code")?;
    if call.args.text("redirect_uri").unwrap_or_default() != grant.redirect_uri {
        return Err("bad_redirect_uri".into());
    }
    let (team, user) = (grant.team.clone(), grant.user.clone());
    let name = call.world.teams.get(&team).map(|team| team.name.clone()).ok_or("team_not_found")?;
    let bot = call.world.install(grant).ok_or("team_not_found")?;
    Ok(json!({
        "app_id": APP_ID,
        "authed_user": {"id": user},
        "scope": bot.scopes.into_iter().collect::<Vec<_>>().join(","),
        "token_type": "bot",
        "access_token": bot.token,
        "bot_user_id": bot.bot_user_id,
        "team": {"id": team, "name": name},
        "enterprise": null,
        "is_enterprise_install": false,
    }))
}

/// <https://docs.slack.dev/reference/methods/auth.test>
pub(crate) fn test(call: &mut Invocation<'_>) -> Answer {
    let bot = call.bot()?;
    let team = call.world.teams.get(&call.team).ok_or("team_not_found")?;
    let domain = team.name.to_lowercase().replace(' ', "-");
    Ok(json!({
        "url": format!("https://{domain}.slack.com/"), "team": team.name, "team_id": team.id,
        "user": call.world.settings.app_name.to_lowercase(), "user_id": bot.bot_user_id,
        "bot_id": bot.bot_id, "is_enterprise_install": false,
    }))
}

/// <https://docs.slack.dev/reference/methods/auth.revoke>: without token rotation it ends the installation.
pub(crate) fn revoke(call: &mut Invocation<'_>) -> Answer {
    if call.args.flag("test") {
        return Ok(json!({"revoked": false}));
    }
    let team = call.team.clone();
    call.world.uninstall(&team, "token_revoked");
    Ok(json!({"revoked": true}))
}

/// <https://docs.slack.dev/reference/methods/apps.uninstall>
pub(crate) fn uninstall(call: &mut Invocation<'_>) -> Answer {
    call.check_client()?;
    let team = call.team.clone();
    call.world.uninstall(&team, "account_inactive");
    Ok(json!({}))
}

impl Invocation<'_> {
    /// The app's own credentials, by HTTP Basic or as arguments.
    pub(crate) fn check_client(&self) -> Result<(), Refusal> {
        let argument = |name| self.args.text(name).unwrap_or_default().to_owned();
        let (id, secret) =
            self.basic.clone().unwrap_or_else(|| (argument("client_id"), argument("client_secret")));
        if id != self.world.settings.client_id {
            Err("invalid_client_id".into())
        } else if secret != self.world.settings.client_secret {
            Err("bad_client_secret".into())
        } else {
            Ok(())
        }
    }
}

/// What follows `Basic `: client id and secret.
pub(crate) fn read_basic(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}
