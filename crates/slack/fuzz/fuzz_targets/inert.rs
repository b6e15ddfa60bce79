//! Any words in any two pieces: the same result as at once, and no `<` in it.
#![no_main]

use slack::MarkdownSanitizer;

fn inert(pieces: &[&str]) -> String {
    let mut inert = MarkdownSanitizer::default();
    let words: String = pieces.iter().map(|piece| inert.push(piece)).collect();
    words + &inert.finish()
}

libfuzzer_sys::fuzz_target!(|input: (u16, &str)| {
    let (at, text) = (usize::from(input.0), input.1);
    let whole = inert(&[text]);
    let (first, second) = text.split_at(text.floor_char_boundary(at % (text.len() + 1)));
    assert_eq!(inert(&[first, second]), whole);
    assert!(!whole.contains('<'));
});
