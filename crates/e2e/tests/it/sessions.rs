//! Sessions of the dashboard: several sign-ins at once, the list of one's sessions, and what ends with them.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::json;
use xtask::cluster::free_port;

use crate::sign_in::{header_text, set_cookies};
use crate::test_app::{ADA, GRACE, TEAM, TEST_TIMEOUT, TestApp};

/// Live pages and downloads that a session may have open.
const SESSION_LIVE_LIMIT: usize = 10;
const SESSION_DOWNLOAD_LIMIT: usize = 2;

impl TestApp {
    /// Returns the ids of a person's sessions as their page lists them, newest first.
    async fn list_session_ids(&self, cookie: &str) -> Vec<String> {
        let (status, page) = self.get_page_text("/dashboard/sessions", cookie).await;
        assert_eq!(status, 200, "{page}");
        assert_eq!(page.matches("data-testid=\"this\"").count(), 1, "{page}");
        let forms = page.split("action=\"/dashboard/sessions/").skip(1);
        forms.filter_map(|form| form.split_once("/end\"").map(|(id, _)| id.to_owned())).collect()
    }

    async fn start_export(&self, cookie: &str) -> Response {
        let request = self.http.post(format!("{}/dashboard/data/export.tar", self.web.url()));
        let request = request.header("cookie", cookie).header("sec-fetch-site", "same-origin");
        request.send().await.expect("web answers")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_in_two_tabs_both_finish() {
    let app = TestApp::installed().await;
    let first = app.begin_sign_in("/dashboard/events", None).await;
    let second = app.begin_sign_in("/dashboard/api", Some(&first.cookie)).await;
    let both = format!("{}; {}", first.cookie, second.cookie);
    for (begun, other, next) in [(&second, &first, "/dashboard/api"), (&first, &second, "/dashboard/events")]
    {
        let back = app.simulator.sign_in(&begun.authorize_url, Some(ADA)).expect("Slack knows her");
        let answer = app.finish_sign_in(&back, Some(&both)).await;
        assert_eq!((answer.status().as_u16(), header_text(&answer, "location")), (303, next.to_owned()));
        let name = |cookie: &str| cookie.split_once('=').expect("a name").0.to_owned();
        let set: Vec<_> =
            answer.headers().get_all("set-cookie").iter().filter_map(|set| set.to_str().ok()).collect();
        let removed = |cookie: &str| set.iter().any(|set| set.starts_with(&name(cookie)));
        assert!(removed(&begun.cookie) && !removed(&other.cookie), "only its own cookie: {set:?}");
    }
    // A browser forgets the oldest rather than to send ever more cookies.
    let mut cookies = String::new();
    let mut removals = 0;
    for _ in 0..6 {
        let answer = app.get_page("/login", Some(&cookies)).await;
        let sets = answer.headers().get_all("set-cookie").iter().filter_map(|set| set.to_str().ok());
        removals += sets.filter(|set| set.contains("Max-Age=0")).count();
        cookies = format!("{cookies}; {}", set_cookies(&answer));
    }
    assert!(removals > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_state_counts_once() {
    let app = TestApp::installed().await;
    let begun = app.begin_sign_in("/dashboard", None).await;
    let back = app.simulator.sign_in(&begun.authorize_url, Some(ADA)).expect("Slack knows her");
    let lifetime = "select round(extract(epoch from max(expires_at) - now()) / 60) from oauth_states";
    assert_eq!(app.database.query(lifetime), "10");
    app.database.query("update oauth_states set expires_at = now() - interval '1 second'");
    assert_eq!(app.finish_sign_in(&back, Some(&begun.cookie)).await.status(), 400, "it is too late");

    let begun = app.begin_sign_in("/dashboard", None).await;
    let back = app.simulator.sign_in(&begun.authorize_url, Some(ADA)).expect("Slack knows her");
    let state = back.split_once("state=").expect("a state").1.split('&').next().expect("a value");
    let bad_code = format!("{}/login/callback?code=made-up&state={state}", app.web.url());
    assert_eq!(app.finish_sign_in(&bad_code, Some(&begun.cookie)).await.status(), 400);
    assert_eq!(
        app.finish_sign_in(&back, Some(&begun.cookie)).await.status(),
        400,
        "its first use was its last"
    );
    assert_eq!(app.database.query("select count(*) from sessions"), "0");
    assert_eq!(app.database.query("select count(*) from oauth_states where expires_at > now()"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_have_host_prefix() {
    let app = TestApp::installed().await;
    let redirect = ("SLACK_REDIRECT_URI", "https://bot.example.com/slack/oauth/callback");
    let secure = app.add_web_with(free_port().expect("a port"), &[redirect]);
    let get = async |path: &str, cookie: &str| {
        let request = app.http.get(format!("{}{path}", secure.url())).header("cookie", cookie);
        request.send().await.expect("web answers")
    };
    let assert_host_cookies = |answer: &Response, count: usize| {
        let sets = answer.headers().get_all("set-cookie").iter().filter_map(|set| set.to_str().ok());
        let sets: Vec<_> = sets.collect();
        assert_eq!(sets.len(), count, "{sets:?}");
        for set in sets {
            assert!(set.starts_with("__Host-enablebot"), "{set}");
            for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
                assert!(set.contains(attribute), "{set}");
            }
            assert!(!set.contains("Domain") && !set.contains("Path=/l") && !set.contains("Path=/s"), "{set}");
        }
    };
    assert_host_cookies(&get("/slack/install", "").await, 1);
    let begun = get("/login", "").await;
    assert_host_cookies(&begun, 1);
    let back = app.simulator.sign_in(&header_text(&begun, "location"), Some(ADA)).expect("Slack knows her");
    let path = back.split_once("bot.example.com").expect("the public address").1;
    let signed_in = get(path, &set_cookies(&begun)).await;
    assert_eq!(signed_in.status(), 303);
    assert_host_cookies(&signed_in, 2);
    assert_eq!(get("/dashboard", &set_cookies(&signed_in)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended() {
    let app = TestApp::installed().await;
    let (laptop, phone, grace) = (app.sign_in(ADA).await, app.sign_in(ADA).await, app.sign_in(GRACE).await);
    let ids = app.list_session_ids(&laptop).await;
    assert_eq!((ids.len(), app.list_session_ids(&grace).await.len()), (2, 1));
    let end = |id: &str| format!("/dashboard/sessions/{id}/end");
    assert_eq!(app.post_fields(&end(&ids[0]), &grace, "").await.0, 404, "it is not hers");
    assert_eq!(app.post_form(&end(&ids[0]), &laptop, "cross-site").await, 403);
    assert_eq!(app.get_page_text("/dashboard", &phone).await.0, 200);
    assert_eq!(app.post_fields(&end(&ids[0]), &laptop, "").await.0, 303);
    assert_eq!(app.get_page_text("/dashboard", &phone).await.0, 303, "the newest one was ended");
    assert_eq!(app.post_fields(&end("x"), &laptop, "").await.0, 404);
    let kept = app.database.query("select encode(browser, 'escape') from sessions");
    assert!(!kept.contains("rowser"), "it is sealed: {kept}");

    let tablet = app.sign_in(ADA).await;
    assert_eq!(app.post_fields("/dashboard/sessions/end-all", &laptop, "").await.0, 303);
    for cookie in [&laptop, &tablet] {
        assert_eq!(app.get_page_text("/dashboard", cookie).await.0, 303, "signed out everywhere");
    }
    assert_eq!(app.get_page_text("/dashboard", &grace).await.0, 200);
    let logged = "select string_agg(detail ->> 'sessions', ',' order by entry_id) from audit_log
                  where action = 'sessions_ended' and actor = 'U0ADA'";
    assert_eq!(app.database.query(logged), "1,2");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_pages_end_with_session() {
    let app = TestApp::installed().await;
    let (ada, grace) = (app.sign_in(ADA).await, app.sign_in(GRACE).await);
    let mut streams = Vec::new();
    for _ in 0..SESSION_LIVE_LIMIT {
        let stream = app.get_page("/dashboard/live", Some(&ada)).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = app.get_page("/dashboard/live", Some(&ada)).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(refused.text().await.expect("text").contains("Too many live pages"));
    assert_eq!(app.get_page("/dashboard/live", Some(&grace)).await.status(), 200, "she has her own");
    assert_eq!(app.post_form("/logout", &ada, "same-origin").await, 303);
    let begun = Instant::now();
    for stream in streams {
        tokio::time::timeout(TEST_TIMEOUT, stream.bytes()).await.expect("it ends").expect("bytes");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_end_with_session() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let ts = app.send_dm(ADA, None, "say: The heron is blue.");
    app.wait_reply(&app.dm(ADA), &ts).await;
    app.multiply_chat_messages(100_000);
    let ada = app.sign_in(ADA).await;
    let mut exports = Vec::new();
    for _ in 0..SESSION_DOWNLOAD_LIMIT {
        let mut export = app.start_export(&ada).await;
        assert_eq!(export.status(), 200);
        assert!(export.chunk().await.expect("a chunk").is_some());
        exports.push(export);
    }
    assert_eq!(app.get_page("/dashboard/audit.csv", Some(&ada)).await.status(), 429);
    assert_eq!(app.post_fields("/dashboard/people/me/export.json", &ada, "").await.0, 429);
    assert_eq!(app.start_export(&ada).await.status(), 429);
    assert_eq!(app.post_fields("/dashboard/sessions/end-all", &ada, "").await.0, 303);
    // What is on its way arrives; then a session is checked once a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for export in exports {
        let rest = tokio::time::timeout(TEST_TIMEOUT, export.bytes()).await.expect("it ends");
        assert!(rest.is_err(), "an archive that is not whole must not look whole");
    }
    app.wait_for_query("select count(*) from exports where failure_reason = 'interrupted'", "2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_leavers_are_marked() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let (ada, key) = (app.sign_in(ADA).await, app.create_api_key(ADA, &["chat"]).await);
    let (_, page) = app.get_page_text("/dashboard/api-keys", &ada).await;
    assert!(!page.contains("data-testid=\"left\""), "{page}");
    app.simulator.deactivate(TEAM, ADA);
    let (_, page) = app.get_page_text("/dashboard/api-keys", &ada).await;
    assert_eq!(page.matches("data-testid=\"left\"").count(), 1, "{page}");
    let key_id = app.database.query("select key_id from api_keys");
    assert_eq!(app.post_fields(&format!("/dashboard/api-keys/{key_id}/revoke"), &ada, "").await.0, 303);
    assert_eq!(app.post_chat(&key, json!({ "message": "say: Hi." })).await.status(), 401);
    let (_, page) = app.get_page_text("/dashboard/api-keys", &ada).await;
    assert!(!page.contains("data-testid=\"left\""), "{page}");
}
