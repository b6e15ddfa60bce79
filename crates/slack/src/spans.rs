//! The stretches of Markdown that may not be cut like prose: code fences and tables.
//! Source: <https://github.github.com/gfm/>

/// A run of more marks than this is an ornament: what opens and closes a fence has to fit beside a whole message.
const LONGEST_MARK: usize = 40;

/// The line that opens a code fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence<'a> {
    /// Three or more backticks or tildes.
    pub(crate) mark: &'a str,
    /// What stands behind it: the language.
    pub(crate) info: &'a str,
}

impl<'a> Fence<'a> {
    pub(crate) fn open(line: &'a str) -> Option<Self> {
        let (mark, rest) = run(line).filter(|(mark, _)| mark.len() <= LONGEST_MARK)?;
        let info = rest.trim();
        (mark.starts_with('~') || !info.contains('`')).then_some(Self { mark, info })
    }

    pub(crate) fn is_closed_by(&self, line: &str) -> bool {
        run(line).is_some_and(|(mark, rest)| mark.starts_with(self.mark) && rest.trim().is_empty())
    }
}

/// The three or more backticks or tildes that a line begins with, and what follows them.
fn run(line: &str) -> Option<(&str, &str)> {
    let text = line.trim_start_matches(' ');
    let mark = text.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let length = text.len() - text.trim_start_matches(mark).len();
    (line.len() - text.len() <= 3 && length >= 3).then(|| text.split_at(length))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    Fence(Fence<'a>),
    /// With its header and delimiter rows.
    Table(&'a str),
}

/// A code fence or table, by bytes of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) start: usize,
    /// The byte after the fence's opening line, or after the table's two first rows.
    pub(crate) body: usize,
    pub(crate) end: usize,
    /// Whether the text ends before the span does, or may do so.
    pub(crate) is_open: bool,
}

impl Span<'_> {
    /// Whether a cut here would go through it.
    pub(crate) fn surrounds(&self, at: usize) -> bool {
        self.start < at && at < self.end
    }

    /// Takes the line that begins where the span ends, if it belongs to it.
    fn take(&mut self, line: &str) -> bool {
        match self.kind {
            Kind::Fence(fence) => self.is_open = !fence.is_closed_by(line),
            Kind::Table(_) if is_row(line) => {}
            Kind::Table(_) => {
                self.is_open = false;
                return false;
            }
        }
        self.end += line.len();
        true
    }
}

/// All fences and tables of a text, in order.
pub(crate) fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans: Vec<Span<'_>> = Vec::new();
    let mut header = None;
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let start = end;
        end += line.len();
        if spans.last_mut().is_some_and(|span| span.is_open && span.take(line)) {
            continue;
        }
        let opened = match header.take() {
            _ if Fence::open(line).is_some() => Fence::open(line).map(|fence| (Kind::Fence(fence), start)),
            Some(at) if delimits(line, &text[at..start]) => Some((Kind::Table(&text[at..end]), at)),
            _ => None,
        };
        match opened {
            Some((kind, start)) => spans.push(Span { kind, start, body: end, end, is_open: true }),
            None => header = is_row(line).then_some(start),
        }
    }
    spans
}

pub(crate) fn is_row(line: &str) -> bool {
    line.contains('|') && Fence::open(line).is_none()
}

/// Whether a line is the second row of the table whose first row is `header`.
fn delimits(line: &str, header: &str) -> bool {
    let is_rule = |cell: &&str| {
        let dashes = cell.trim().trim_start_matches(':').trim_end_matches(':');
        !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-')
    };
    let rules = cells(line);
    is_row(line) && rules.iter().all(is_rule) && rules.len() == cells(header).len()
}

fn cells(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').unwrap_or(row);
    let mut escaped = false;
    let is_border = |c: char| {
        let border = c == '|' && !escaped;
        escaped = c == '\\' && !escaped;
        border
    };
    row.split(is_border).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_open_and_close_by_their_own_marks() {
        let open = |line| Fence::open(line).map(|fence| (fence.mark, fence.info));
        assert_eq!(open("```rust\n"), Some(("```", "rust")));
        assert_eq!(open("   ~~~~ a ` b"), Some(("~~~~", "a ` b")));
        for line in ["``", "    ```", "```a`b", "text ```", "\t```", &"`".repeat(41)] {
            assert_eq!(open(line), None, "{line}");
        }
        let fence = Fence { mark: "~~~~", info: "" };
        assert!(fence.is_closed_by("  ~~~~~ \n") && fence.is_closed_by(&"~".repeat(99)));
        for line in ["~~~", "````", "~~~~ rust", "    ~~~~"] {
            assert!(!fence.is_closed_by(line), "{line}");
        }
    }

    #[test]
    fn tables_and_fences_are_found() {
        let text = "a | b\n\n| x | y\\|z |\n|:-|-:|\n| 1 | 2 |\nend\n```\n| no |\n|-|\n```\n~~~\nopen";
        let found: Vec<(&str, bool)> =
            spans(text).iter().map(|span| (&text[span.start..span.end], span.is_open)).collect();
        assert_eq!(
            found,
            [
                ("| x | y\\|z |\n|:-|-:|\n| 1 | 2 |\n", false),
                ("```\n| no |\n|-|\n```\n", false),
                ("~~~\nopen", true)
            ]
        );
    }
}
