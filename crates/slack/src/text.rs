//! Text on its way to and from Slack. Answers go out as Markdown, which `markdown_text` takes as it is.

/// Makes a model's words inert: no mention, channel, broadcast or disguised link begins without `<`. What is left of
/// Markdown stays as it is, `>` included, since it marks quotes.
/// Source: <https://docs.slack.dev/messaging/formatting-message-text>
pub fn escape(markdown: &str) -> String {
    markdown.replace('<', "&lt;")
}

/// What a person wrote, as they see it: without the mention of the bot in front, and with Slack's escapes undone.
pub fn readable(text: &str, bot_user_id: &str) -> String {
    let mention = format!("<@{bot_user_id}>");
    let text = text.trim();
    let text = text.strip_prefix(&mention).unwrap_or(text).trim_start();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// A stretch of an answer that fits into one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The byte of the text after this part.
    pub end: usize,
    /// What goes in front: the opening of a code fence that an earlier part had to close.
    pub prefix: String,
    /// What goes behind: the closing of a code fence that goes on in the next part.
    pub suffix: &'static str,
}

/// The part that begins at `start`, of at most `limit` bytes of the text; it ends at the text's end, or else between
/// paragraphs, lines or words, in this order, and never before `not_before`, since that much is shown already.
pub fn next_part(text: &str, start: usize, not_before: usize, limit: usize) -> Part {
    let rest = &text[start..];
    let end = if rest.len() <= limit {
        text.len()
    } else {
        let window = &rest[..rest.floor_char_boundary(limit)];
        let shown = not_before.saturating_sub(start);
        let border = |pattern: &str| {
            window.rfind(pattern).map(|at| at + pattern.len()).filter(|end| *end > shown.max(limit / 2))
        };
        start + border("\n\n").or_else(|| border("\n")).or_else(|| border(" ")).unwrap_or(window.len())
    };
    let open_before = open_fence(&text[..start]);
    let open_after = open_fence(&text[..end]);
    Part {
        end,
        prefix: open_before.map(|fence| format!("{fence}\n")).unwrap_or_default(),
        suffix: if open_after.is_some() && end < text.len() { "\n```" } else { "" },
    }
}

/// The line that opened the code fence in which the text ends.
fn open_fence(text: &str) -> Option<&str> {
    let mut open = None;
    for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("```")) {
        open = if open.is_some() { None } else { Some(line.trim_end()) };
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str, limit: usize) -> Vec<String> {
        let (mut start, mut parts) = (0, Vec::new());
        while start < text.len() {
            let part = next_part(text, start, start, limit);
            parts.push(format!("{}{}{}", part.prefix, &text[start..part.end], part.suffix));
            start = part.end;
        }
        parts
    }

    #[test]
    fn parts_end_between_paragraphs_and_join_to_the_whole() {
        let text = "One paragraph.\n\nAnother, longer one.\n\nThe last.";
        assert_eq!(parts(text, 40), ["One paragraph.\n\nAnother, longer one.\n\n", "The last."]);
        for limit in 4..60 {
            assert_eq!(parts(text, limit).concat(), text, "limit {limit}");
        }
        assert_eq!(parts("äöü", 3).concat(), "äöü");
    }

    #[test]
    fn a_fence_is_closed_and_opened_again() {
        let text = "```rust\nlet a = 1;\nlet b = 2;\n```\ndone";
        let parts = parts(text, 22);
        assert_eq!(parts[0], "```rust\nlet a = 1;\n\n```");
        assert_eq!(parts[1], "```rust\nlet b = 2;\n```\ndone");
        assert!(parts.iter().all(|part| part.matches("```").count() % 2 == 0), "{parts:?}");
    }

    #[test]
    fn what_is_shown_already_is_not_cut_off() {
        let part = next_part("aaaa\nbbbbbbbbbbbb", 0, 9, 10);
        assert_eq!(part.end, 10);
    }

    #[test]
    fn a_models_mentions_are_inert_and_a_persons_text_is_plain() {
        assert_eq!(escape("<!channel> <@U1> a < b\n> quote"), "&lt;!channel> &lt;@U1> a &lt; b\n> quote");
        assert_eq!(readable(" <@UBOT> is 1 &lt; 2 &amp;&amp; 3?", "UBOT"), "is 1 < 2 && 3?");
    }
}
