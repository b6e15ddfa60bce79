//! Files that people attach and the app uploads.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

/// A file that a person attaches to a message.
#[derive(Clone, Debug, Default)]
pub struct NewFile {
    /// File name with extension, such as `notes.txt`.
    pub name: String,
    /// MIME type such as `text/plain`; if empty it is guessed from the name.
    pub mimetype: String,
    /// The content.
    pub content: Bytes,
}

/// A file as Slack stores it.
#[derive(Clone, Debug, Serialize)]
pub struct SlackFile {
    /// `F…`
    pub id: String,
    /// File name with extension.
    pub name: String,
    /// The visible title; defaults to the name.
    pub title: String,
    /// MIME type such as `text/plain`; for an upload it is guessed from the name.
    pub mimetype: String,
    /// The uploader.
    pub user: String,
    /// The uploader's team; in Slack Connect it may differ from the channel's.
    pub team: String,
    /// The channel it is shared in; `None` for an unfinished or unshared upload.
    pub channel: Option<String>,
    /// Unix seconds.
    pub created: i64,
    /// The base of its URLs.
    #[serde(skip)]
    pub(super) base_url: String,
    /// True if it came from another organisation through Slack Connect.
    pub(super) is_external: bool,
    /// Size in bytes.
    pub size: usize,
    /// The content.
    #[serde(skip)]
    pub content: Bytes,
}

/// An upload that was announced or received but not completed.
pub(super) struct PendingUpload {
    pub(super) file: SlackFile,
    /// The tenant whose token announced it.
    pub(super) tenant: String,
    pub(super) is_received: bool,
}

/// Files by id, and uploads by the secret in their URL.
#[derive(Default)]
pub(crate) struct FileStore {
    pub(super) stored: HashMap<String, SlackFile>,
    pub(super) uploads: HashMap<String, PendingUpload>,
}

impl SlackFile {
    /// A file object (<https://docs.slack.dev/reference/objects/file-object>).
    pub(crate) fn to_json(&self) -> Value {
        let ending = self.name.rsplit_once('.').map_or("binary", |(_, ending)| ending);
        let filetype = if self.mimetype == "text/plain" { "text" } else { ending };
        json!({
            "id": self.id, "created": self.created, "timestamp": self.created, "name": self.name,
            "title": self.title, "mimetype": self.mimetype, "filetype": filetype,
            "pretty_type": filetype.to_uppercase(), "user": self.user, "user_team": self.team,
            "editable": false, "size": self.size, "mode": "hosted", "is_external": false,
            "external_type": "", "is_public": true, "public_url_shared": false, "display_as_bot": false,
            "url_private": self.private_url(&[&self.name]),
            "url_private_download": self.private_url(&["download", &self.name]),
            "media_display_type": "unknown", "has_rich_preview": false, "file_access": "visible",
        })
    }

    /// The same in a message. A file of another organisation has to be asked for with `files.info`
    /// (<https://docs.slack.dev/apis/slack-connect>).
    pub(crate) fn to_message_json(&self) -> Value {
        if !self.is_external {
            return self.to_json();
        }
        json!({
            "id": self.id, "mode": "file_access", "file_access": "check_file_info", "created": 0,
            "timestamp": 0, "user": "",
        })
    }

    fn private_url(&self, end: &[&str]) -> String {
        let Ok(mut url) = Url::parse(&self.base_url) else { return String::new() };
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(["files-pri", &format!("{}-{}", self.team, self.id)]).extend(end);
        }
        url.into()
    }
}
