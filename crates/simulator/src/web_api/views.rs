//! `views.publish`: a person's Home tab (<https://docs.slack.dev/reference/methods/views.publish>).

use serde_json::{Value, json};

use super::invocation::Invocation;
use super::{WebApiError, WebApiResult, blocks};
use crate::fake_slack::{APP_ID, assign_ids};

/// Maximum bytes of a view.
const MAX_VIEW_BYTES: usize = 250 * 1024;

/// <https://docs.slack.dev/reference/methods/views.publish>
pub(crate) fn publish(call: &mut Invocation<'_>) -> WebApiResult {
    let user = call.args.required("user_id")?.to_owned();
    let view = call.args.json("view", "invalid_arguments")?.ok_or("invalid_arguments")?;
    let team = call.team.clone();
    if !call.slack.settings.has_home_tab {
        return Err("not_enabled".into());
    }
    if call.slack.teams.get(&team).is_none_or(|team| team.find_person(&user).is_none()) {
        return Err("user_not_found".into());
    }
    check_view(&view)?;
    let before = call.slack.home(&team, &user);
    let known = before.as_ref().map(|view| &view["hash"]);
    if call.args.text("hash").is_some_and(|hash| known.is_some_and(|known| known != hash)) {
        return Err("hash_conflict".into());
    }
    let view = call.stored_view(&user, &view)?;
    call.slack.publish_home(&team, &user, view.clone());
    Ok(json!({"view": view}))
}

/// <https://docs.slack.dev/reference/views/home-tab-views>
fn check_view(view: &Value) -> Result<(), WebApiError> {
    let list = view["blocks"].as_array().ok_or("invalid_arguments")?;
    let too_long = |key: &str, limit| view[key].as_str().is_some_and(|text| text.chars().count() > limit);
    if view["type"] != "home" || too_long("private_metadata", 3_000) || too_long("callback_id", 255) {
        return Err("invalid_arguments".into());
    }
    if view.to_string().len() > MAX_VIEW_BYTES {
        return Err("view_too_large".into());
    }
    blocks::check(list, blocks::MAX_HOME_BLOCKS)?;
    match list.iter().find(|block| block["type"] == "context_actions") {
        Some(_) => Err(WebApiError::with_message("invalid_blocks", "unsupported type: context_actions")),
        None => Ok(()),
    }
}

impl Invocation<'_> {
    /// Returns the view as Slack stores it and sends it with events and clicks.
    fn stored_view(&mut self, user: &str, view: &Value) -> WebApiResult {
        let text = |key: &str| view[key].as_str().unwrap_or_default().to_owned();
        let id = format!("V0{user}");
        Ok(json!({
            "id": id, "root_view_id": id, "previous_view_id": null, "hash": self.slack.next_ts(),
            "team_id": self.team, "app_installed_team_id": self.team, "app_id": APP_ID,
            "bot_id": self.bot()?.bot_id, "type": "home", "blocks": assign_ids(view["blocks"].clone()),
            "private_metadata": text("private_metadata"), "callback_id": text("callback_id"),
            "external_id": text("external_id"), "state": {"values": {}},
            "title": {"type": "plain_text", "text": "View Title", "emoji": true},
            "close": null, "submit": null, "clear_on_close": false, "notify_on_close": false,
        }))
    }
}
