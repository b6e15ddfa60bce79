//! The files of a message. Text and images are passed to the model; other files are listed as unread.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::FileRef;
use serde_json::{Value, json};
use slack::{BotAuth, SlackError, SlackErrorKind};

use crate::untrusted_text::{FILE_TAG, escape_name, wrap_in_tag};

/// The number of files that are read of one message.
const MAX_ATTACHED_FILES: usize = 8;

/// The largest text file that is read, in bytes.
const MAX_TEXT_FILE_BYTES: usize = 100_000;

/// The largest image, in bytes.
const MAX_IMAGE_BYTES: usize = 5_000_000;

/// Media types that are text although their names do not begin with `text/`.
const TEXT_TYPES: [&str; 7] = [
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/javascript",
    "application/x-sh",
];

/// Media types that models accept as images.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// The files of a message, read and unread.
#[derive(Default)]
pub struct Attachments {
    texts: Vec<(String, String)>,
    images: Vec<(String, String)>,
    unread: Vec<String>,
}

impl Attachments {
    /// Downloads the files that can be read. A file that cannot be downloaded counts as unread.
    ///
    /// # Errors
    /// The bot token does not work.
    pub async fn download(
        slack: &slack::Client,
        bot: &BotAuth,
        files: &[FileRef],
    ) -> Result<Self, SlackError> {
        let mut attachments = Self::default();
        for (index, file) in files.iter().enumerate() {
            let file = &resolve_file(slack, bot, file).await?;
            let name = escape_name(&file.name).replace('`', " ");
            let limit = match &file.mimetype {
                kind if is_text(kind) => MAX_TEXT_FILE_BYTES,
                kind if IMAGE_TYPES.contains(&kind.as_str()) => MAX_IMAGE_BYTES,
                _ => 0,
            };
            if index >= MAX_ATTACHED_FILES || limit == 0 || file.size > limit as u64 {
                attachments.unread.push(name);
                continue;
            }
            match download_file(slack, bot, file, limit).await? {
                Some(bytes) => attachments.add(name, &file.mimetype, &bytes),
                None => attachments.unread.push(name),
            }
        }
        Ok(attachments)
    }

    fn add(&mut self, name: String, mimetype: &str, bytes: &[u8]) {
        if !is_text(mimetype) {
            let url = format!("data:{mimetype};base64,{}", STANDARD.encode(bytes));
            self.images.push((name, url));
        } else if let Ok(text) = std::str::from_utf8(bytes) {
            self.texts.push((name, text.to_owned()));
        } else {
            self.unread.push(name);
        }
    }

    /// Returns the text that follows the message: the content of text files, and the names of the others.
    pub(crate) fn prompt_text(&self) -> String {
        let texts = self
            .texts
            .iter()
            .map(|(name, text)| format!("\n\nAttached file `{name}`:\n\n{}", wrap_in_tag(FILE_TAG, text)));
        let images = self.images.iter().map(|(name, _)| format!("\n\nAttached image `{name}`."));
        let unread =
            self.unread.iter().map(|name| format!("\n\nAttached file `{name}`, which cannot be read."));
        texts.chain(images).chain(unread).collect()
    }

    /// Returns the content of the message for the model: its text, or its text and images.
    pub(crate) fn message_content(&self, text: &str) -> Value {
        if self.images.is_empty() {
            return json!(text);
        }
        let text = json!({ "type": "text", "text": text });
        let images =
            self.images.iter().map(|(_, url)| json!({ "type": "image_url", "image_url": { "url": url } }));
        std::iter::once(text).chain(images).collect()
    }

    pub(crate) fn has_images(&self) -> bool {
        !self.images.is_empty()
    }

    pub(crate) fn drop_images(&mut self) {
        self.unread.extend(self.images.drain(..).map(|(name, _)| name));
    }

    /// Returns the sentence that tells the person which files were not read.
    pub(crate) fn unread_notice(&self) -> Option<String> {
        let names: Vec<String> = self.unread.iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| format!("_I could not read {}._", names.join(", ")))
    }
}

/// Looks up a file that another organisation shares: its event holds only an id.
async fn resolve_file(slack: &slack::Client, bot: &BotAuth, file: &FileRef) -> Result<FileRef, SlackError> {
    if file.url.is_some() {
        return Ok(file.clone());
    }
    let found = slack.fetch_file_info(bot, &file.id).await;
    Ok(unless_token_error(found)?.unwrap_or_else(|| file.clone()))
}

async fn download_file(
    slack: &slack::Client,
    bot: &BotAuth,
    file: &FileRef,
    limit: usize,
) -> Result<Option<Vec<u8>>, SlackError> {
    let Some(url) = &file.url else { return Ok(None) };
    let downloaded = slack.download_file(bot, url, limit).await;
    Ok(unless_token_error(downloaded)?.map(|bytes| bytes.to_vec()))
}

/// Turns an error into `None`, unless the token does not work: then nothing else would work either.
fn unless_token_error<T>(result: Result<T, SlackError>) -> Result<Option<T>, SlackError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), SlackErrorKind::TokenExpired | SlackErrorKind::TokenRevoked) => {
            Err(error)
        }
        Err(error) => {
            tracing::warn!(error = %error, "file download failed");
            Ok(None)
        }
    }
}

fn is_text(mimetype: &str) -> bool {
    mimetype.starts_with("text/") || TEXT_TYPES.contains(&mimetype)
}
