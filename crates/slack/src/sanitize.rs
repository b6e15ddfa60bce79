//! Sanitizes a model's Markdown while it streams. Slack interprets its own markup in Markdown too:
//! `<!channel>`, `<@U…>` and `<address|text>` would work.
//! Source: <https://docs.slack.dev/messaging/formatting-message-text>

use crate::escape;
use crate::link::{MarkdownLink, Parse, parse_code_span, parse_link, sanitize_link, strip_links};
use crate::markdown_blocks::Fence;

/// The longest link, code span or line start that is parsed; a longer one is plain text.
const MAX_LOOKAHEAD_BYTES: usize = 2_000;

/// Characters at which markup may begin.
const MARKUP_CHARS: [char; 7] = ['\\', '!', '[', ']', '<', '`', '\n'];

/// Characters of a blank line, which ends a paragraph.
const BLANK_CHARS: [char; 4] = [' ', '\t', '\r', '\n'];

/// A streaming sanitizer of a model's Markdown. Its output mentions no one and contains no `<`, no image, and
/// no link whose text shows another address. The output does not depend on how the text is split into pieces.
///
/// Links in code are unchanged if they are unambiguously in code.
#[derive(Debug, Default)]
pub struct MarkdownSanitizer {
    /// Text that may still become a link, a code span or a fence.
    pending: String,
    /// The marker of the open code fence.
    open_fence: Option<String>,
    code_ambiguity: CodeAmbiguity,
    is_within_line: bool,
    /// True while the line contains only characters that may precede a definition: list and quote markers.
    may_be_definition: bool,
    /// True if the output ends with an address, which further letters would change.
    is_after_url: bool,
}

/// The doubt about which text is code: Slack might parse it differently than we do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum CodeAmbiguity {
    #[default]
    None,
    /// A backtick is unmatched, so code may continue on the next line of the paragraph.
    Paragraph,
    /// A fence was indented, so it may belong to a list and end with it.
    Document,
}

impl MarkdownSanitizer {
    /// Adds a piece of text and returns the output that is final.
    pub fn push(&mut self, text: &str) -> String {
        self.pending.push_str(text);
        self.drain_pending(false)
    }

    /// Ends the text and returns the rest of the output.
    pub fn finish(&mut self) -> String {
        self.drain_pending(true)
    }

    fn drain_pending(&mut self, is_end: bool) -> String {
        let pending = std::mem::take(&mut self.pending);
        let (mut at, mut output) = (0, String::with_capacity(pending.len()));
        while at < pending.len() {
            // The view is limited even if more text is available, so that the output does not depend on the
            // pieces.
            let rest = &pending[at..];
            let view = &rest[..rest.floor_char_boundary(MAX_LOOKAHEAD_BYTES)];
            let Some((length, text)) = self.next_token(view, is_end || rest.len() >= MAX_LOOKAHEAD_BYTES)
            else {
                break;
            };
            at += length;
            output.push_str(&text);
        }
        self.pending = pending[at..].to_owned();
        output
    }

    /// Consumes a token at the start of the view: returns its length and its output. `None`: that depends on
    /// the text that follows.
    fn next_token(&mut self, view: &str, is_end: bool) -> Option<(usize, String)> {
        if !self.is_within_line {
            self.start_line(view, is_end)
        } else if self.open_fence.is_some() && self.code_ambiguity == CodeAmbiguity::None {
            let line = view.split_inclusive('\n').next()?;
            Some(self.consume(line, escape(line)))
        } else {
            self.consume_inline(view, is_end)
        }
    }

    /// Checks whether a line opens or closes a fence, or ends a paragraph.
    fn start_line(&mut self, view: &str, is_end: bool) -> Option<(usize, String)> {
        if !is_end && !view.contains('\n') && may_become_fence(view) {
            return None;
        }
        let line = view.split_inclusive('\n').next()?;
        (self.is_within_line, self.may_be_definition) = (true, true);
        let (opened, is_fence) = match &self.open_fence {
            Some(marker) => (None, Fence { marker, info: "" }.is_closed_by(line)),
            None => Fence::parse_opening(line)
                .map_or((None, false), |fence| (Some(fence.marker.to_owned()), true)),
        };
        // A fence ends a paragraph too.
        if self.code_ambiguity == CodeAmbiguity::Paragraph
            && (is_fence || line.trim_start_matches(BLANK_CHARS).is_empty())
        {
            self.code_ambiguity = CodeAmbiguity::None;
        }
        if !is_fence {
            return Some((0, String::new()));
        }
        if line.starts_with(' ') {
            self.code_ambiguity = CodeAmbiguity::Document;
        }
        self.open_fence = opened;
        Some(self.consume(line, escape(line)))
    }

