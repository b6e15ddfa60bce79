//! Files: downloads of attachments, and uploads of the bot's own files.
//! Source: <https://docs.slack.dev/messaging/working-with-files>

use bytes::{Bytes, BytesMut};
use models::{ChannelId, FileRef};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use url::{Host, Url};

use crate::client::{rate_limited_error, send_request, transport_error};
use crate::messages::missing_field_error;
use crate::{BotAuth, Client, SlackError, retry};

const FILE_DOWNLOAD: &str = "file_download";
const FILE_UPLOAD: &str = "file_upload";

/// The hosts of Slack's files.
const FILE_HOSTS: [&str; 2] = ["files.slack.com", "files.slack-gov.com"];

impl Client {
    /// `files.info`: returns the details of a file that a message lacks, as in Slack Connect.
    pub async fn fetch_file_info(&self, bot: &BotAuth, file_id: &str) -> Result<FileRef, SlackError> {
        const FILES_INFO: &str = "files.info";
        let response = self.call_form(FILES_INFO, bot, &[("file", file_id)]).await?;
        response.get("file").and_then(parse_file).ok_or_else(|| missing_field_error(FILES_INFO))
    }

    /// Downloads a file of at most `max_bytes` bytes. The bot's token is sent to Slack's file hosts only.
    ///
    /// # Errors Those of a call, and the codes `foreign_file_url`, `not_downloadable` (Slack sends its
    /// sign-in page) and `too_large`.
    pub async fn download_file(
        &self,
        bot: &BotAuth,
        url: &str,
        max_bytes: usize,
    ) -> Result<Bytes, SlackError> {
        let url =
            self.trusted_file_url(url).ok_or_else(|| SlackError::api(FILE_DOWNLOAD, "foreign_file_url"))?;
        let is_html_expected = is_html_path(&url);
        retry::retry_idempotent(FILE_DOWNLOAD, || async {
            let request = self.http.get(url.clone()).bearer_auth(bot.token.expose_secret());
            self.call_instrumented(
                FILE_DOWNLOAD,
                Some(&bot.tenant_id),
                download_bytes(request, is_html_expected, max_bytes),
            )
            .await
        })
        .await
    }

    /// Uploads a file to a channel or DM, with a comment.
    pub async fn upload_file(
        &self,
        bot: &BotAuth,
        channel_id: &ChannelId,
        filename: &str,
        bytes: impl Into<Bytes>,
        comment: &str,
    ) -> Result<(), SlackError> {
        const FILES_GET_UPLOAD_URL: &str = "files.getUploadURLExternal";
        let bytes = bytes.into();
        let length = bytes.len().to_string();
        let response =
            self.call_form(FILES_GET_UPLOAD_URL, bot, &[("filename", filename), ("length", &length)]).await?;
        let text = |key| {
            response.get(key).and_then(Value::as_str).ok_or_else(|| missing_field_error(FILES_GET_UPLOAD_URL))
        };
        let (file_id, url) = (text("file_id")?, text("upload_url")?);
        let url =
            self.trusted_file_url(url).ok_or_else(|| SlackError::api(FILE_UPLOAD, "foreign_file_url"))?;
        let request = self.http.post(url).header(CONTENT_TYPE, "application/octet-stream").body(bytes);
        self.call_instrumented(
            FILE_UPLOAD,
            Some(&bot.tenant_id),
            send_request(FILE_UPLOAD, request, bot.send_guard.as_ref()),
        )
        .await?;
        let arguments = json!({
            "files": [{ "id": file_id, "title": filename }],
            "channel_id": channel_id,
            "initial_comment": comment,
        });
        self.call("files.completeUploadExternal", bot, arguments).await.map(drop)
    }

    /// Returns the URL, if a token or a file may be sent there.
    fn trusted_file_url(&self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok()?;
        let host = url.host_str()?;
        let is_file_host = FILE_HOSTS
            .iter()
            .any(|known| host == *known || host.strip_suffix(known).is_some_and(|sub| sub.ends_with('.')));
        (self.is_api_origin(&url) || (is_file_host && url.scheme() == "https")).then_some(url)
    }

