//! Any text, cut at any limit: the parts join to the whole, and none is too long.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u16, u16, &str)| {
    let (limit, shown, text) = (usize::from(input.0), usize::from(input.1), input.2);
    let (mut start, mut joined) = (0, String::new());
    while start < text.len() {
        let part = slack::next_chunk(text, start, start + shown, limit);
        let words = &text[start..part.end];
        assert!(!words.is_empty());
        assert!(words.len() <= limit || words.chars().count() == 1);
        assert!(part.prefix.len() + part.suffix.len() <= 600);
        joined.push_str(words);
        start = part.end;
    }
    assert_eq!(joined, text);
});
