//! Makes a model's words inert, as they come.

/// Takes a model's words piece by piece and gives them back so that nothing in them mentions, broadcasts or misleads.
#[derive(Debug, Default)]
pub struct Inert {}

impl Inert {
    /// Takes some words; gives back what is certain by now.
    pub fn push(&mut self, words: &str) -> String {
        crate::escape(words)
    }

    /// Gives back what was held, at the end of the words.
    pub fn finish(&mut self) -> String {
        String::new()
    }
}
