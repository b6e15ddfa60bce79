//! The supported methods with their rate-limit tiers and scopes.

use super::invocation::Invocation;
use super::rate_limits::Tier;
use super::{WebApiResult, agents, auth, chat, conversations, files, openid, streams, users, views};

/// A method of the Web API.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) tier: Tier,
    /// Scopes of which any one suffices; empty for methods that need only a token.
    pub(crate) scopes: &'static [&'static str],
    /// True if the method accepts a JSON body; read-only methods accept a query or a form.
    pub(crate) accepts_json: bool,
    pub(crate) run: fn(&mut Invocation<'_>) -> WebApiResult,
}

const WRITE_SCOPES: &[&str] = &["chat:write"];
const ASSISTANT_SCOPES: &[&str] = &["assistant:write"];
/// The method checks which scope the channel type needs.
const HISTORY_SCOPES: &[&str] = &["im:history", "channels:history"];

const fn json_method(
    name: &'static str,
    tier: Tier,
    scopes: &'static [&'static str],
    run: fn(&mut Invocation<'_>) -> WebApiResult,
) -> Method {
    Method { name, tier, scopes, accepts_json: true, run }
}

const fn form_method(
    name: &'static str,
    tier: Tier,
    scopes: &'static [&'static str],
    run: fn(&mut Invocation<'_>) -> WebApiResult,
) -> Method {
    Method { name, tier, scopes, accepts_json: false, run }
}

static METHODS: &[Method] = &[
    json_method("agents.sessions.rename", Tier::Three, WRITE_SCOPES, agents::rename),
    json_method("agents.sessions.setStatus", Tier::Three, WRITE_SCOPES, agents::set_session_status),
    json_method(
        "assistant.threads.setStatus",
        Tier::Unlimited,
        &["assistant:write", "chat:write"],
        agents::set_thread_status,
    ),
    json_method("assistant.threads.setSuggestedPrompts", Tier::Four, ASSISTANT_SCOPES, agents::set_prompts),
    json_method("assistant.threads.setTitle", Tier::Four, ASSISTANT_SCOPES, agents::set_title),
    form_method("auth.revoke", Tier::Three, &[], auth::revoke),
    form_method("auth.teams.list", Tier::Two, &[], auth::list_teams),
    json_method("auth.test", Tier::Unlimited, &[], auth::test),
    json_method("chat.appendStream", Tier::Four, WRITE_SCOPES, streams::append),
    json_method("chat.delete", Tier::Three, WRITE_SCOPES, chat::delete),
    json_method("chat.postEphemeral", Tier::Four, WRITE_SCOPES, chat::post_ephemeral),
    json_method("chat.postMessage", Tier::Post, WRITE_SCOPES, chat::post_message),
    json_method("chat.startStream", Tier::Two, WRITE_SCOPES, streams::start),
    json_method("chat.stopStream", Tier::Two, WRITE_SCOPES, streams::stop),
    json_method("chat.update", Tier::Three, WRITE_SCOPES, chat::update),
    form_method("conversations.history", Tier::Three, HISTORY_SCOPES, conversations::history),
    form_method("conversations.info", Tier::Three, &["channels:read", "im:read"], conversations::info),
    json_method("conversations.open", Tier::Three, &["im:write"], conversations::open),
    form_method("conversations.replies", Tier::Three, HISTORY_SCOPES, conversations::replies),
    json_method("files.completeUploadExternal", Tier::Four, &["files:write"], files::complete_upload),
    form_method("files.getUploadURLExternal", Tier::Four, &["files:write"], files::get_upload_url),
    form_method("files.info", Tier::Four, &["files:read"], files::info),
    json_method("reactions.add", Tier::Three, &["reactions:write"], users::add_reaction),
    form_method("team.info", Tier::Three, &["team:read"], users::team_info),
    form_method(
        "users.conversations",
        Tier::Three,
        &["channels:read", "im:read"],
        conversations::list_for_bot,
    ),
    form_method("users.info", Tier::Four, &["users:read"], users::user_info),
    form_method("users.list", Tier::Two, &["users:read"], users::list_users),
    json_method("views.publish", Tier::Four, &[], views::publish),
    // These take the client's credentials as arguments instead of a bot token.
    form_method("apps.uninstall", Tier::Unlimited, &[], auth::uninstall),
    form_method("oauth.v2.access", Tier::Unlimited, &[], auth::access),
    form_method("openid.connect.token", Tier::Unlimited, &[], openid::token),
    json_method("api.test", Tier::Unlimited, &[], |_| Ok(serde_json::json!({}))),
];

impl Method {
    /// Finds a method by name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// Returns whether the method needs a bot token.
    pub(crate) fn needs_token(&self) -> bool {
        !matches!(self.name, "oauth.v2.access" | "openid.connect.token" | "api.test")
    }

    /// Returns whether an org-wide token must name a workspace
    /// (<https://docs.slack.dev/enterprise/developing-for-enterprise-orgs>).
    pub(crate) fn needs_team(&self) -> bool {
        matches!(self.name, "team.info" | "users.conversations" | "users.list")
    }
}
