//! People and their team, reactions and Home tabs.

use serde_json::{Value, json};

use super::dispatch::Invocation;
use super::{Answer, blocks};
use crate::world::Change;

/// <https://docs.slack.dev/reference/methods/users.info>
pub(crate) fn user_info(call: &mut Invocation<'_>) -> Answer {
    let user = call.args.required("user")?;
    let bot = call.bot()?;
    let person = call.world.home_of(user).and_then(|home| Some((home.id.as_str(), home.person(user)?)));
    let (team, name, is_admin, is_bot) = match person {
        Some((team, person)) => (team, person.name.as_str(), person.is_admin, false),
        None if user == bot.bot_user_id => {
            (call.team.as_str(), call.world.settings.app_name.as_str(), false, true)
        }
        None => return Err("user_not_found".into()),
    };
    // Roles are told of the own organisation's people only.
    let is_stranger = !call.world.same_organization(team, &call.team);
    let is_admin = is_admin && !is_stranger;
    Ok(json!({"user": {
        "id": user, "team_id": team, "name": name.to_lowercase(), "real_name": name, "deleted": false,
        "profile": {"real_name": name, "display_name": name, "team": team},
        "is_admin": is_admin, "is_owner": is_admin, "is_primary_owner": is_admin,
        "is_restricted": false, "is_ultra_restricted": false, "is_stranger": is_stranger,
        "is_bot": is_bot, "is_app_user": false, "tz": "Europe/London", "tz_offset": 0, "locale": "en-GB",
    }}))
}

/// <https://docs.slack.dev/reference/methods/team.info>
pub(crate) fn team_info(call: &mut Invocation<'_>) -> Answer {
    let team = call.world.teams.get(&call.team).ok_or("team_not_found")?;
    let domain = team.name.to_lowercase().replace(' ', "-");
    Ok(json!({"team": {"id": team.id, "name": team.name, "domain": domain, "email_domain": ""}}))
}

/// <https://docs.slack.dev/reference/methods/reactions.add>
pub(crate) fn react(call: &mut Invocation<'_>) -> Answer {
    let channel = call.channel(call.args.required("channel")?)?.id.clone();
    let name = call.args.required("name")?.trim_matches(':').to_owned();
    let ts = call.args.text("timestamp").filter(|ts| !ts.is_empty()).ok_or("no_item_specified")?.to_owned();
    let team = call.team.clone();
    let message = call.world.message_mut(&team, &channel, &ts).ok_or("message_not_found")?;
    if message.reactions.contains(&name) {
        return Err("already_reacted".into());
    }
    message.reactions.push(name);
    call.world.changed(Change::Message { team, channel, ts });
    Ok(json!({}))
}

/// <https://docs.slack.dev/reference/methods/views.publish>
pub(crate) fn publish_view(call: &mut Invocation<'_>) -> Answer {
    let user = call.args.required("user_id")?.to_owned();
    let view = call.args.json("view", "invalid_arguments")?.ok_or("invalid_arguments")?;
    let team = call.team.clone();
    if call.world.teams.get(&team).is_none_or(|team| team.person(&user).is_none()) {
        return Err("user_not_found".into());
    }
    let list = view["blocks"].as_array().map(Vec::as_slice).ok_or("invalid_arguments")?;
    if view["type"] != "home" {
        return Err("invalid_arguments".into());
    }
    if view.to_string().len() > 250 * 1024 {
        return Err("view_too_large".into());
    }
    blocks::check(list, blocks::HOME_LIMIT)?;
    let shown: Value = json!({"id": format!("V0{user}"), "team_id": team, "type": "home", "blocks": list});
    call.world.publish_home(&team, &user, view);
    Ok(json!({"view": shown}))
}