    fn consume_inline(&mut self, view: &str, is_end: bool) -> Option<(usize, String)> {
        let first = view.chars().next()?;
        let (this, rest) = view.split_at(first.len_utf8());
        let next = rest.chars().next();
        if matches!(first, '\\' | '!' | ']') && next.is_none() && !is_end {
            return None;
        }
        match (first, next) {
            // A backslash before `&lt;` would escape the `&`, and show the entity.
            ('\\', Some('<')) => Some(self.consume("\\<", "&lt;".into())),
            ('\\', Some('`')) => {
                self.code_ambiguity = self.code_ambiguity.max(CodeAmbiguity::Paragraph);
                Some(self.consume("\\`", "\\`".into()))
            }
            ('\\', Some(next)) if next.is_ascii_punctuation() => {
                let pair = &view[..2];
                Some(self.consume(pair, pair.into()))
            }
            ('!', Some('[')) => self.consume_link(view, rest, is_end),
            ('[', _) => self.consume_link(view, view, is_end),
            // Break links that were not parsed as such.
            (']', Some('(')) => Some(self.consume("]", "] ".into())),
            ('<', _) => self.consume_autolink(view, is_end),
            ('`', _) => self.consume_code_span(view, is_end),
            ('\\' | '!' | ']' | '\n', _) => Some(self.consume(this, this.into())),
            _ => {
                let text = view.split(MARKUP_CHARS).next()?;
                Some(self.consume(text, text.into()))
            }
        }
    }

    /// Consumes a link or an image. An image becomes a link, since Slack would load it without a click.
    fn consume_link(&mut self, view: &str, bracket: &str, is_end: bool) -> Option<(usize, String)> {
        let bracket_start = view.len() - bracket.len();
        match parse_link(bracket, is_end) {
            Parse::Incomplete => None,
            Parse::Parsed(MarkdownLink::Inline { text, target }) => {
                let length = bracket_start + text.len() + target.len() + 4;
                Some(self.consume(&view[..length], sanitize_link(text, target)))
            }
            Parse::Parsed(MarkdownLink::Definition { label }) if self.may_be_definition => {
                let length = bracket_start + label.len() + 2;
                Some(self.consume(&view[..length], format!("[{}] ", strip_links(label))))
            }
            _ => Some(self.consume(&view[..bracket_start + 1], "[".into())),
        }
    }

    /// Consumes a `<`: `<https://…>` becomes the bare address, any other `<` is escaped.
    fn consume_autolink(&mut self, view: &str, is_end: bool) -> Option<(usize, String)> {
        let is_address =
            |scheme: &&str| view.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let may_become_address =
            |scheme: &&str| scheme.get(..view.len()).is_some_and(|start| start.eq_ignore_ascii_case(view));
        let schemes = ["<http://", "<https://"];
        if let Some(scheme) = schemes.iter().find(|scheme| is_address(scheme)) {
            let rest = &view[scheme.len()..];
            let stops = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '|' | '[' | ']' | '`');
            match rest.find(stops) {
                Some(0) => {}
                Some(end) if rest[end..].starts_with('>') => {
                    let address = &view[1..scheme.len() + end];
                    let token = self.consume(&view[..address.len() + 2], address.into());
                    self.is_after_url = true;
                    return Some(token);
                }
                None if !is_end => return None,
                _ => {}
            }
        } else if !is_end && schemes.iter().any(may_become_address) {
            return None;
        }
        Some(self.consume("<", "&lt;".into()))
    }

    /// Consumes a backtick. A code span is only escaped, unless a `|` in it could divide table cells.
    fn consume_code_span(&mut self, view: &str, is_end: bool) -> Option<(usize, String)> {
        if self.code_ambiguity == CodeAmbiguity::None {
            match parse_code_span(view, is_end) {
                Parse::Incomplete => return None,
                Parse::Parsed(span) if !span.contains('|') => return Some(self.consume(span, escape(span))),
                _ => self.code_ambiguity = CodeAmbiguity::Paragraph,
            }
        }
        Some(self.consume("`", "`".into()))
    }

    /// Updates the state after `source`, and separates its output from a preceding address.
    fn consume(&mut self, source: &str, mut output: String) -> (usize, String) {
        self.is_within_line = !source.ends_with('\n');
        self.may_be_definition &= source.chars().all(|c| " \t>-*+.)".contains(c) || c.is_ascii_digit());
        if let Some(first) = output.chars().next() {
            let is_separator = first.is_whitespace() || ".,;:!?)]}'\"*_~|".contains(first);
            if self.is_after_url && !is_separator {
                output.insert(0, ' ');
            }
            self.is_after_url = false;
        }
        (source.len(), output)
    }
}

