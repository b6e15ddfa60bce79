//! A file that came with a message.

use serde::{Deserialize, Serialize};

/// Where a file is, and what it claims to be; its bytes stay in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// Slack's id of it, `F…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its kind, as Slack guessed it.
    pub mimetype: String,
    /// Its length in bytes.
    pub size: u64,
    /// Where it is downloaded; `None`: ask `files.info`.
    pub url: Option<String>,
}
