//! Parses and sanitizes links in a model's Markdown, so that no link text shows one address and leads to
//! another.
//! Source: <https://spec.commonmark.org/>

use crate::escape;

/// The schemes that a link may have.
const ALLOWED_SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

/// The deepest nesting of brackets; deeper ones are parsed as text.
const MAX_BRACKET_DEPTH: usize = 32;

/// Characters that Slack does not show.
const INVISIBLE_CHARS: [char; 7] =
    ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}', '\\'];

/// The result of parsing a piece of Markdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parse<T> {
    /// The result depends on the text that follows.
    Incomplete,
    /// Plain text.
    PlainText,
    /// Parsed markup.
    Parsed(T),
}

/// Markup that starts with a bracket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkdownLink<'a> {
    /// `[text](target)`.
    Inline { text: &'a str, target: &'a str },
    /// `[label]:`, which turns the label into a link elsewhere.
    Definition { label: &'a str },
}

/// Parses markup that begins with `[`. `is_end`: no text follows the view.
pub(crate) fn parse_link(view: &str, is_end: bool) -> Parse<MarkdownLink<'_>> {
    let missing = if is_end { Parse::PlainText } else { Parse::Incomplete };
    let text = match parse_bracketed(view, is_end) {
        Parse::Parsed(text) => text,
        Parse::PlainText => return Parse::PlainText,
        Parse::Incomplete => return missing,
    };
    let rest = &view[text.len() + 2..];
    match rest.as_bytes().first() {
        None => missing,
        Some(b':') => Parse::Parsed(MarkdownLink::Definition { label: text }),
        Some(b'(') => match parse_bracketed(rest, is_end) {
            Parse::Parsed(target) => Parse::Parsed(MarkdownLink::Inline { text, target }),
            Parse::PlainText => Parse::PlainText,
            Parse::Incomplete => missing,
        },
        Some(_) => Parse::PlainText,
    }
}