/// Returns true if an incomplete line may become a fence or a blank line.
fn may_become_fence(view: &str) -> bool {
    let text = view.trim_start_matches(BLANK_CHARS);
    let run = text.len() - text.trim_start_matches(['`', '~']).len();
    run >= 3 || run == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitize(text: &str) -> String {
        let mut sanitizer = MarkdownSanitizer::default();
        let output = sanitizer.push(text);
        output + &sanitizer.finish()
    }

    #[test]
    fn slack_markup_is_escaped() {
        let cases = [
            ("<!channel> <@U1> a < b\n> quote", "&lt;!channel> &lt;@U1> a &lt; b\n> quote"),
            ("<https://evil.example|bank.example>", "&lt;https://evil.example|bank.example>"),
            ("see <https://a.example/b>.", "see https://a.example/b."),
            ("<https://a.example>b", "https://a.example b"),
            ("<HTTPS://a.example> <httpx> <http://>", "HTTPS://a.example &lt;httpx> &lt;http://>"),
            ("\\<!here>", "&lt;!here>"),
            ("**bold** _it_ `a < b`", "**bold** _it_ `a &lt; b`"),
        ];
        for (text, shown) in cases {
            assert_eq!(sanitize(text), shown);
        }
    }

    #[test]
    fn links_and_images_are_sanitized() {
        let cases = [
            ("[docs](https://a.example) ok", "[docs](https://a.example) ok"),
            ("[bank.example](https://evil.example)!", "bank.example (https://evil.example)!"),
            ("![](https://pixel.example/x)", "https://pixel.example/x"),
            ("![a cat](https://a.example/x.png)", "[a cat](https://a.example/x.png)"),
            ("[bank.example](https://evil.example \"(\")", "[bank.example] (https://evil.example \"(\")"),
            ("[bank.example](https://evil.example", "[bank.example] (https://evil.example"),
            ("- [1]: https://evil.example\n[1] a", "- [1] : https://evil.example\n[1] a"),
            ("as [1]: so", "as [1]: so"),
            ("\\[a](b)", "\\[a] (b)"),
            ("- [ ] todo\n- [x] done", "- [ ] todo\n- [x] done"),
            ("wow!", "wow!"),
        ];
        for (text, shown) in cases {
            assert_eq!(sanitize(text), shown);
        }
    }

    #[test]
    fn unambiguous_code_is_unchanged() {
        let link = "[bank.example](https://evil.example)";
        let shown = "bank.example (https://evil.example)";
        let unchanged = [
            format!("`{link}`"),
            format!("```\n{link}\n```"),
            format!("~~~~ md\n```\n{link}\n~~~\n{link}"),
            format!("a ` b\n```\n{link}"),
        ];
        for text in unchanged {
            assert_eq!(sanitize(&text), text);
        }
        let ambiguous = [
            ("`a\nb` ", " `c`"),
            ("| ` |", "| ` |"),
            ("- a\n  ```\n", ""),
            ("\\`", "`"),
            ("```\na\n```\n", ""),
            ("    ```\n", ""),
            ("`", ""),
        ];
        for (before, after) in ambiguous {
            let text = format!("{before}{link}{after}");
            assert_eq!(sanitize(&text), format!("{before}{shown}{after}"));
        }
    }

    #[test]
    fn only_incomplete_markup_is_buffered() {
        let mut sanitizer = MarkdownSanitizer::default();
        assert_eq!(sanitizer.push("Hello [wor"), "Hello ");
        assert_eq!(sanitizer.push("ld](https://a.exa"), "");
        assert_eq!(sanitizer.push("mple), and"), "[world](https://a.example), and");
        let long = format!("[{}", "a".repeat(1_990));
        assert_eq!(sanitizer.push(&long), "");
        assert_eq!(sanitizer.push(&"a".repeat(20)).len(), 2_011);
        assert_eq!(sanitizer.finish(), "");
    }
}
