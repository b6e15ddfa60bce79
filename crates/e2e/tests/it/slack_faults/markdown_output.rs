//! Faults 24 and 25: Markdown as the model writes it, with nothing live in it.

use simulator::InjectedFault;

use crate::test_app::{ADA, TestApp};

/// Everything that hand-written mrkdwn gets wrong.
const MODEL_MARKDOWN: &str = "## Title\n\n**x:**y and *z*, ~~gone~~, 你好**世界**。\n\n\
    - [a link](https://example.com/?a=1&b=2)\n- **https://example.com**\n\n\
    | a | b |\n|---|---|\n| [one](https://example.com) | `x|y` |\n\n\
    ```text\n| no | table |\n**no** [link](https://example.com)\n```\n\n> 1 > 0 & so on\n\n- [x] done";

/// Fault 24.
#[tokio::test(flavor = "multi_thread")]
async fn markdown_is_sent_unchanged() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    for refusals in [0, 1] {
        app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), refusals);
        let ts = app.send_dm(ADA, None, &format!("say: {}", escape_as_slack(MODEL_MARKDOWN)));
        assert_eq!(app.wait_reply(&dm, &ts).await, MODEL_MARKDOWN);
        let reply = &app.bot_messages(&dm, &ts)[0];
        assert_eq!(reply.is_stream, refusals == 0);
        let blocks = reply.blocks.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(reply.is_markdown || blocks.contains(r#""type":"markdown""#), "{reply:?}");
    }
}

/// Fault 25.
#[tokio::test(flavor = "multi_thread")]
async fn model_mentions_and_links_are_inert() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    let hostile = "<!channel> <!here> <!everyone> <@U0GRACE> <#C0GENERAL> <!subteam^S1>\n\
        <https://evil.example|https://bank.example>\n[https://bank.example](https://evil.example)\n\
        [bank.example/login](https://evil.example)\n![pixel](https://evil.example/p.png)\n[x](javascript:alert)\n\
        https://good.example/?a=1&b=2";
    for refusals in [0, 1] {
        app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), refusals);
        let ts = app.send_dm(ADA, None, &format!("say: {}", escape_as_slack(hostile)));
        let shown = app.wait_reply(&dm, &ts).await;
        let reply = &app.bot_messages(&dm, &ts)[0];
        assert_eq!(reply.is_stream, refusals == 0);
        for sent in [&shown, &reply.text] {
            assert!(!sent.contains('<'), "{sent}");
        }
        assert!(shown.starts_with("&lt;!channel> &lt;!here> "), "{shown}");
        for gone in ["[https://bank.example]", "[bank.example/login]", "![", "(javascript:"] {
            assert!(!shown.contains(gone), "{gone} in {shown}");
        }
        assert!(shown.ends_with("https://good.example/?a=1&b=2"), "{shown}");
    }
}

/// Fault 25.
#[tokio::test(flavor = "multi_thread")]
async fn echoed_user_mention_is_escaped() {
    let app = TestApp::installed().await;
    let ts = app.post(ADA, "general", None, "@bot say: I told <@U0GRACE> and <!here>.");
    assert_eq!(app.wait_reply("general", &ts).await, "I told &lt;@U0GRACE> and &lt;!here>.");
}

/// Escapes a text as Slack does with what a person typed.
fn escape_as_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
