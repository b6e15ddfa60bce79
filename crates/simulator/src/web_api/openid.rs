//! `openid.connect.token`: who signed in (<https://docs.slack.dev/authentication/sign-in-with-slack>).

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::WebApiResult;
use super::invocation::Invocation;
use crate::fake_slack::ApprovedSignIn;

/// The issuer that Slack claims, whatever its address.
const ISSUER: &str = "https://slack.com";
/// Lifetime of an id token in seconds.
const ID_TOKEN_LIFETIME_SECS: i64 = 300;

/// <https://docs.slack.dev/reference/methods/openid.connect.token>
pub(crate) fn token(call: &mut Invocation<'_>) -> WebApiResult {
    call.check_client()?;
    if call.args.text("grant_type").unwrap_or("authorization_code") != "authorization_code" {
        return Err("invalid_grant_type".into());
    }
    let code = call.args.text("code").unwrap_or_default().to_owned();
    let sign_in = call.slack.redeem_sign_in_code(&code).ok_or("invalid_code")?;
    if call.args.text("redirect_uri").unwrap_or_default() != sign_in.redirect_uri {
        return Err("bad_redirect_uri".into());
    }
    if let Some(challenge) = &sign_in.code_challenge {
        let verifier = call.args.text("code_verifier").unwrap_or_default();
        if URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) != *challenge {
            return Err("invalid_code_verifier".into());
        }
    }
    let access_token = format!("xoxp-1000000001-{}", Uuid::new_v4().simple());
    let claims = call.id_token_claims(&sign_in, &access_token);
    let key = call.slack.id_token_key().map_err(|_| "internal_error")?;
    let id_token = key.sign(&claims).map_err(|_| "internal_error")?;
    Ok(json!({"access_token": access_token, "token_type": "Bearer", "id_token": id_token}))
}

impl Invocation<'_> {
    fn id_token_claims(&self, sign_in: &ApprovedSignIn, access_token: &str) -> Value {
        let team = self.slack.teams.get(&sign_in.team);
        let person = team.and_then(|team| team.find_person(&sign_in.user));
        let name = person.map(|person| person.name.clone());
        let hash = digest(&SHA256, access_token.as_bytes());
        let now = Utc::now().timestamp();
        let mut claims = json!({
            "iss": ISSUER, "aud": self.slack.settings.client_id, "sub": sign_in.user,
            "iat": now, "auth_time": now, "exp": now + ID_TOKEN_LIFETIME_SECS,
            "at_hash": URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]),
            "https://slack.com/team_id": sign_in.team, "https://slack.com/user_id": sign_in.user,
            "https://slack.com/team_name": team.map(|team| &team.name),
            "locale": "en-GB", "name": name, "given_name": name, "family_name": "",
        });
        if let Some(enterprise) = self.slack.find_enterprise(&sign_in.team) {
            claims["https://slack.com/enterprise_id"] = json!(enterprise.id);
        }
        if sign_in.is_email_requested {
            claims["email"] =
                json!(format!("{}@example.com", name.as_deref().unwrap_or_default().to_lowercase()));
            claims["email_verified"] = json!(person.is_some_and(|person| !person.is_unconfirmed));
            claims["date_email_verified"] = json!(now);
        }
        if let Some(nonce) = &sign_in.nonce {
            claims["nonce"] = json!(nonce);
        }
        claims
    }
}
