//! Makes a model's words inert, as they come. Slack reads its own markup in Markdown too: `<!channel>`, `<@U…>` and
//! `<address|other words>` would be live. Source: <https://docs.slack.dev/messaging/formatting-message-text>

use crate::escape;
use crate::link::{MarkdownLink, Parse, parse_code_span, parse_link, sanitize_link, strip_links};
use crate::markdown_blocks::Fence;

/// Bytes of a link, a code span or a line that are looked at; one that is longer counts as text.
const MAX_LOOKAHEAD_BYTES: usize = 2_000;

/// Where something else than plain words may begin.
const MARKUP_CHARS: [char; 7] = ['\\', '!', '[', ']', '<', '`', '\n'];

/// What a line that ends a paragraph may hold.
const BLANK_CHARS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Takes a model's words piece by piece and gives them back so that nothing in them mentions, broadcasts or misleads:
/// no `<`, no image, and no link that reads as one address and leads to another. In whichever pieces the words come,
/// the result is the same.
///
/// Links in code are left alone where it is beyond doubt that it is code.
#[derive(Debug, Default)]
pub struct MarkdownSanitizer {
    /// What may still become a link, a code span or a fence.
    pending: String,
    /// The marks that opened the code fence in which the words are.
    open_fence: Option<String>,
    code_ambiguity: CodeAmbiguity,
    is_within_line: bool,
    /// Whether the line so far has only what may stand before a definition: marks of lists and quotes.
    may_be_definition: bool,
    /// Whether the words so far end with an address, which more letters would change.
    is_after_url: bool,
}

/// Whether another reader might take something else for code than we do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum CodeAmbiguity {
    #[default]
    None,
    /// A backtick is without its other half; code may go on over the line's end.
    Paragraph,
    /// A fence was indented: it may belong to a list, and end with it.
    Document,
}

impl MarkdownSanitizer {
    /// Takes some words; gives back what is certain by now.
    pub fn push(&mut self, words: &str) -> String {
        self.pending.push_str(words);
        self.drain_pending(false)
    }

    /// Gives back what was held, at the end of the words.
    pub fn finish(&mut self) -> String {
        self.drain_pending(true)
    }

    fn drain_pending(&mut self, is_end: bool) -> String {
        let held = std::mem::take(&mut self.pending);
        let (mut at, mut released) = (0, String::with_capacity(held.len()));
        while at < held.len() {
            // However much there is, no more is looked at: what is decided must not depend on the pieces.
            let rest = &held[at..];
            let view = &rest[..rest.floor_char_boundary(MAX_LOOKAHEAD_BYTES)];
            let Some((length, words)) = self.next_token(view, is_end || rest.len() >= MAX_LOOKAHEAD_BYTES)
            else {
                break;
            };
            at += length;
            released.push_str(&words);
        }
        self.pending = held[at..].to_owned();
        released
    }

    /// Takes something from the front of the view: how much, and the words for it. `None`: that depends on what
    /// follows.
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