/// Returns the text between the first bracket and its closing one, within a paragraph. Escaped brackets do
/// not count, nor, between `[` and `]`, do brackets in code.
fn parse_bracketed(view: &str, is_end: bool) -> Parse<&str> {
    let is_text = view.starts_with('[');
    let (open, close) = if is_text { (b'[', b']') } else { (b'(', b')') };
    let (mut at, mut depth, mut has_code) = (0, 0, is_text);
    while let Some(byte) = view.as_bytes().get(at) {
        match *byte {
            b'\\' => at += 1,
            b'\n' if view[at + 1..].trim_start_matches([' ', '\t', '\r']).starts_with('\n') => {
                return Parse::PlainText;
            }
            b'`' if has_code => match parse_code_span(&view[at..], is_end) {
                Parse::Parsed(span) => at += span.len() - 1,
                Parse::PlainText => has_code = false,
                Parse::Incomplete => return Parse::Incomplete,
            },
            byte if byte == open && depth == MAX_BRACKET_DEPTH => return Parse::PlainText,
            byte if byte == open => depth += 1,
            byte if byte == close && depth == 1 => return Parse::Parsed(&view[1..at]),
            byte if byte == close => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    Parse::Incomplete
}

/// Parses a code span at the start of the view, if it ends on the same line.
pub(crate) fn parse_code_span(view: &str, is_end: bool) -> Parse<&str> {
    let is_whole = is_end || view.contains('\n');
    let line = view.split('\n').next().unwrap_or_default();
    let run = |text: &str| text.len() - text.trim_start_matches('`').len();
    let mark = run(line);
    let mut at = mark;
    while let Some(found) = line[at..].find('`') {
        let length = run(&line[at + found..]);
        at += found + length;
        if length == mark && (is_whole || at < line.len()) {
            return Parse::Parsed(&line[..at]);
        }
    }
    if is_whole { Parse::PlainText } else { Parse::Incomplete }
}

/// Returns a safe version of a link.
pub(crate) fn sanitize_link(text: &str, target: &str) -> String {
    let (address, rest) = split_target(target.trim());
    if !rest.is_empty() && !rest.starts_with(['"', '\'', '(']) {
        return format!("[{}] ({})", strip_links(text), strip_links(target));
    }
    let has_bad_scheme = find_scheme(&address)
        .is_some_and(|scheme| !ALLOWED_SCHEMES.contains(&scheme.to_lowercase().as_str()));
    if has_bad_scheme || address.is_empty() {
        strip_links(text)
    } else if text.trim().is_empty() {
        escape(&address)
    } else if is_disguised(text, &address) || text.contains("](") {
        format!("{} ({})", strip_links(text), escape(&address))
    } else {
        format!("[{}]({})", escape(text), escape(&address))
    }
}

/// Escapes a text and breaks all links and images in it.
pub(crate) fn strip_links(text: &str) -> String {
    escape(text).replace("](", "] (").replace("![", "[")
}

/// Splits a link target into the address and the rest, usually a title.
fn split_target(target: &str) -> (String, &str) {
    let (address, rest) = match target.strip_prefix('<').and_then(|target| target.split_once('>')) {
        Some((address, rest)) => (address.trim().replace('(', "%28").replace(')', "%29"), rest),
        None => {
            let (address, rest) = target.split_once(char::is_whitespace).unwrap_or((target, ""));
            (address.to_owned(), rest)
        }
    };
    let address = address.replace(char::is_whitespace, "%20").replace('[', "%5B").replace(']', "%5D");
    (address, rest.trim())
}

/// Returns the scheme of an address, also a disguised one. A host with a port has none.
fn find_scheme(address: &str) -> Option<String> {
    let visible: String =
        address.chars().filter(|c| !INVISIBLE_CHARS.contains(c) && !c.is_control()).collect();
    let before_path = visible.split(['/', '?', '#']).next()?;
    match before_path.split_once(':') {
        Some((scheme, _)) if scheme.contains('.') || scheme == "localhost" => None,
        Some((scheme, _)) => Some(scheme.to_owned()),
        // An escape may hide a colon.
        None if before_path.contains(['&', '%']) => Some(before_path.to_owned()),
        None => None,
    }
}

/// Returns true if the link text shows another address than the link's own.
fn is_disguised(text: &str, address: &str) -> bool {
    // An escape may hide any character.
    let shows_address = text.contains("&#") || text.replace('\\', "").contains("://");
    match find_host(text) {
        Some(host) => find_host(address) != Some(host),
        None => shows_address,
    }
}

/// Returns the host of an address, or of a text that looks like one.
fn find_host(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !INVISIBLE_CHARS.contains(c)).collect();
    let text = text.trim_matches(|c: char| c.is_whitespace() || "*_~`\"'“”()<>".contains(c));
    let (has_scheme, text) = match text.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, text.strip_prefix("//").or(text.strip_prefix("mailto:")).unwrap_or(text)),
    };
    let authority = text.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?.trim_end_matches('.').to_lowercase();
    let labels: Vec<&str> = host.split('.').collect();
    let is_number = |label: &&str| label.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = labels.iter().filter(|label| is_number(label)).count();
    // `3.14` and `v1.2` are not hosts; four numbers are.
    let is_name = labels.len() > 1 && labels.last().is_some_and(|label| !is_number(label));
    let is_ip = labels.len() == 4 && numbers == 4;
    let is_well_formed = labels.iter().all(|label| {
        !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    });
    (is_well_formed && (has_scheme || is_name || is_ip))
        .then(|| host.strip_prefix("www.").unwrap_or(&host).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_is_parsed_with_nested_brackets() {
        let link = |text, target| Parse::Parsed(MarkdownLink::Inline { text, target });
        assert_eq!(parse_link("[a](b) c", true), link("a", "b"));
        assert_eq!(parse_link("[a [b]](c(d)e) f", true), link("a [b]", "c(d)e"));
        assert_eq!(parse_link("[`]` a](b)", true), link("`]` a", "b"));
        assert_eq!(parse_link("[a\\]](b)", true), link("a\\]", "b"));
        for text in ["[a] (b)", "[a\n \nb](c)", "[a](b", "[", "[a][b]", "[`a](b)`"] {
            assert_eq!(parse_link(text, true), Parse::PlainText, "{text}");
        }
        for text in ["[a](b", "[a]", "[`](b)", "[`` a`"] {
            assert_eq!(parse_link(text, false), Parse::Incomplete, "{text}");
        }
        assert_eq!(parse_link("[a]: b", false), Parse::Parsed(MarkdownLink::Definition { label: "a" }));
        assert_eq!(parse_link(&"[".repeat(100), false), Parse::PlainText);
    }

    #[test]
    fn misleading_links_are_disarmed() {
        let cases = [
            ("the docs", "https://docs.example", "[the docs](https://docs.example)"),
            ("docs.example", "https://www.docs.example/a", "[docs.example](https://www.docs.example/a)"),
            ("v1.2", "https://docs.example/v1.2", "[v1.2](https://docs.example/v1.2)"),
            ("https://bank.example", "https://evil.example", "https://bank.example (https://evil.example)"),
            ("https://bank", "https://evil", "https://bank (https://evil)"),
            ("**bank.example**", "https://evil.example", "**bank.example** (https://evil.example)"),
            ("10.0.0.1", "https://evil.example", "10.0.0.1 (https://evil.example)"),
            ("bank\\.example/login", "evil.example", "bank\\.example/login (evil.example)"),
            ("bank&#46;example", "https://evil.example", "bank&#46;example (https://evil.example)"),
            (
                "bank.example",
                "https://bank.example@evil.example",
                "bank.example (https://bank.example@evil.example)",
            ),
            ("bank.example", "mailto:a@evil.example", "bank.example (mailto:a@evil.example)"),
            ("a", "https://b.example \"a title\"", "[a](https://b.example)"),
            ("a", "<https://b.example/c d>", "[a](https://b.example/c%20d)"),
            ("1", "see the note", "[1] (see the note)"),
            ("a", "localhost:3000/x", "[a](localhost:3000/x)"),
            ("a", "/relative?x=1", "[a](/relative?x=1)"),
            (
                "![CI](https://ci.example/x.png)",
                "https://ci.example",
                "[CI] (https://ci.example/x.png) (https://ci.example)",
            ),
            ("a", "javascript:alert(1)", "a"),
            ("a", "java\u{200b}Script:alert(1)", "a"),
            ("a", "javascript&colon;alert(1)", "a"),
            ("a", "data:text/html,x", "a"),
            ("", "https://pixel.example/x.png", "https://pixel.example/x.png"),
        ];
        for (text, target, shown) in cases {
            assert_eq!(sanitize_link(text, target), shown, "[{text}]({target})");
        }
    }
}
