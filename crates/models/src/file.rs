//! Files attached to a message.

use serde::{Deserialize, Serialize};

/// A file attached to a message. Its content stays in Slack until a reply needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Slack's id, `F…`.
    pub id: String,
    /// The file's name.
    pub name: String,
    /// The MIME type that Slack detected.
    pub mimetype: String,
    /// The size in bytes.
    pub size: u64,
    /// The download URL for the bot's token. `None` if `files.info` has to be called first, as for files of
    /// Slack Connect.
    pub url: Option<String>,
}
