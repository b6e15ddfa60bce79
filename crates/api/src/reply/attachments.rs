//! What came with a message: text and images go to the model, of the rest it is said that it was not read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use models::FileRef;
use serde_json::{Value, json};
use slack::SlackError;

use super::untrusted_text::{FILE_TAG, escape_name, wrap_in_tag};
use crate::job_context::JobContext;
use crate::job_error::JobError;

/// Files of one message that are read.
const MAX_ATTACHED_FILES: usize = 8;

/// Bytes of a text file that are read; a longer one is not.
const MAX_TEXT_FILE_BYTES: usize = 100_000;

/// Bytes of an image.
const MAX_IMAGE_BYTES: usize = 5_000_000;

/// Types that are text though their name does not begin with `text/`.
const TEXT_TYPES: [&str; 7] = [
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/javascript",
    "application/x-sh",
];

/// What models take as an image.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// What was read, and what was not.
#[derive(Default)]
pub(super) struct Attachments {
    texts: Vec<(String, String)>,
    images: Vec<(String, String)>,
    unread: Vec<String>,
}

/// Fetches what can be read. A file that cannot be fetched is no reason not to answer.
pub(super) async fn read_attachments(
    work: &JobContext<'_>,
    files: &[FileRef],
) -> Result<Attachments, JobError> {
    let mut attachments = Attachments::default();
    for (at, file) in files.iter().enumerate() {
        let file = &resolve_file(work, file).await?;
        let name = escape_name(&file.name).replace('`', " ");
        let limit = match &file.mimetype {
            kind if is_text(kind) => MAX_TEXT_FILE_BYTES,
            kind if IMAGE_TYPES.contains(&kind.as_str()) => MAX_IMAGE_BYTES,
            _ => 0,
        };
        if at >= MAX_ATTACHED_FILES || limit == 0 || file.size > limit as u64 {
            attachments.unread.push(name);
            continue;
        }
        match fetch_file(work, file, limit).await? {
            Some(bytes) => attachments.add(name, &file.mimetype, &bytes),
            None => attachments.unread.push(name),
        }
    }
    Ok(attachments)
}

/// A file of another organisation comes as a stub.
async fn resolve_file(work: &JobContext<'_>, file: &FileRef) -> Result<FileRef, JobError> {
    if file.url.is_some() {
        return Ok(file.clone());
    }
    let found = work.app.slack.fetch_file_info(&work.bot, &file.id).await;
    Ok(unless_token_error(found)?.unwrap_or_else(|| file.clone()))
}

async fn fetch_file(
    work: &JobContext<'_>,
    file: &FileRef,
    limit: usize,
) -> Result<Option<Vec<u8>>, JobError> {
    let Some(url) = &file.url else { return Ok(None) };
    let downloaded = work.app.slack.download_file(&work.bot, url, limit).await;
    Ok(unless_token_error(downloaded)?.map(|bytes| bytes.to_vec()))
}

/// A file that Slack does not give is said to be unread; a token that does not work is another matter.
fn unless_token_error<T>(got: Result<T, SlackError>) -> Result<Option<T>, JobError> {
    match got {
        Ok(got) => Ok(Some(got)),
        Err(error)
            if matches!(
                error.kind(),
                slack::SlackErrorKind::TokenExpired | slack::SlackErrorKind::TokenRevoked
            ) =>
        {
            Err(error.into())
        }
        Err(error) => {
            tracing::warn!(error = %error, "a file could not be fetched");
            Ok(None)
        }
    }
}

fn is_text(mimetype: &str) -> bool {
    mimetype.starts_with("text/") || TEXT_TYPES.contains(&mimetype)
}

impl Attachments {
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

    /// The text files, to stand behind the question, and the names of what else there is.
    pub(super) fn prompt_text(&self) -> String {
        let texts = self
            .texts
            .iter()
            .map(|(name, text)| format!("\n\nAttached file `{name}`:\n\n{}", wrap_in_tag(FILE_TAG, text)));
        let images = self.images.iter().map(|(name, _)| format!("\n\nAttached image `{name}`."));
        let unread =
            self.unread.iter().map(|name| format!("\n\nAttached file `{name}`, which cannot be read."));
        texts.chain(images).chain(unread).collect()
    }

    /// The question as the model takes it: a text, or a text and images.
    pub(super) fn message_content(&self, question: &str) -> Value {
        if self.images.is_empty() {
            return json!(question);
        }
        let text = json!({ "type": "text", "text": question });
        let images =
            self.images.iter().map(|(_, url)| json!({ "type": "image_url", "image_url": { "url": url } }));
        std::iter::once(text).chain(images).collect()
    }

    pub(super) fn has_images(&self) -> bool {
        !self.images.is_empty()
    }

    pub(super) fn drop_images(&mut self) {
        self.unread.extend(self.images.drain(..).map(|(name, _)| name));
    }

    /// What was not read, for the person to know.
    pub(super) fn unread_notice(&self) -> Option<String> {
        let names: Vec<String> = self.unread.iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| format!("_I could not read {}._", names.join(", ")))
    }
}
