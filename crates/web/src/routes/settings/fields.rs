//! The fields of the settings page, with their labels, help texts and defaults.

/// The input element of a field.
pub(crate) enum FieldKind {
    TextInput { placeholder: &'static str },
    TextArea,
    Select(&'static [(&'static str, &'static str)]),
    Checkbox,
}

/// A field of the settings page.
pub(crate) struct SettingsField {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) help: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: FieldKind,
}

const TONES: [(&str, &str); 4] =
    [("plain", "model default"), ("friendly", "friendly"), ("formal", "formal"), ("terse", "terse")];

const LENGTHS: [(&str, &str); 3] =
    [("fitting", "depends on the question"), ("short", "short"), ("thorough", "thorough")];

/// The fields by group, in the order of the page.
pub(crate) const FIELD_GROUPS: [(&str, &[SettingsField]); 4] = [
    (
        "Replies",
        &[
            SettingsField {
                name: "instructions",
                label: "Instructions",
                help: "Added to the system prompt, for example: Answer in Portuguese. Link to the handbook.",
                default: "none",
                kind: FieldKind::TextArea,
            },
            SettingsField {
                name: "facts",
                label: "Company facts",
                help: "Background for the model: what your company does, internal names, where policies are kept.",
                default: "none",
                kind: FieldKind::TextArea,
            },
            SettingsField {
                name: "external_facts",
                label: "Use company facts for other organisations too",
                help: "If off, replies to people from Slack Connect and to other bots are written without the company facts.",
                default: "off",
                kind: FieldKind::Checkbox,
            },
            SettingsField {
                name: "tone",
                label: "Tone",
                help: "For example, terse replies leave out greetings and pleasantries.",
                default: "model default",
                kind: FieldKind::Select(&TONES),
            },
            SettingsField {
                name: "length",
                label: "Reply length",
                help: "For example, short replies are a few sentences.",
                default: "depends on the question",
                kind: FieldKind::Select(&LENGTHS),
            },
            SettingsField {
                name: "models",
                label: "Model and fallbacks",
                help: "Separate models with commas. Each is tried in order until one responds.",
                default: "the models of this server",
                kind: FieldKind::TextInput { placeholder: "gpt-5-mini, gpt-5-nano" },
            },
        ],
    ),
    (
        "Channels and people",
        &[
            SettingsField {
                name: "channels",
                label: "Only answer in these channels",
                help: "Channel ids, separated by commas. Slack shows the id at the bottom of the channel details. Direct messages are always answered.",
                default: "all channels it is invited to",
                kind: FieldKind::TextInput { placeholder: "C0123456789, C9876543210" },
            },
            SettingsField {
                name: "external",
                label: "Channels open to other organisations",
                help: "Ids of channels where Slack Connect users are answered too. Their messages are marked as untrusted and never followed as instructions.",
                default: "none",
                kind: FieldKind::TextInput { placeholder: "C0123456789" },
            },
            SettingsField {
                name: "follow_ups",
                label: "Reply in threads without a mention",
                help: "After the first mention, EnableBot replies to every message in that thread.",
                default: "on",
                kind: FieldKind::Checkbox,
            },
            SettingsField {
                name: "feedback",
                label: "Ask for feedback",
                help: "Adds 👍 and 👎 buttons to replies.",
                default: "on",
                kind: FieldKind::Checkbox,
            },
        ],
    ),
    (
        "Memory and privacy",
        &[
            SettingsField {
                name: "memory_days",
                label: "Days of memory",
                help: "Messages and replies older than this are deleted here. Messages in Slack aren't affected.",
                default: "unlimited",
                kind: FieldKind::TextInput { placeholder: "90" },
            },
            SettingsField {
                name: "conversations",
                label: "Show conversations in the dashboard",
                help: "Off: no page, no export and no operator shows what people wrote; everyone can export their own. On: admins see every conversation, members only their own. The audit log records each conversation an admin opens, and an export is announced to all admins in Slack.",
                default: "off",
                kind: FieldKind::Checkbox,
            },
            SettingsField {
                name: "redact",
                label: "Redact secrets and personal data before sending to the model",
                help: "Removes keys, tokens, passwords in URLs, e-mail addresses, and phone, card and account numbers from messages and text files. Names and images are not redacted.",
                default: "off",
                kind: FieldKind::Checkbox,
            },
        ],
    ),
    (
        "Budget",
        &[
            SettingsField {
                name: "budget",
                label: "Monthly budget (US dollars)",
                help: "When it is used up, EnableBot stops answering until the next month starts (UTC). Includes replies in progress, so the budget can't be exceeded.",
                default: "none",
                kind: FieldKind::TextInput { placeholder: "50" },
            },
            SettingsField {
                name: "person_daily",
                label: "Daily budget per person (US dollars)",
                help: "A person who reaches it gets a notice and is answered again the next day (UTC). API requests for a person count too.",
                default: "none",
                kind: FieldKind::TextInput { placeholder: "1" },
            },
            SettingsField {
                name: "cheaper_model",
                label: "Fallback model after 80%",
                help: "Once 80% of the monthly budget is used, only this model is used.",
                default: "no change of model",
                kind: FieldKind::TextInput { placeholder: "gpt-5-nano" },
            },
            SettingsField {
                name: "budget_told",
                label: "Notify at 80%",
                help: "Slack user ids, separated by commas. Each gets a direct message.",
                default: "the people who manage EnableBot",
                kind: FieldKind::TextInput { placeholder: "U0123456789" },
            },
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::super::form::SettingsForm;
    use super::*;

    #[test]
    fn page_fields_match_form_fields() {
        let form = serde_json::to_value(SettingsForm::default()).expect("JSON");
        let names: Vec<&str> =
            FIELD_GROUPS.iter().flat_map(|(_, fields)| fields.iter()).map(|field| field.name).collect();
        assert_eq!(form.as_object().map(serde_json::Map::len), Some(names.len()));
        assert!(names.iter().all(|name| form.get(name).is_some()));
    }
}
