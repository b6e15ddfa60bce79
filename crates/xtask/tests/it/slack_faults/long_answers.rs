//! Row 23: answers longer than a message, and content that Slack does not take.

use simulator::{Fault, Message};
use slack::MARKDOWN_LIMIT;

use crate::test_app::{ADA, TestApp};

const TABLES: [&str; 2] = ["| wide | table |\n|---|---|", "| first | second | third |\n|:--|:-:|--:|"];
const FENCE: &str = "```";

/// About 60,000 characters: prose, a table, code, and another table, each longer than a message; no two lines are alike.
fn long_answer() -> String {
    let mut text = String::new();
    let mut lines = |heading: &str, count: usize, line: &dyn Fn(usize) -> String, end: &str| {
        text.push_str(&format!("{heading}\n"));
        (0..count).for_each(|at| text.push_str(&format!("{}\n", line(at))));
        text.push_str(&format!("{end}\n\n"));
    };
    lines("## Prose", 270, &|at| format!("Paragraph {at} says what there is to say of it, 世界.\n"), "");
    lines(TABLES[0], 350, &|at| format!("| row {at} | what stands in row {at} of the table |"), "");
    lines(&format!("{FENCE}rust"), 420, &|at| format!("let value_{at} = compute({at}); // step {at}"), FENCE);
    lines(TABLES[1], 450, &|at| format!("| a {at} | b {at} | {} |", at * 7), "");
    lines("The end", 80, &|at| format!("Remark {at}, of the last ones.\n"), "");
    text.trim_end().to_owned()
}

/// The lines that a part does not repeat: neither fences nor the first two rows of a table, nor empty ones.
fn told(text: &str) -> Vec<&str> {
    let heads: Vec<&str> = TABLES.iter().flat_map(|head| head.lines()).collect();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with(FENCE) && !heads.contains(line))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_a_60000_character_answer_with_code_and_two_tables_arrives_whole_in_order_without_an_error()
{
    let app = TestApp::installed().await;
    app.simulator.set_model_behaviour("ttft=0&gap=0");
    let (dm, text) = (app.dm(ADA), long_answer());
    assert!((58_000..70_000).contains(&text.chars().count()), "{}", text.chars().count());
    let ts = app.say(ADA, None, &format!("say: {text}"));
    let replies = app.replies(&dm, &ts, 6).await;
    assert_eq!(app.refused(), []);
    let shown: Vec<String> = replies.iter().map(Message::shown).collect();
    let all: Vec<&str> = shown.iter().flat_map(|part| told(part)).collect();
    let first = all.iter().zip(told(&text)).find(|(shown, said)| **shown != *said);
    assert!(first.is_none() && all.len() == told(&text).len(), "{} lines, {first:?}", all.len());
    for part in &shown {
        assert!(part.chars().count() <= MARKDOWN_LIMIT, "{}", part.chars().count());
        let fences = part.lines().filter(|line| line.starts_with(FENCE)).count();
        assert_eq!(fences % 2, 0, "a fence is left open: {part}");
        // A row stands under its table's head.
        let mut is_table = false;
        for line in part.lines() {
            let is_row = line.starts_with('|');
            assert!(!is_row || is_table || TABLES.iter().any(|head| head.starts_with(line)), "{line}");
            is_table = is_row;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_23_what_slack_does_not_take_in_this_form_is_sent_in_a_plainer_one() {
    let app = TestApp::installed().await;
    let dm = app.dm(ADA);
    for (method, error) in [
        ("chat.postMessage", "invalid_blocks"),
        ("chat.update", "msg_blocks_too_long"),
        ("chat.stopStream", "invalid_blocks"),
    ] {
        let streams = usize::from(method != "chat.stopStream");
        app.simulator.fail("chat.startStream", Fault::Error("feature_disabled"), streams);
        app.simulator.fail(method, Fault::Error(error), 1);
        let ts = app.say(ADA, None, "say: Seen **all the same**, whatever the form.");
        assert_eq!(app.reply(&dm, &ts).await, "Seen **all the same**, whatever the form.", "{method}");
    }
}
