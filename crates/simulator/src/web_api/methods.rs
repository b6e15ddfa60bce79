//! Every method there is here, with its tier and scopes.

use super::dispatch::Invocation;
use super::limits::Tier;
use super::{Answer, agents, auth, chat, conversations, files, openid, people, streams, views};

/// A method of the Web API.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) tier: Tier,
    /// Any one of these is enough; none for methods that need only a token.
    pub(crate) scopes: &'static [&'static str],
    /// Whether a JSON body is taken; methods that only read take a query or a form.
    pub(crate) json: bool,
    pub(crate) run: fn(&mut Invocation<'_>) -> Answer,
}

const WRITE: &[&str] = &["chat:write"];
const ASSIST: &[&str] = &["assistant:write"];
/// Which one is needed depends on the channel; the method looks.
const HISTORY: &[&str] = &["im:history", "channels:history"];

const fn write(
    name: &'static str,
    tier: Tier,
    scopes: &'static [&'static str],
    run: fn(&mut Invocation<'_>) -> Answer,
) -> Method {
    Method { name, tier, scopes, json: true, run }
}

const fn read(
    name: &'static str,
    tier: Tier,
    scopes: &'static [&'static str],
    run: fn(&mut Invocation<'_>) -> Answer,
) -> Method {
    Method { name, tier, scopes, json: false, run }
}

static METHODS: &[Method] = &[
    write("agents.sessions.rename", Tier::Three, WRITE, agents::rename),
    write("agents.sessions.setStatus", Tier::Three, WRITE, agents::set_state),
    write("assistant.threads.setStatus", Tier::Free, &["assistant:write", "chat:write"], agents::set_status),
    write("assistant.threads.setSuggestedPrompts", Tier::Four, ASSIST, agents::set_prompts),
    write("assistant.threads.setTitle", Tier::Four, ASSIST, agents::set_title),
    read("auth.revoke", Tier::Three, &[], auth::revoke),
    read("auth.teams.list", Tier::Two, &[], auth::list_teams),
    write("auth.test", Tier::Free, &[], auth::test),
    write("chat.appendStream", Tier::Four, WRITE, streams::append),
    write("chat.delete", Tier::Three, WRITE, chat::delete),
    write("chat.postEphemeral", Tier::Four, WRITE, chat::post_ephemeral),
    write("chat.postMessage", Tier::Post, WRITE, chat::post_message),
    write("chat.startStream", Tier::Two, WRITE, streams::start),
    write("chat.stopStream", Tier::Two, WRITE, streams::stop),
    write("chat.update", Tier::Three, WRITE, chat::update),
    read("conversations.history", Tier::Three, HISTORY, conversations::history),
    read("conversations.info", Tier::Three, &["channels:read", "im:read"], conversations::info),
    write("conversations.open", Tier::Three, &["im:write"], conversations::open),
    read("conversations.replies", Tier::Three, HISTORY, conversations::replies),
    write("files.completeUploadExternal", Tier::Four, &["files:write"], files::complete_upload),
    read("files.getUploadURLExternal", Tier::Four, &["files:write"], files::get_upload_url),
    read("files.info", Tier::Four, &["files:read"], files::info),
    write("reactions.add", Tier::Three, &["reactions:write"], people::react),
    read("team.info", Tier::Three, &["team:read"], people::team_info),
    read("users.conversations", Tier::Three, &["channels:read", "im:read"], conversations::of_bot),
    read("users.info", Tier::Four, &["users:read"], people::user_info),
    write("views.publish", Tier::Four, &[], views::publish),
    // Without a bot token: the client's credentials are in the arguments.
    read("apps.uninstall", Tier::Free, &[], auth::uninstall),
    read("oauth.v2.access", Tier::Free, &[], auth::access),
    read("openid.connect.token", Tier::Free, &[], openid::token),
    write("api.test", Tier::Free, &[], |_| Ok(serde_json::json!({}))),
];

impl Method {
    /// The method of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.name == name)
    }

    /// Whether it is called with a bot token.
    pub(crate) fn needs_token(&self) -> bool {
        !matches!(self.name, "oauth.v2.access" | "openid.connect.token" | "api.test")
    }

    /// Whether an org-wide token has to name a workspace
    /// (<https://docs.slack.dev/enterprise/developing-for-enterprise-orgs>).
    pub(crate) fn needs_team(&self) -> bool {
        matches!(self.name, "team.info" | "users.conversations")
    }
}
