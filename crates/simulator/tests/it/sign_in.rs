//! Sign in with Slack.

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use simulator::{Simulator, SimulatorSettings};
use url::Url;

const SIGN_IN_CALLBACK_URL: &str = "https://bot.example.com/login/callback";

#[tokio::test]
async fn sign_in_returns_verifiable_id_token() -> anyhow::Result<()> {
    let sim = Simulator::start(SimulatorSettings::default()).await?;
    let SimulatorSettings { client_id, client_secret, .. } = SimulatorSettings::default();
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, b"verifier"));
    let query = [
        ("client_id", client_id.as_str()),
        ("response_type", "code"),
        ("scope", "openid profile email"),
        ("redirect_uri", SIGN_IN_CALLBACK_URL),
        ("state", "s"),
        ("nonce", "n"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params(&format!("{}/openid/connect/authorize", sim.base_url()), query)?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let page = http.get(url.clone()).send().await?.text().await?;
    assert!(page.contains("data-testid=\"sign-in-as\"") && page.contains("Grace"));
    assert!(sim.sign_in(url.as_str(), None)?.contains("error=access_denied"));

    let exchange = async |verifier: &str| {
        let back = Url::parse(&sim.sign_in(url.as_str(), Some("U0GRACE"))?)?;
        let code = back.query_pairs().find(|(key, _)| key == "code").context("a code")?.1.into_owned();
        let form =
            [("code", code.as_str()), ("redirect_uri", SIGN_IN_CALLBACK_URL), ("code_verifier", verifier)];
        let request = http.post(format!("{}/api/openid.connect.token", sim.base_url()));
        let request = request.basic_auth(&client_id, Some(&client_secret)).form(&form);
        anyhow::Ok(request.send().await?.json::<Value>().await?)
    };
    assert_eq!(exchange("other").await?["error"], "invalid_code_verifier");
    let answer = exchange("verifier").await?;
    let token = answer["id_token"].as_str().context("an id token")?;

    let keys: Value =
        http.get(format!("{}/openid/connect/keys", sim.base_url())).send().await?.json().await?;
    let part =
        |value: &Value| Ok::<_, anyhow::Error>(URL_SAFE_NO_PAD.decode(value.as_str().context("a part")?)?);
    let key = RsaPublicKeyComponents { n: part(&keys["keys"][0]["n"])?, e: part(&keys["keys"][0]["e"])? };
    let (signed, signature) = token.rsplit_once('.').context("a signature")?;
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    assert!(key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).is_ok());
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.').context("claims")?.1)?)?;
    assert_eq!(claims["iss"], "https://slack.com");
    assert_eq!(claims["aud"], client_id);
    assert_eq!(claims["nonce"], "n");
    assert_eq!(claims["https://slack.com/user_id"], "U0GRACE");
    assert_eq!(claims["https://slack.com/team_id"], "T0ACME");
    Ok(())
}
