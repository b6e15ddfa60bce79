//! Names and descriptions of the tables that hold a workspace's data, as the dashboard shows them.

/// A table, its label, and its description.
type TableLabel = (&'static str, &'static str, &'static str);

const TABLE_LABELS: [TableLabel; 24] = [
    ("tenants", "Workspace", "Name and creation date."),
    (
        "tenant_rules",
        "Operator's rules",
        "A suspension or a share of the queue that the operator set. Stays after a deletion, without personal data.",
    ),
    (
        "installations",
        "Installation",
        "Who installed the bot, its permissions and its token. The token is never exported.",
    ),
    (
        "team_access",
        "Workspaces of the organisation",
        "Workspaces that may use an organisation-wide installation.",
    ),
    ("people", "People", "Slack profiles of people who messaged the bot."),
    ("settings", "Settings", "Settings of this workspace. Your model API key is never exported."),
    ("managers", "Managers", "People named to manage EnableBot here, and who named them."),
    (
        "api_keys",
        "API keys",
        "Name, scopes and creator of each key. Only a digest of the key is stored, and it is never exported.",
    ),
    ("chat_leases", "API requests in progress", "API conversations that are being answered right now."),
    ("channels", "Channels", "Settings of single channels."),
    ("chat_memory", "Conversations", "Messages and replies: the bot's memory."),
    ("usage", "Usage", "Tokens and cost of each reply, as reported by the model."),
    ("reservations", "Reserved budget", "Highest possible cost of replies in progress."),
    ("feedback", "Feedback", "👍 and 👎 on replies."),
    (
        "events",
        "Events",
        "Events from Slack and how they were handled. Message text is kept until the reply is done.",
    ),
    ("event_history", "Past events", "How events older than two days were handled, without message text."),
    (
        "ignored_events",
        "Ignored events",
        "Events that needed no action, and why. Kept for a week, without message text.",
    ),
    ("threads", "Threads", "Threads the bot takes part in."),
    ("replies", "Replies in progress", "Progress of each reply."),
    ("audit_log", "Audit log", "Who did what. Contains only ids and counts, and stays after a deletion."),
    ("audit_chains", "Audit log head", "Length and last hash of the audit log, to detect removed entries."),
    ("exports", "Exports", "Who exported the workspace data."),
    ("sessions", "Sign-ins", "Dashboard sessions. Not included in exports."),
    ("encryption_keys", "Keys", "Keys that encrypt the data above. Never exported."),
];

/// Returns the label and the description of a table.
pub(super) fn table_label(table: &str) -> (&'static str, &'static str) {
    let found = TABLE_LABELS.iter().find(|(name, ..)| *name == table);
    found.map_or(("More", ""), |(_, label, description)| (*label, *description))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_label() {
        for table in db::tenant_data::TENANT_TABLES {
            assert_ne!(table_label(table).0, "More", "{table}");
        }
    }
}
