//! A file that came with a message.

use serde::{Deserialize, Serialize};

/// A file that came with a message; its content stays in Slack until an answer needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Slack's id of it, `F…`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its MIME type, as Slack found it.
    pub mimetype: String,
    /// Bytes.
    pub size: u64,
    /// Where the bot's token may fetch it; `None` where Slack has to be asked first, as for files of Slack Connect.
    pub url: Option<String>,
}
