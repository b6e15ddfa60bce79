//! Sign in with Slack: the ways in which it fails, and each role's access afterwards.

use reqwest::Response;
use url::Url;

use crate::test_app::{ADA, BETA, BETA_ADA, GRACE, TEAM, TestApp};

/// A sign-in that a browser has begun.
pub(crate) struct PendingSignIn {
    pub(crate) authorize_url: String,
    pub(crate) cookie: String,
}

pub(crate) fn header_text(answer: &Response, name: &str) -> String {
    answer.headers()[name].to_str().expect("text").to_owned()
}

/// Returns the name and value of each cookie that a response sets and does not remove.
pub(crate) fn set_cookies(answer: &Response) -> String {
    let set = answer.headers().get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok());
    let kept = set.filter(|cookie| !cookie.contains("Max-Age=0"));
    kept.filter_map(|cookie| cookie.split(';').next()).collect::<Vec<_>>().join("; ")
}

impl TestApp {
    /// Begins a sign-in in a browser that has these cookies.
    pub(crate) async fn begin_sign_in(&self, next: &str, cookie: Option<&str>) -> PendingSignIn {
        let answer = self.get_page(&format!("/login?next={next}"), cookie).await;
        assert_eq!(answer.status(), 302);
        PendingSignIn { authorize_url: header_text(&answer, "location"), cookie: set_cookies(&answer) }
    }

    pub(crate) async fn finish_sign_in(&self, back: &str, cookie: Option<&str>) -> Response {
        let path = back.split_once("/login/").expect("the callback").1;
        self.get_page(&format!("/login/{path}"), cookie).await
    }

    /// Signs a person in. Returns the session cookie.
    pub(crate) async fn sign_in(&self, user: &str) -> String {
        let begun = self.begin_sign_in("/dashboard", None).await;
        let back = self.simulator.sign_in(&begun.authorize_url, Some(user)).expect("Slack knows them");
        let answer = self.finish_sign_in(&back, Some(&begun.cookie)).await;
        assert_eq!(
            (answer.status().as_u16(), header_text(&answer, "location")),
            (303, "/dashboard".to_owned())
        );
        set_cookies(&answer)
    }

    pub(crate) async fn post_form(&self, path: &str, cookie: &str, site: &str) -> u16 {
        let request = self.http.post(format!("{}{path}", self.web.url())).header("sec-fetch-site", site);
        request.header("cookie", cookie).send().await.expect("web answers").status().as_u16()
    }

