//! `files.*`: looks up and uploads files.

use serde_json::{Value, json};

use super::invocation::Invocation;
use super::{WebApiError, WebApiResult};
use crate::fake_slack::FILE_SHARE_SUBTYPE;

/// <https://docs.slack.dev/reference/methods/files.info>
pub(crate) fn info(call: &mut Invocation<'_>) -> WebApiResult {
    let id = call.args.required("file")?;
    let file = call.slack.find_file(&call.tenant, id).ok_or("file_not_found")?;
    let channels: Vec<&String> = file.channel.iter().collect();
    let mut told = file.to_json();
    told["channels"] = json!(channels);
    Ok(json!({"file": told, "comments": [], "response_metadata": {"next_cursor": ""}}))
}

/// <https://docs.slack.dev/reference/methods/files.getUploadURLExternal>
pub(crate) fn get_upload_url(call: &mut Invocation<'_>) -> WebApiResult {
    let name = call.args.text("filename").filter(|name| !name.is_empty()).ok_or("missing_argument")?;
    let length = call.args.number("length").and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| *length > 0).ok_or("missing_argument")?;
    let team = if call.team.is_empty() { &call.tenant } else { &call.team };
    let file = call.slack.new_file(name, &call.bot()?.bot_user_id, team, length);
    let (file_id, upload_url) = call.slack.announce_upload(&call.tenant, file);
    Ok(json!({"upload_url": upload_url, "file_id": file_id}))
}

/// <https://docs.slack.dev/reference/methods/files.completeUploadExternal>: the files appear in one message.
pub(crate) fn complete_upload(call: &mut Invocation<'_>) -> WebApiResult {
    let wanted = call.args.json("files", "invalid_arguments")?.unwrap_or_default();
    let wanted = wanted.as_array().filter(|wanted| !wanted.is_empty());
    let wanted = wanted
        .ok_or_else(|| WebApiError::with_message("invalid_arguments", "missing required field: files"))?;
    let (channel, thread_ts) = match call.args.text("channel_id").filter(|id| !id.is_empty()) {
        None => (None, None),
        Some(id) => (Some(call.upload_channel(id)?), call.parse_thread(id)?),
    };
    let mut files = Vec::new();
    for file in wanted {
        let (id, title) = (file["id"].as_str().unwrap_or_default(), file["title"].as_str());
        let finished = call.slack.complete_upload(&call.tenant, id, title, channel.as_deref());
        files.push(finished.ok_or("file_not_found")?);
    }
    let told: Vec<Value> = files.iter().map(|file| json!({"id": file.id, "title": file.title})).collect();
    if let Some(channel) = channel {
        let text = call.args.text("initial_comment").unwrap_or_default().to_owned();
        let content = crate::fake_slack::MessageContent { text, ..Default::default() };
        let message = call.slack.new_bot_message(&call.team, thread_ts, content);
        let mut message = message.ok_or("account_inactive")?;
        message.subtype = Some(FILE_SHARE_SUBTYPE.to_owned());
        message.files = files;
        call.slack.add_message(&call.team, &channel, message);
    }
    Ok(json!({"files": told}))
}

impl Invocation<'_> {
    fn upload_channel(&self, id: &str) -> Result<String, WebApiError> {
        match self.channel(id) {
            Ok(channel) => Ok(channel.id.clone()),
            Err(refusal) if refusal.error == "channel_not_found" => Err("invalid_channel".into()),
            Err(refusal) => Err(refusal),
        }
    }
}
