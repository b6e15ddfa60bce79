//! The Slack app's manifest, built from the constants that the code uses.
//! Source: <https://docs.slack.dev/reference/app-manifest>

use serde_json::{Value, json};

/// An OAuth scope of the bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequiredScope {
    /// Slack's name of the scope.
    pub name: &'static str,
    /// The feature that fails without the scope, as a sentence for people.
    pub impact: &'static str,
}

/// All scopes that the bot requests; it uses each of them.
pub const REQUIRED_SCOPES: &[RequiredScope] = &[
    RequiredScope { name: "app_mentions:read", impact: "I do not see mentions of me in channels." },
    RequiredScope { name: "assistant:write", impact: "I cannot suggest prompts or name conversations." },
    RequiredScope { name: "channels:history", impact: "I cannot follow threads in public channels." },
    RequiredScope { name: "chat:write", impact: "I cannot reply at all." },
    RequiredScope { name: "commands", impact: "The command /enablebot does not work." },
    RequiredScope { name: "files:read", impact: "I cannot read files attached to messages." },
    RequiredScope { name: "files:write", impact: "I cannot send people an export of their data." },
    RequiredScope { name: "groups:history", impact: "I cannot follow threads in private channels." },
    RequiredScope { name: "im:history", impact: "I do not receive direct messages." },
    RequiredScope { name: "im:write", impact: "I cannot message people first, for example to welcome them." },
    RequiredScope { name: "mpim:history", impact: "I cannot follow threads in group messages." },
    RequiredScope { name: "users:read", impact: "I cannot tell guests, admins and bots from members." },
];

/// The names of [`REQUIRED_SCOPES`].
pub const BOT_SCOPES: [&str; REQUIRED_SCOPES.len()] = scope_names();

const fn scope_names() -> [&'static str; REQUIRED_SCOPES.len()] {
    let mut names = [""; REQUIRED_SCOPES.len()];
    let mut at = 0;
    while at < REQUIRED_SCOPES.len() {
        names[at] = REQUIRED_SCOPES[at].name;
        at += 1;
    }
    names
}

/// Returns the scopes that an install lacks; `granted` is Slack's comma-separated list.
pub fn missing_scopes(granted: &str) -> Vec<RequiredScope> {
    let granted: Vec<&str> = granted.split(',').map(str::trim).collect();
    REQUIRED_SCOPES.iter().filter(|scope| !granted.contains(&scope.name)).copied().collect()
}

/// The events that the bot subscribes to. Source: <https://docs.slack.dev/reference/events>
pub const BOT_EVENTS: [&str; 13] = [
    "agent_session_stopped",
    "app_context_changed",
    "app_home_opened",
    "app_mention",
    "app_uninstalled",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "team_access_granted",
    "team_access_revoked",
    "team_join",
    "tokens_revoked",
];

/// The prompts that Slack suggests in an empty conversation: title and message.
pub const SUGGESTED_PROMPTS: &[(&str, &str)] = &[
    ("What can you do?", "What can you do?"),
    ("Draft an announcement", "Draft a short announcement for our team."),
];

/// Returns the manifest of a deployment. `events_origin` is the origin of `api`, for example
/// `https://bot.example.com`; `redirect_uri` is `SLACK_REDIRECT_URI`; `login_uri` is the callback of
/// sign-ins.
pub fn manifest(events_origin: &str, redirect_uri: &str, login_uri: &str) -> Value {
    let prompts: Vec<Value> = SUGGESTED_PROMPTS
        .iter()
        .map(|(title, message)| json!({ "title": title, "message": message }))
        .collect();
    json!({
        "display_information": {
            "name": "EnableBot",
            "description": "An AI assistant that replies in your threads",
            "background_color": "#1f2a44",
        },
        "features": {
            "agent_view": {
                "agent_description": "Ask me anything. I reply in the thread as I write.",
                "suggested_prompts": prompts,
            },
            "app_home": {
                "home_tab_enabled": true,
                "messages_tab_enabled": true,
                "messages_tab_read_only_enabled": false,
            },
            "bot_user": { "display_name": "EnableBot", "always_online": true },
            "slash_commands": [{
                "command": "/enablebot",
                "url": format!("{events_origin}/slack/commands"),
                "description": "Get help, see my status, export or delete your data",
                "usage_hint": "help | status | forget me | export",
                "should_escape": false,
            }],
        },
        "oauth_config": { "redirect_urls": [redirect_uri, login_uri], "scopes": { "bot": BOT_SCOPES } },
        "settings": {
            "event_subscriptions": {
                "request_url": format!("{events_origin}/slack/events"),
                "bot_events": BOT_EVENTS,
            },
            "interactivity": {
                "is_enabled": true,
                "request_url": format!("{events_origin}/slack/interactions"),
            },
            "org_deploy_enabled": true,
            "socket_mode_enabled": false,
            "token_rotation_enabled": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_scopes_are_listed() {
        assert!(missing_scopes(&BOT_SCOPES.join(",")).is_empty());
        let without: Vec<&str> = BOT_SCOPES.into_iter().filter(|name| *name != "files:read").collect();
        let missing = missing_scopes(&without.join(", "));
        assert_eq!(missing.iter().map(|scope| scope.name).collect::<Vec<_>>(), ["files:read"]);
        assert_eq!(missing_scopes("").len(), REQUIRED_SCOPES.len());
    }

    #[test]
    fn manifest_has_every_url() {
        let origin = "https://bot.example.com";
        let [install, login] =
            ["/slack/oauth/callback", "/login/callback"].map(|path| format!("{origin}{path}"));
        let manifest = manifest(origin, &install, &login);
        let settings = &manifest["settings"];
        assert_eq!(settings["event_subscriptions"]["request_url"], "https://bot.example.com/slack/events");
        assert_eq!(settings["interactivity"]["request_url"], "https://bot.example.com/slack/interactions");
        let command = &manifest["features"]["slash_commands"][0];
        assert_eq!(command["url"], "https://bot.example.com/slack/commands");
    }
}