    /// Returns a page's status and text.
    pub(crate) async fn get_page_text(&self, path: &str, cookie: &str) -> (u16, String) {
        let answer = self.get_page(path, Some(cookie)).await;
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_session_redirects_to_slack_login() {
    let app = TestApp::installed().await;
    for path in ["/dashboard", "/dashboard/events", "/dashboard/events/Ev1"] {
        let answer = app.get_page(path, None).await;
        let next = url::form_urlencoded::byte_serialize(path.as_bytes()).collect::<String>();
        assert_eq!(
            (answer.status().as_u16(), header_text(&answer, "location")),
            (303, format!("/login?next={next}"))
        );
    }
    let begun = app.begin_sign_in("/dashboard", None).await;
    let url = Url::parse(&begun.authorize_url).expect("an address");
    let parameters: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(url.path(), "/openid/connect/authorize");
    assert_eq!(parameters["code_challenge_method"], "S256");
    for name in ["state", "nonce", "code_challenge"] {
        assert!(parameters[name].len() >= 32, "{name} is {}", parameters[name]);
    }
    assert!(!begun.cookie.contains(&parameters["nonce"]), "the browser cannot read it");
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_login_callback_is_rejected() {
    let app = TestApp::installed().await;
    // A state is used up by its first return, so each case has its own.
    for name in ["no cookie", "another browser's", "a forged state", "a bad code", "nothing at all"] {
        let begun = app.begin_sign_in("/dashboard", None).await;
        let other = app.begin_sign_in("/dashboard", None).await;
        let back = app.simulator.sign_in(&begun.authorize_url, Some(ADA)).expect("Slack knows her");
        let state = back.split_once("state=").expect("a state").1.split('&').next().expect("a value");
        let (url, cookie) = match name {
            "no cookie" => (back.clone(), None),
            "another browser's" => (back.clone(), Some(&*other.cookie)),
            "a forged state" => (back.replace("state=", "state=x"), Some(&*begun.cookie)),
            "a bad code" => {
                (format!("{}/login/callback?code=made-up&state={state}", app.web.url()), Some(&*begun.cookie))
            }
            _ => (format!("{}/login/callback", app.web.url()), None),
        };
        let answer = app.finish_sign_in(&url, cookie).await;
        assert_eq!(answer.status(), 400, "{name}");
        assert_eq!(set_cookies(&answer), "", "{name}");
        assert!(answer.text().await.expect("text").contains("Sign in again"), "{name}");
        // Whoever did not know the state changed nothing.
        let still_good = matches!(name, "a forged state" | "nothing at all");
        let status = if still_good { 303 } else { 400 };
        assert_eq!(
            app.finish_sign_in(&back, Some(&begun.cookie)).await.status(),
            status,
            "{name}, then her own"
        );
        app.database.query("delete from sessions");
    }
    let begun = app.begin_sign_in("/dashboard", None).await;
    let back = app.simulator.sign_in(&begun.authorize_url, Some(ADA)).expect("Slack knows her");
    let other = app.begin_sign_in("/dashboard", None).await;
    let denied = app.simulator.sign_in(&other.authorize_url, None).expect("Cancel");
    assert_eq!(app.finish_sign_in(&denied, Some(&other.cookie)).await.status(), 403);
    assert_eq!(app.database.query("select count(*) from sessions"), "0");

    assert_eq!(
        app.finish_sign_in(&back, Some(&begun.cookie)).await.status(),
        303,
        "the good one is still good"
    );
    let replayed = app.finish_sign_in(&back, Some(&begun.cookie)).await;
    assert_eq!(replayed.status(), 400, "once");
    assert_eq!(app.database.query("select count(*) from audit_log where action = 'signed_in'"), "3");
    let foreign = app.begin_sign_in("//evil.example/dashboard", None).await;
    let back = app.simulator.sign_in(&foreign.authorize_url, Some(ADA)).expect("Slack knows her");
    let answer = app.finish_sign_in(&back, Some(&foreign.cookie)).await;
    assert_eq!(header_text(&answer, "location"), "/dashboard");
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_and_member_views_are_scoped() {
    let app = TestApp::installed().await;
    app.simulator.add_team(BETA, "Beta");
    app.install_in(BETA).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let asked = [(ADA, TEAM), (GRACE, TEAM), (BETA_ADA, BETA)];
    let said = asked.map(|(user, team)| app.send_dm_in_team(team, user, "say: Yes."));
    app.wait_for_query("select count(*) from events where outcome = 'answered'", "3").await;
    let event = |at: usize| {
        app.database.query(&format!("select event_id from events where message_ts = '{}'", said[at]))
    };
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    let (status, overview) = app.get_page_text("/dashboard", &ada).await;
    assert_eq!(status, 200);
    assert!(overview.contains("Active users") && overview.contains("2 answered of 2"), "{overview}");
    let (_, own) = app.get_page_text("/dashboard", &grace).await;
    assert!(own.contains("Your questions") && own.contains("1 answered of 1"), "{own}");
    let (_, list) = app.get_page_text("/dashboard/events", &ada).await;
    let (_, own_list) = app.get_page_text("/dashboard/events?person=U0ADA", &grace).await;
    let in_lists = [0, 1, 2].map(|at| (list.contains(&event(at)), own_list.contains(&event(at))));
    assert_eq!(in_lists, [(true, false), (true, true), (false, false)]);
    for (cookie, at, status) in [(&ada, 1, 200), (&ada, 2, 404), (&grace, 0, 404), (&grace, 1, 200)] {
        assert_eq!(
            app.get_page_text(&format!("/dashboard/events/{}", event(at)), cookie).await.0,
            status,
            "{at}"
        );
    }
    for deed in ["redrive", "discard"] {
        let path = |at: usize| format!("/dashboard/events/{}/{deed}", event(at));
        assert_eq!(app.post_form(&path(1), &grace, "same-origin").await, 403, "she is no admin");
        assert_eq!(app.post_form(&path(2), &ada, "same-origin").await, 404, "it is another tenant's");
        assert_eq!(app.post_form(&path(0), &ada, "cross-site").await, 403, "another site asks");
    }

    assert_eq!(app.post_form("/logout", &grace, "cross-site").await, 403);
    assert_eq!(app.get_page_text("/dashboard", &grace).await.0, 200);
    assert_eq!(app.post_form("/logout", &grace, "same-origin").await, 303);
    assert_eq!(app.get_page_text("/dashboard", &grace).await.0, 303, "it is over");
    app.simulator.uninstall(TEAM);
    app.wait_for_query("select count(*) from sessions where tenant_id = 'T0ACME'", "0").await;
    assert_eq!(
        app.get_page_text("/dashboard", &ada).await.0,
        303,
        "the bot is gone, and with it her session"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn session_expires_and_is_stored_as_digest() {
    let app = TestApp::installed().await;
    let cookie = app.sign_in(ADA).await;
    let secret = cookie.split_once('=').expect("a value").1;
    let kept =
        app.database.query("select encode(session_digest, 'hex') || encode(name, 'escape') from sessions");
    assert!(!kept.contains(secret) && !kept.contains("Ada"), "{kept}");
    app.database.query("update sessions set seen_at = now() - interval '9 hours'");
    assert_eq!(app.get_page_text("/dashboard", &cookie).await.0, 303, "unused for eight hours");
    app.database.query("update sessions set seen_at = now(), created_at = now() - interval '8 days'");
    assert_eq!(app.get_page_text("/dashboard", &cookie).await.0, 303, "none lasts for longer than a week");
    app.database.query("update sessions set created_at = now()");
    assert_eq!(app.get_page_text("/dashboard", &cookie).await.0, 200);
    assert_eq!(app.get_page_text("/dashboard", "enablebot=0000").await.0, 303);
}
