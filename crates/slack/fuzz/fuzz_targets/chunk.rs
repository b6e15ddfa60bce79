//! Any text, split with any limit: the chunks join to the whole text, and none is too long.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: (u16, u16, &str)| {
    let (max_bytes, posted, text) = (usize::from(input.0), usize::from(input.1), input.2);
    let (mut start, mut joined) = (0, String::new());
    while start < text.len() {
        let chunk = slack::next_chunk(text, start, start + posted, max_bytes);
        let own_text = &text[start..chunk.end];
        assert!(!own_text.is_empty());
        assert!(own_text.len() <= max_bytes || own_text.chars().count() == 1);
        assert!(chunk.prefix.len() + chunk.suffix.len() <= 600);
        joined.push_str(own_text);
        start = chunk.end;
    }
    assert_eq!(joined, text);
});
