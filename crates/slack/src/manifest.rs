//! The Slack app's manifest, from the same constants that the code uses.
//! Source: <https://docs.slack.dev/reference/app-manifest>

use serde_json::{Value, json};

/// What the bot may do; each is used.
pub const BOT_SCOPES: [&str; 8] = [
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "chat:write",
    "groups:history",
    "im:history",
    "im:write",
    "mpim:history",
];

/// What Slack tells the bot of.
pub const BOT_EVENTS: [&str; 5] =
    ["app_mention", "message.channels", "message.groups", "message.im", "message.mpim"];

/// The manifest of a deployment. `events_origin` is where Slack reaches `api`, for example
/// `https://bot.example.com`; `redirect_uri` is `SLACK_REDIRECT_URI`.
pub fn manifest(events_origin: &str, redirect_uri: &str) -> Value {
    json!({
        "display_information": {
            "name": "EnableBot",
            "description": "An assistant that answers in your threads",
            "background_color": "#1f2a44",
        },
        "features": {
            "agent_view": {
                "agent_description": "Ask me anything: I answer in the thread, as a stream.",
                "suggested_prompts": [
                    { "title": "What can you do?", "message": "What can you do?" },
                    { "title": "Draft an announcement", "message": "Draft a short announcement for our team." },
                ],
            },
            "app_home": { "messages_tab_enabled": true, "messages_tab_read_only_enabled": false },
            "bot_user": { "display_name": "EnableBot", "always_online": true },
        },
        "oauth_config": { "redirect_urls": [redirect_uri], "scopes": { "bot": BOT_SCOPES } },
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