    /// Looks whether a line opens or closes a fence, or ends a paragraph.
    fn start_line(&mut self, view: &str, is_end: bool) -> Option<(usize, String)> {
        if !is_end && !view.contains('\n') && may_become_fence(view) {
            return None;
        }
        let line = view.split_inclusive('\n').next()?;
        (self.is_within_line, self.may_be_definition) = (true, true);
        let (opened, is_mark) = match &self.open_fence {
            Some(mark) => (None, Fence { marker: mark, info: "" }.is_closed_by(line)),
            None => Fence::parse_opening(line)
                .map_or((None, false), |fence| (Some(fence.marker.to_owned()), true)),
        };
        // A fence ends a paragraph too.
        if self.code_ambiguity == CodeAmbiguity::Paragraph
            && (is_mark || line.trim_start_matches(BLANK_CHARS).is_empty())
        {
            self.code_ambiguity = CodeAmbiguity::None;
        }
        if !is_mark {
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
        let (this, behind) = view.split_at(first.len_utf8());
        let next = behind.chars().next();
        if matches!(first, '\\' | '!' | ']') && next.is_none() && !is_end {
            return None;
        }
        match (first, next) {
            // An escaped `&` would no longer be an escape.
            ('\\', Some('<')) => Some(self.consume("\\<", "&lt;".into())),
            ('\\', Some('`')) => {
                self.code_ambiguity = self.code_ambiguity.max(CodeAmbiguity::Paragraph);
                Some(self.consume("\\`", "\\`".into()))
            }
            ('\\', Some(next)) if next.is_ascii_punctuation() => {
                let pair = &view[..2];
                Some(self.consume(pair, pair.into()))
            }
            ('!', Some('[')) => self.consume_link(view, behind, is_end),
            ('[', _) => self.consume_link(view, view, is_end),
            // The only links are those that were read as such.
            (']', Some('(')) => Some(self.consume("]", "] ".into())),
            ('<', _) => self.consume_autolink(view, is_end),
            ('`', _) => self.consume_code_span(view, is_end),
            ('\\' | '!' | ']' | '\n', _) => Some(self.consume(this, this.into())),
            _ => {
                let words = view.split(MARKUP_CHARS).next()?;
                Some(self.consume(words, words.into()))
            }
        }
    }

    /// A link or an image, which becomes a link: it would be fetched without anybody's doing.
    fn consume_link(&mut self, view: &str, bracket: &str, is_end: bool) -> Option<(usize, String)> {
        let mark = view.len() - bracket.len();
        match parse_link(bracket, is_end) {
            Parse::Incomplete => None,
            Parse::Parsed(MarkdownLink::Inline { text, target }) => {
                let length = mark + text.len() + target.len() + 4;
                Some(self.consume(&view[..length], sanitize_link(text, target)))
            }
            Parse::Parsed(MarkdownLink::Definition { label }) if self.may_be_definition => {
                let length = mark + label.len() + 2;
                Some(self.consume(&view[..length], format!("[{}] ", strip_links(label))))
            }
            _ => Some(self.consume(&view[..mark + 1], "[".into())),
        }
    }

    /// `<https://…>` becomes the bare address; any other `<` is escaped.
    fn consume_autolink(&mut self, view: &str, is_end: bool) -> Option<(usize, String)> {
        let is_address =
            |scheme: &&str| view.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
        let may_be_one =
            |scheme: &&str| scheme.get(..view.len()).is_some_and(|start| start.eq_ignore_ascii_case(view));
        let schemes = ["<http://", "<https://"];
        if let Some(scheme) = schemes.iter().find(|scheme| is_address(scheme)) {
            let behind = &view[scheme.len()..];
            let stops = |c: char| c.is_whitespace() || matches!(c, '<' | '>' | '|' | '[' | ']' | '`');
            match behind.find(stops) {
                Some(0) => {}
                Some(end) if behind[end..].starts_with('>') => {
                    let address = &view[1..scheme.len() + end];
                    let taken = self.consume(&view[..address.len() + 2], address.into());
                    self.is_after_url = true;
                    return Some(taken);
                }
                None if !is_end => return None,
                _ => {}
            }
        } else if !is_end && schemes.iter().any(may_be_one) {
            return None;
        }
        Some(self.consume("<", "&lt;".into()))
    }

    /// A code span is left alone; cells of a table would divide it.
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

    /// Notes what was taken and keeps an address apart from what follows it.
    fn consume(&mut self, source: &str, mut words: String) -> (usize, String) {
        self.is_within_line = !source.ends_with('\n');
        self.may_be_definition &= source.chars().all(|c| " \t>-*+.)".contains(c) || c.is_ascii_digit());
        if let Some(first) = words.chars().next() {
            let is_apart = first.is_whitespace() || ".,;:!?)]}'\"*_~|".contains(first);
            if self.is_after_url && !is_apart {
                words.insert(0, ' ');
            }
            self.is_after_url = false;
        }
        (source.len(), words)
    }
}

/// Whether a line that is not whole yet may turn out to be a fence, or empty.
fn may_become_fence(view: &str) -> bool {
    let text = view.trim_start_matches(BLANK_CHARS);
    let run = text.len() - text.trim_start_matches(['`', '~']).len();
    run >= 3 || run == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanitize(text: &str) -> String {
        let mut inert = MarkdownSanitizer::default();
        let words = inert.push(text);
        words + &inert.finish()
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
        let same = [
            format!("`{link}`"),
            format!("```\n{link}\n```"),
            format!("~~~~ md\n```\n{link}\n~~~\n{link}"),
            format!("a ` b\n```\n{link}"),
        ];
        for text in same {
            assert_eq!(sanitize(&text), text);
        }
        let doubtful = [
            ("`a\nb` ", " `c`"),
            ("| ` |", "| ` |"),
            ("- a\n  ```\n", ""),
            ("\\`", "`"),
            ("```\na\n```\n", ""),
            ("    ```\n", ""),
            ("`", ""),
        ];
        for (before, behind) in doubtful {
            let text = format!("{before}{link}{behind}");
            assert_eq!(sanitize(&text), format!("{before}{shown}{behind}"));
        }
    }

    #[test]
    fn only_incomplete_markup_is_buffered() {
        let mut inert = MarkdownSanitizer::default();
        assert_eq!(inert.push("Hello [wor"), "Hello ");
        assert_eq!(inert.push("ld](https://a.exa"), "");
        assert_eq!(inert.push("mple), and"), "[world](https://a.example), and");
        let long = format!("[{}", "a".repeat(1_990));
        assert_eq!(inert.push(&long), "");
        assert_eq!(inert.push(&"a".repeat(20)).len(), 2_011);
        assert_eq!(inert.finish(), "");
    }
}
