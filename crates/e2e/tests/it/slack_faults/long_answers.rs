//! Fault 23: replies longer than a message, and content that Slack rejects.

use simulator::{InjectedFault, SlackMessage};
use slack::MAX_MARKDOWN_CHARS;

use crate::test_app::{ADA, TestApp};

const TABLE_HEADS: [&str; 2] = ["| wide | table |\n|---|---|", "| first | second | third |\n|:--|:-:|--:|"];
const CODE_FENCE: &str = "```";

/// Returns about 60,000 characters: prose, a table, code, and another table, each longer than a message, all
/// lines different.
fn long_answer() -> String {
    let mut text = String::new();
    let mut lines = |heading: &str, count: usize, line: &dyn Fn(usize) -> String, end: &str| {
        text.push_str(&format!("{heading}\n"));
        (0..count).for_each(|at| text.push_str(&format!("{}\n", line(at))));
        text.push_str(&format!("{end}\n\n"));
    };
    lines("## Prose", 270, &|at| format!("Paragraph {at} says what there is to say of it, 世界.\n"), "");
    lines(TABLE_HEADS[0], 350, &|at| format!("| row {at} | what stands in row {at} of the table |"), "");
    lines(
        &format!("{CODE_FENCE}rust"),
        420,
        &|at| format!("let value_{at} = compute({at}); // step {at}"),
        CODE_FENCE,
    );
    lines(TABLE_HEADS[1], 450, &|at| format!("| a {at} | b {at} | {} |", at * 7), "");
    lines("The end", 80, &|at| format!("Remark {at}, of the last ones.\n"), "");
    text.trim_end().to_owned()
}

/// Returns the lines that chunks do not repeat: no fences, no first two rows of a table, no empty lines.
fn unrepeated_lines(text: &str) -> Vec<&str> {
    let heads: Vec<&str> = TABLE_HEADS.iter().flat_map(|head| head.lines()).collect();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with(CODE_FENCE) && !heads.contains(line))
        .collect()
}

/// Fault 23. The reply has 60,000 characters with code and two tables.
#[tokio::test(flavor = "multi_thread")]
async fn long_markdown_arrives_whole() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0");
    let (dm, text) = (app.dm(ADA), long_answer());
    assert!((58_000..70_000).contains(&text.chars().count()), "{}", text.chars().count());
    let ts = app.send_dm(ADA, None, &format!("say: {text}"));
    let replies = app.wait_replies(&dm, &ts, 6).await;
    assert_eq!(app.refused_calls(), []);
    let shown: Vec<String> = replies.iter().map(SlackMessage::visible_text).collect();
    let all: Vec<&str> = shown.iter().flat_map(|part| unrepeated_lines(part)).collect();
    let first = all.iter().zip(unrepeated_lines(&text)).find(|(shown, said)| **shown != *said);
    assert!(first.is_none() && all.len() == unrepeated_lines(&text).len(), "{} lines, {first:?}", all.len());
    for part in &shown {
        assert!(part.chars().count() <= MAX_MARKDOWN_CHARS, "{}", part.chars().count());
        let fences = part.lines().filter(|line| line.starts_with(CODE_FENCE)).count();
        assert_eq!(fences % 2, 0, "a fence is left open: {part}");
        // Each row follows its table's header.
        let mut is_table = false;
        for line in part.lines() {
            let is_row = line.starts_with('|');
            assert!(!is_row || is_table || TABLE_HEADS.iter().any(|head| head.starts_with(line)), "{line}");
            is_table = is_row;
        }
    }
}

/// Fault 23.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_blocks_become_plain() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    for (method, error) in [
        ("chat.postMessage", "invalid_blocks"),
        ("chat.update", "msg_blocks_too_long"),
        ("chat.stopStream", "invalid_blocks"),
    ] {
        let streams = usize::from(method != "chat.stopStream");
        app.simulator.inject_fault("chat.startStream", InjectedFault::Error("feature_disabled"), streams);
        app.simulator.inject_fault(method, InjectedFault::Error(error), 1);
        let ts = app.send_dm(ADA, None, "say: Seen **all the same**, whatever the form.");
        assert_eq!(app.wait_reply(&dm, &ts).await, "Seen **all the same**, whatever the form.", "{method}");
    }
}
