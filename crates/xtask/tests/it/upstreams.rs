//! What EnableBot does while the model is slow, broken, or wants to be left alone.

use std::time::Duration;

use simulator::Message;
use xtask::cluster::free_port;

use crate::test_app::{ADA, PATIENCE, TEAM, TestApp};

/// Words of a hundred bytes: about a hundred of them fill a message.
fn long_words(count: usize) -> String {
    (1..=count).map(|word| format!("{word:-<99}")).collect::<Vec<_>>().join(" ")
}

fn joined(replies: &[Message]) -> String {
    let words = replies.iter().map(|reply| reply.shown().split_whitespace().collect::<Vec<_>>().join(" "));
    words.collect::<Vec<_>>().join(" ")
}

impl TestApp {
    /// Waits until an answer has so many messages; the first of them.
    async fn first_of(&self, count: usize, channel: &str, thread_ts: &str) -> Message {
        let begun = |world: &simulator::World| {
            let mut replies = world.thread(TEAM, channel, thread_ts);
            replies.retain(|message| message.bot_id.is_some() && !message.shown().is_empty());
            (replies.len() >= count).then(|| replies.remove(0))
        };
        self.simulator.wait_for(begun, PATIENCE).await.unwrap_or_else(|_| panic!("{}", self.logs()))
    }

    /// What the model was told, at its last request, that it has said already.
    pub(crate) fn said_before(&self) -> String {
        let prompt = self.last_prompt();
        let [.., said, told] = &prompt[..] else { panic!("{prompt:?}") };
        assert_eq!((&said["role"], &told["role"]), (&"assistant".into(), &"user".into()), "{prompt:?}");
        said["content"].as_str().expect("text").to_owned()
    }

    /// How often a model was asked.
    fn times_asked(&self, model: &str) -> usize {
        self.simulator.model_requests().iter().filter(|request| request["model"] == model).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_in_its_second_message_is_gone_on_with_there() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=15&cut=170");
    let (dm, text) = (app.dm(ADA), long_words(260));
    let ts = app.say(ADA, None, &format!("say: {text}"));
    let first = app.first_of(2, &dm, &ts).await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let replies = app.replies(&dm, &ts, 3).await;
    assert_eq!(joined(&replies), text);
    assert_eq!(app.simulator.model_requests().len(), 2);
    let said = app.said_before();
    assert!(said.len() > first.shown().len() && text.starts_with(&said), "{} bytes", said.len());
    assert_eq!((&replies[0].ts, replies[0].shown()), (&first.ts, first.shown()), "it stands as it stood");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_a_long_answer_over_goes_on_behind_its_complete_messages() {
    let mut app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=15");
    let (dm, text) = (app.dm(ADA), long_words(260));
    let ts = app.say(ADA, None, &format!("say: {text}"));
    let first = app.first_of(2, &dm, &ts).await;
    app.becomes("select part_start > 0 from replies order by seq desc limit 1", "t").await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    app.add_api(free_port().expect("a port"), &[]);
    app.apis[0].kill().expect("it is killed");
    let replies = app.replies(&dm, &ts, 3).await;
    assert_eq!(joined(&replies), text);
    assert_eq!(app.said_before().trim_end(), first.shown().trim_end());
    assert_eq!((&replies[0].ts, replies[0].shown()), (&first.ts, first.shown()), "it stands as it stood");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_answer_stays_and_can_be_gone_on_with() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=60&cut=12");
    let (dm, text) =
        (app.dm(ADA), "One two three four five six seven eight nine ten eleven twelve thirteen.");
    let ts = app.say(ADA, None, &format!("say: {text}"));
    app.first_of(1, &dm, &ts).await;
    // The next try is refused for good.
    app.simulator.set_model_behaviour("fail=400");
    app.becomes("select outcome from events where kind = 'message'", "set_aside").await;
    let reply = app.bots(&dm, &ts).remove(0);
    let (kept, remark) =
        reply.shown().split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("two");
    assert!(text.starts_with(kept.trim_end()) && kept.len() > 20, "{kept}");
    assert!(remark.starts_with("_My answer breaks off here"), "{remark}");

    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let clicked = app.simulator.click(TEAM, ADA, &dm, &reply.ts, "try_again", None).await;
    assert_eq!(clicked.expect("there is a button"), 200);
    app.becomes("select outcome from events where kind = 'message'", "answered").await;
    assert_eq!(app.reply(&dm, &ts).await, text);
    assert_eq!(app.said_before().trim_end(), kept.trim_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_down_is_left_alone_while_its_fallback_answers() {
    const DOWN: &str = "offline?fail=503";
    let models = [("OPENAI_MODEL", DOWN), ("OPENAI_FALLBACK_MODELS", "offline?ttft=0&gap=0")];
    let app = TestApp::start_with(|_| {}, &models).await;
    app.install().await;
    let dm = app.dm(ADA);
    for number in 0..12 {
        let ts = app.say(ADA, None, &format!("say: Answer {number}."));
        assert_eq!(app.reply(&dm, &ts).await, format!("Answer {number}."));
    }
    let asked = app.times_asked(DOWN);
    assert!((5..9).contains(&asked), "it was asked {asked} times");
    assert_eq!(app.database.ask("select max(attempts) from events where kind = 'message'"), "1");
    let metrics = app.http.get(format!("{}/metrics", app.apis[0].url())).send().await.expect("metrics");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains(&format!("enablebot_model_available{{model=\"{DOWN}\"}} 0")), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_wants_a_pause_gets_it_and_no_try_is_used_up() {
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0&fail=429&fail_times=3");
    let dm = app.dm(ADA);
    let begun = std::time::Instant::now();
    let ts = app.say(ADA, None, "say: At my ease.");
    assert_eq!(app.reply(&dm, &ts).await, "At my ease.");
    assert!(begun.elapsed() >= Duration::from_secs(3), "each time the model's second is waited out");
    let tries = "select attempts, throttled_since is not null from events where kind = 'message'";
    assert_eq!(app.database.ask(tries), "1|t");
    assert_eq!(app.simulator.model_requests().len(), 4);
}