    /// Returns true if the URL has the same origin as the API; plain HTTP counts on loopback only.
    pub(crate) fn is_api_origin(&self, url: &Url) -> bool {
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        let is_same = Url::parse(&self.base_url).is_ok_and(|base| base.origin() == url.origin());
        is_same && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback))
    }
}

async fn download_bytes(
    request: RequestBuilder,
    is_html_expected: bool,
    max_bytes: usize,
) -> Result<Bytes, SlackError> {
    let mut response = request.send().await.map_err(|error| transport_error(FILE_DOWNLOAD, error))?;
    check_download_response(&response, is_html_expected)?;
    let too_large = || SlackError::api(FILE_DOWNLOAD, "too_large");
    let content_length = response.content_length().unwrap_or_default();
    if content_length > max_bytes as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport_error(FILE_DOWNLOAD, error))? {
        if bytes.len() + chunk.len() > max_bytes {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Checks the status and type of a download.
fn check_download_response(response: &Response, is_html_expected: bool) -> Result<(), SlackError> {
    // Without access to the file, Slack sends its sign-in page, with 200 or by a redirect.
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match response.status() {
        status if status.is_success() && (is_html_expected || !kind.starts_with("text/html")) => Ok(()),
        StatusCode::TOO_MANY_REQUESTS => Err(rate_limited_error(FILE_DOWNLOAD, response.headers())),
        status if status.is_server_error() => Err(SlackError::unexpected_status(FILE_DOWNLOAD, status)),
        _ => Err(SlackError::api(FILE_DOWNLOAD, "not_downloadable")),
    }
}

fn is_html_path(url: &Url) -> bool {
    let name = url.path().to_ascii_lowercase();
    [".html", ".htm", ".xhtml"].iter().any(|ending| name.ends_with(ending))
}

fn parse_file(file: &Value) -> Option<FileRef> {
    let text = |key| file.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    Some(FileRef {
        id: text("id")?.to_owned(),
        name: text("name").or(text("title")).unwrap_or("file").to_owned(),
        mimetype: text("mimetype").unwrap_or("application/octet-stream").to_owned(),
        size: file.get("size").and_then(Value::as_u64).unwrap_or_default(),
        url: text("url_private_download").or(text("url_private")).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn file_urls_limited_to_slack_hosts() {
        let is_trusted = |base_url: &str, url: &str| {
            Client::new(base_url, Duration::from_secs(1))
                .is_ok_and(|client| client.trusted_file_url(url).is_some())
        };
        for url in [
            "https://files.slack.com/files-pri/T1-F1/a.txt",
            "https://edge.files.slack.com/a.txt",
            "https://files.slack-gov.com/a.txt",
            "https://slack.com/a.txt",
        ] {
            assert!(is_trusted("https://slack.com", url), "{url}");
        }
        assert!(!is_trusted("https://slack.com", "https://bank.slack.com/a.txt"));
        for base_url in ["http://127.0.0.1:8002", "http://localhost:8002", "http://[::1]:8002"] {
            assert!(is_trusted(base_url, &format!("{base_url}/a.txt")), "{base_url}");
        }
        assert!(!is_trusted("http://slack.test", "http://slack.test/a.txt"));
    }

    #[test]
    fn partial_file_object_is_parsed() {
        let bare = parse_file(&json!({ "id": "F1" }));
        let bare = bare.map(|file| (file.name, file.mimetype, file.size, file.url));
        assert_eq!(bare, Some(("file".into(), "application/octet-stream".into(), 0, None)));
        let url = parse_file(&json!({ "id": "F1", "url_private": "a", "url_private_download": "" }));
        assert_eq!(url.and_then(|file| file.url), Some("a".into()));
        assert_eq!(parse_file(&json!({ "name": "a" })), None);
    }
}
