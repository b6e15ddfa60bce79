//! Text on its way to and from Slack. Answers go out as Markdown, which `markdown_text` takes as it is.

/// Makes a model's words inert: no mention, channel, broadcast or disguised link begins without `<`. What is left of
/// Markdown stays as it is, `>` included, since it marks quotes.
/// Source: <https://docs.slack.dev/messaging/formatting-message-text>
pub fn escape(markdown: &str) -> String {
    markdown.replace('<', "&lt;")
}

/// What a person wrote, as they see it: without the mention of the bot in front, and with Slack's escapes undone.
pub fn unescape_message(text: &str, bot_user_id: &str) -> String {
    let mention = format!("<@{bot_user_id}>");
    let text = text.trim();
    let text = text.strip_prefix(&mention).unwrap_or(text).trim_start();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_are_escaped_and_text_unescaped() {
        assert_eq!(escape("<!channel> <@U1> a < b\n> quote"), "&lt;!channel> &lt;@U1> a &lt; b\n> quote");
        assert_eq!(unescape_message(" <@UBOT> is 1 &lt; 2 &amp;&amp; 3?", "UBOT"), "is 1 < 2 && 3?");
    }
}
