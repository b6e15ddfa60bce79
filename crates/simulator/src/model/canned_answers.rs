//! Canned Markdown answers, chosen by keywords of the last user message.

use serde_json::Value;

/// Returns the answer to a conversation.
pub(super) fn answer(messages: &[Value]) -> String {
    if let [before @ .., spoken, last] = messages
        && spoken["role"] == "assistant"
        && text_of(last).starts_with("Continue")
    {
        let (whole, spoken) = (answer(before), text_of(spoken));
        return whole.strip_prefix(&spoken).map_or(whole.clone(), str::to_owned);
    }
    let said: Vec<String> =
        messages.iter().filter(|message| message["role"] == "user").map(text_of).collect();
    let Some((last, before)) = said.split_last() else {
        return "I have not been asked anything yet.".to_owned();
    };
    if let Some((_, verbatim)) = last.split_once("say:") {
        return verbatim.trim().to_owned();
    }
    let question = without_mentions(last);
    let lower = question.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let any = |keys: &[&str]| words.iter().any(|word| keys.contains(word));
    let asks_back = ["did i say", "did i ask", "did i just", "my last", "earlier", "before that", "remember"];
    if asks_back.iter().any(|phrase| lower.contains(phrase)) {
        recall_answer(before)
    } else if any(&["help"]) || lower.contains("what can you do") {
        HELP_ANSWER.to_owned()
    } else if any(&["table", "compare", "comparison"]) {
        TABLE_ANSWER.to_owned()
    } else if any(&["code", "function", "rust", "python", "javascript", "sql", "script"]) {
        CODE_ANSWER.to_owned()
    } else if any(&["list", "steps", "plan", "checklist"]) {
        STEPS_ANSWER.to_owned()
    } else if words.len() < 6 && any(&["hello", "hi", "hey", "morning", "moin", "hallo"]) {
        GREETING_ANSWER.to_owned()
    } else if words.len() < 6 && any(&["thanks", "thank"]) {
        "You're welcome! If anything else comes up, just reply here and I'll pick up where we left off."
            .to_owned()
    } else if let (true, Some(before)) = (words.len() < 4 && any(FOLLOW_UPS), before.last()) {
        follow_up_answer(before)
    } else {
        general_answer(&question, before.last().map(String::as_str))
    }
}

/// Returns the last message of a request.
pub(super) fn last_message_text(request: &Value) -> String {
    request["messages"].as_array().and_then(|messages| messages.last()).map(text_of).unwrap_or_default()
}

/// Returns a message's text from a string or from parts.
pub(super) fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// Returns the text without `<@U…>`, on one line.
fn without_mentions(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !word.starts_with("<@"));
    words.collect::<Vec<_>>().join(" ")
}

fn recall_answer(before: &[String]) -> String {
    match before.last() {
        None => "This is the first thing you have said to me here, so there is nothing to look back on yet."
            .to_owned(),
        Some(last) => format!(
            "Just before this, you said:\n\n> {}\n\nIn this thread you have written to me {} before.",
            without_mentions(last),
            if before.len() == 1 { "once".to_owned() } else { format!("{} times", before.len()) },
        ),
    }
}

fn follow_up_answer(before: &str) -> String {
    let earlier: String = without_mentions(before).chars().take(80).collect();
    format!(
        "You asked about “{earlier}”. I'm an **offline model** with prepared answers, so I can't rework that one. \
         Say `help` to see what I can answer, or connect a real model in `.env.api`."
    )
}

fn general_answer(question: &str, before: Option<&str>) -> String {
    let gist: String = question.chars().take(160).collect();
    let gist = gist.trim_end_matches(['?', '!', '.', ' ']);
    let link = match before {
        Some(before) => {
            let earlier: String = without_mentions(before).chars().take(80).collect();
            format!("That follows on from “{earlier}”, so I'll keep it in mind. ")
        }
        None => String::new(),
    };
    format!(
        "Good question – you're asking about *{gist}*.\n\n{link}I'm an **offline model**, so I can't look anything up, \
         but here is how I would go about it. First, write down what a good outcome looks like in one sentence. \
         Then take the smallest step that would show whether you're on the right track, and share it with \
         someone who will tell you the truth.\n\nIf you give me a little more detail, I can be more specific."
    )
}

/// Words of a short follow-up, such as "and shorter?".
const FOLLOW_UPS: &[&str] = &["shorter", "longer", "simpler", "again", "more", "why", "how"];

const GREETING_ANSWER: &str = "Hello! Good to see you. Ask me anything, or say `help` to see what I can do.";

const HELP_ANSWER: &str = "Here is what you can try with me:\n\n\
- **Ask a question** in a direct message, or mention me in a channel\n\
- Ask for **code**, a **list** of steps, or a **table**\n\
- Write `say: anything` to get exactly that back\n\
- Reply in the thread and ask *what did I say?* – I remember the conversation\n\n\
I answer in the thread, so channels stay tidy.";

const CODE_ANSWER: &str = "Here is a small function that counts the words of a text:\n\n\
```rust\nuse std::collections::BTreeMap;\n\nfn count_words(text: &str) -> BTreeMap<&str, usize> {\n    let mut counts = BTreeMap::new();\n    for word in text.split_whitespace() {\n        *counts.entry(word).or_default() += 1;\n    }\n    counts\n}\n```\n\n\
`BTreeMap` keeps the words in order; with `HashMap` it would be faster and unordered.";

const STEPS_ANSWER: &str = "## A plan in four steps\n\n\
1. **Agree on the goal** – one sentence that everyone would sign\n\
2. **List what is in the way**, the biggest first\n\
3. **Pick one owner** for each item:\n   - what is done\n   - by when\n\
4. **Look at it again** in a week\n\n\
> A plan that fits on a page gets read.";

const TABLE_ANSWER: &str = "Side by side:\n\n\
| | Redis | Postgres |\n|---|---|---|\n| Keeps data | in memory | on disk |\n| Good at | speed, expiry | truth, queries |\n| When lost | rebuild it | restore it |\n\n\
In short: **Postgres** for what must not be lost, **Redis** for what may be.";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(texts: &[&str]) -> String {
        let messages: Vec<Value> =
            texts.iter().map(|text| json!({"role": "user", "content": text})).collect();
        answer(&messages)
    }

    #[test]
    fn answers_verbatim_and_recalls_history() {
        assert_eq!(ask(&["<@U1> please say: exactly *this*"]), "exactly *this*");
        assert!(ask(&["<@U1> my cat is Tom", "what did I say?"]).contains("> my cat is Tom"));
        assert!(ask(&["a function please"]).contains("```rust"));
        assert!(ask(&["why is the sky blue?"]).contains("why is the sky blue*"));
        assert!(ask(&["compare rust and go"]).contains("|---|"));
        assert!(ask(&["parental leave", "and shorter?"]).contains("“parental leave”"));
        assert!(ask(&["one thing", "why is the sky blue?"]).contains("“one thing”"));
        assert!(!answer(&[]).is_empty());
        let mut broken_off = vec![json!({"role": "user", "content": "say: one two"})];
        broken_off.push(json!({"role": "assistant", "content": "one "}));
        broken_off.push(json!({"role": "user", "content": "Continue, please."}));
        assert_eq!(answer(&broken_off), "two");
    }
}
