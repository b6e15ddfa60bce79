//! Rust text as words and punctuation, without comments, texts and tests.

/// Splits Rust code into identifiers, `::` and single characters, without comments, literals and `mod tests`.
pub(super) fn tokenize(code: &str) -> Vec<String> {
    drop_tests(split(code))
}

fn split(code: &str) -> Vec<String> {
    let chars: Vec<char> = code.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        at += match rest {
            ['/', '/', ..] => length_until(rest, &['\n']),
            ['/', '*', ..] => length_until(rest, &['*', '/']),
            ['r', '"' | '#', ..] if is_raw_text(rest) => raw_text_length(rest),
            ['"', ..] => quoted_length(rest, '"'),
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted_length(rest, '\''),
            [':', ':', ..] => {
                tokens.push("::".to_owned());
                2
            }
            [first, ..] if first.is_alphanumeric() || *first == '_' => {
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                let length = word.chars().count();
                tokens.push(word);
                length
            }
            [first, ..] => {
                if !first.is_whitespace() {
                    tokens.push(first.to_string());
                }
                1
            }
            [] => 1,
        };
    }
    tokens
}

/// Returns the length up to and including `end`.
fn length_until(rest: &[char], end: &[char]) -> usize {
    rest.windows(end.len()).position(|part| part == end).map_or(rest.len(), |at| at + end.len())
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn is_raw_text(rest: &[char]) -> bool {
    rest[1..].iter().find(|c| **c != '#') == Some(&'"')
}

fn raw_text_length(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    let begin = hashes + 2;
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    begin + length_until(&rest[begin..], &end)
}

fn drop_tests(tokens: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_tests = tokens[at..].iter().take(3).eq(["mod", "tests", "{"]);
        if is_tests {
            at = block_end(&tokens, at + 2);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Returns the place after the block that opens at `open`.
fn block_end(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_lifetimes_are_told_apart() {
        let code = r##"fn f<'a>(x: &'a str) { g('"', '\'', r#"a "quoted" b"#, "\"", a::b) } // c"##;
        let text = tokenize(code).join(" ");
        assert_eq!(text, "fn f < ' a > ( x : & ' a str ) { g ( , , , , a :: b ) }");
    }
}
