//! Behaviour while the model is slow, broken or rate limited.

use std::time::Duration;

use simulator::SlackMessage;
use xtask::cluster::free_port;

use crate::test_app::{ADA, TEAM, TEST_TIMEOUT, TestApp};

/// Returns words of a hundred bytes. About a hundred of them fill a message.
fn long_words(count: usize) -> String {
    (1..=count).map(|word| format!("{word:-<99}")).collect::<Vec<_>>().join(" ")
}

fn joined_words(replies: &[SlackMessage]) -> String {
    let words =
        replies.iter().map(|reply| reply.visible_text().split_whitespace().collect::<Vec<_>>().join(" "));
    words.collect::<Vec<_>>().join(" ")
}

impl TestApp {
    /// Waits until a reply has this many messages. Returns the first one.
    async fn wait_first_message(&self, count: usize, channel: &str, thread_ts: &str) -> SlackMessage {
        let begun = |world: &simulator::FakeSlack| {
            let mut replies = world.thread(TEAM, channel, thread_ts);
            replies.retain(|message| message.bot_id.is_some() && !message.visible_text().is_empty());
            (replies.len() >= count).then(|| replies.remove(0))
        };
        self.simulator.wait_for(begun, TEST_TIMEOUT).await.unwrap_or_else(|_| panic!("{}", self.api_logs()))
    }

    /// Returns the beginning of the reply that the last request gave to the model.
    pub(crate) fn last_prompt_prefix(&self) -> String {
        let prompt = self.last_prompt();
        let [.., said, told] = &prompt[..] else { panic!("{prompt:?}") };
        assert_eq!((&said["role"], &told["role"]), (&"assistant".into(), &"user".into()), "{prompt:?}");
        said["content"].as_str().expect("text").to_owned()
    }

    /// Returns the number of requests to a model.
    fn count_model_requests(&self, model: &str) -> usize {
        self.simulator.model_requests().iter().filter(|request| request["model"] == model).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_second_message_is_continued() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=15&cut=170");
    let (dm, text) = (app.dm(ADA), long_words(260));
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let first = app.wait_first_message(2, &dm, &ts).await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let replies = app.wait_replies(&dm, &ts, 3).await;
    assert_eq!(joined_words(&replies), text);
    assert_eq!(app.simulator.model_requests().len(), 2);
    let said = app.last_prompt_prefix();
    assert!(said.len() > first.visible_text().len() && text.starts_with(&said), "{} bytes", said.len());
    assert_eq!(
        (&replies[0].ts, replies[0].visible_text()),
        (&first.ts, first.visible_text()),
        "it is unchanged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn takeover_keeps_complete_messages() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=15");
    let (dm, text) = (app.dm(ADA), long_words(260));
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let first = app.wait_first_message(2, &dm, &ts).await;
    app.wait_for_query("select message_start_byte > 0 from replies order by seq desc limit 1", "t").await;
    app.simulator.set_model_options("ttft=0&gap=0");
    app.add_api(free_port().expect("a port"), &[]);
    app.apis[0].kill().expect("it is killed");
    let replies = app.wait_replies(&dm, &ts, 3).await;
    assert_eq!(joined_words(&replies), text);
    assert_eq!(app.last_prompt_prefix().trim_end(), first.visible_text().trim_end());
    assert_eq!(
        (&replies[0].ts, replies[0].visible_text()),
        (&first.ts, first.visible_text()),
        "it is unchanged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_reply_stays_and_can_be_continued() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=60&cut=12");
    let (dm, text) =
        (app.dm(ADA), "One two three four five six seven eight nine ten eleven twelve thirteen.");
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    app.wait_first_message(1, &dm, &ts).await;
    // The next try fails permanently.
    app.simulator.set_model_options("fail=400");
    app.wait_for_query("select outcome from events where kind = 'message'", "set_aside").await;
    let reply = app.bot_messages(&dm, &ts).remove(0);
    let (kept, remark) =
        reply.visible_text().split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("two");
    assert!(text.starts_with(kept.trim_end()) && kept.len() > 20, "{kept}");
    assert!(remark.starts_with("_My answer ends here"), "{remark}");

    app.simulator.set_model_options("ttft=0&gap=0");
    let clicked = app.simulator.click(TEAM, ADA, &dm, &reply.ts, "try_again", None).await;
    assert_eq!(clicked.expect("there is a button"), 200);
    app.wait_for_query("select outcome from events where kind = 'message'", "answered").await;
    assert_eq!(app.wait_reply(&dm, &ts).await, text);
    assert_eq!(app.last_prompt_prefix().trim_end(), kept.trim_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn breaker_opens_and_fallback_model_answers() {
    const FAILING_MODEL: &str = "offline?fail=503";
    let models = [("OPENAI_MODEL", FAILING_MODEL), ("OPENAI_FALLBACK_MODELS", "offline?ttft=0&gap=0")];
    let app = TestApp::start_with(|_| {}, &models).await;
    app.install().await;
    let dm = app.dm(ADA);
    for number in 0..12 {
        let ts = app.send_dm(ADA, None, &format!("say: Answer {number}."));
        assert_eq!(app.wait_reply(&dm, &ts).await, format!("Answer {number}."));
    }
    let asked = app.count_model_requests(FAILING_MODEL);
    assert!((5..9).contains(&asked), "it was asked {asked} times");
    assert_eq!(app.database.query("select max(attempts) from events where kind = 'message'"), "1");
    let metrics = app.http.get(format!("{}/metrics", app.apis[0].url())).send().await.expect("metrics");
    let metrics = metrics.text().await.expect("text");
    assert!(
        metrics.contains(&format!("enablebot_model_available{{model=\"{FAILING_MODEL}\"}} 0")),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn model_429_is_waited_out_without_attempt() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0&fail=429&fail_times=3");
    let dm = app.dm(ADA);
    let begun = std::time::Instant::now();
    let ts = app.send_dm(ADA, None, "say: At my ease.");
    assert_eq!(app.wait_reply(&dm, &ts).await, "At my ease.");
    assert!(begun.elapsed() >= Duration::from_secs(3), "each time the model's second is waited out");
    let tries = "select attempts, throttled_since is not null from events where kind = 'message'";
    assert_eq!(app.database.query(tries), "1|t");
    assert_eq!(app.simulator.model_requests().len(), 4);
}
