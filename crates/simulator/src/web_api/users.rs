//! `users.*`, `team.info` and `reactions.*`.

use serde_json::json;

use super::WebApiResult;
use super::invocation::Invocation;
use crate::fake_slack::StateChange;

/// <https://docs.slack.dev/reference/methods/users.info>
pub(crate) fn user_info(call: &mut Invocation<'_>) -> WebApiResult {
    let user = call.args.required("user")?;
    let bot = call.bot()?;
    if let Some(user) = call.slack.user_object(&call.team, user) {
        return Ok(json!({"user": user}));
    }
    if user != bot.bot_user_id {
        return Err("user_not_found".into());
    }
    let name = &call.slack.settings.app_name;
    Ok(json!({"user": {
        "id": user, "team_id": call.team, "name": name.to_lowercase(), "real_name": name, "deleted": false,
        "profile": {"real_name": name, "display_name": name, "team": call.team, "bot_id": bot.bot_id},
        "is_admin": false, "is_owner": false, "is_primary_owner": false, "is_restricted": false,
        "is_ultra_restricted": false, "is_stranger": false, "is_bot": true, "is_app_user": false,
    }}))
}

/// <https://docs.slack.dev/reference/methods/users.list>; one page holds everybody.
pub(crate) fn list_users(call: &mut Invocation<'_>) -> WebApiResult {
    let ids: Vec<String> = call
        .slack
        .teams
        .get(&call.team)
        .into_iter()
        .flat_map(|team| &team.people)
        .map(|person| person.id.clone())
        .collect();
    let members: Vec<_> = ids.iter().filter_map(|id| call.slack.user_object(&call.team, id)).collect();
    Ok(json!({"members": members, "response_metadata": {"next_cursor": ""}}))
}

/// <https://docs.slack.dev/reference/methods/team.info>
pub(crate) fn team_info(call: &mut Invocation<'_>) -> WebApiResult {
    let team = call.slack.teams.get(&call.team).ok_or("team_not_found")?;
    let domain = team.name.to_lowercase().replace(' ', "-");
    let mut told = json!({"id": team.id, "name": team.name, "domain": domain, "email_domain": ""});
    if let Some(enterprise) = call.slack.find_enterprise(&call.team) {
        told["enterprise_id"] = json!(enterprise.id);
        told["enterprise_name"] = json!(enterprise.name);
    }
    Ok(json!({"team": told}))
}

/// <https://docs.slack.dev/reference/methods/reactions.add>
pub(crate) fn add_reaction(call: &mut Invocation<'_>) -> WebApiResult {
    let channel = call.channel(call.args.required("channel")?)?.id.clone();
    let name = call.args.required("name")?.trim_matches(':').to_owned();
    let ts = call.args.text("timestamp").filter(|ts| !ts.is_empty()).ok_or("no_item_specified")?.to_owned();
    let team = call.team.clone();
    let message = call.slack.message_mut(&team, &channel, &ts).ok_or("message_not_found")?;
    if message.reactions.contains(&name) {
        return Err("already_reacted".into());
    }
    message.reactions.push(name);
    call.slack.notify(StateChange::Message { team, channel, ts });
    Ok(json!({}))
}
