//! Escapes text for Slack and unescapes text from Slack. Replies are Markdown, which `markdown_text` accepts
//! as it is.

/// Escapes `<`, with which every mention, broadcast and disguised link begins. The rest of the Markdown is
/// unchanged, including `>`, which marks quotes.
/// Source: <https://docs.slack.dev/messaging/formatting-message-text>
pub fn escape(markdown: &str) -> String {
    markdown.replace('<', "&lt;")
}

/// Returns a message as its author sees it: without a leading mention of the bot, and with Slack's escapes
/// undone.
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
