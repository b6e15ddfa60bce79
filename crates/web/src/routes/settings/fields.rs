//! The fields of the settings' page: each with its meaning and its default.

/// How a field is filled in.
pub(crate) enum FieldKind {
    TextInput { placeholder: &'static str },
    TextArea,
    Select(&'static [(&'static str, &'static str)]),
    Checkbox,
}

/// A field as the page shows it.
pub(crate) struct SettingsField {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) help: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: FieldKind,
}

const TONES: [(&str, &str); 4] =
    [("plain", "as the model speaks"), ("friendly", "friendly"), ("formal", "formal"), ("terse", "terse")];

const LENGTHS: [(&str, &str); 3] =
    [("fitting", "as the question needs"), ("short", "short"), ("thorough", "thorough")];

/// The fields by group, in the order of the page.
pub(crate) const FIELD_GROUPS: [(&str, &[SettingsField]); 4] = [
    (
        "How it answers",
        &[
            SettingsField {
                name: "instructions",
                label: "Instructions",
                help: "What the model is told before each question, besides what it always is told.",
                default: "nothing",
                kind: FieldKind::TextArea,
            },
            SettingsField {
                name: "facts",
                label: "Company facts",
                help: "What it should know: what you do, what things are called, where the rules stand.",
                default: "nothing",
                kind: FieldKind::TextArea,
            },
            SettingsField {
                name: "tone",
                label: "Tone",
                help: "How it speaks.",
                default: "as the model speaks",
                kind: FieldKind::Select(&TONES),
            },
            SettingsField {
                name: "length",
                label: "Length of answers",
                help: "How much it says.",
                default: "as the question needs",
                kind: FieldKind::Select(&LENGTHS),
            },
            SettingsField {
                name: "models",
                label: "Model and fallbacks",
                help: "The first that answers is used; separate them by commas.",
                default: "those of this server",
                kind: FieldKind::TextInput { placeholder: "gpt-5-mini, gpt-5-nano" },
            },
        ],
    ),
    (
        "Where and for whom",
        &[
            SettingsField {
                name: "channels",
                label: "Channels",
                help: "Where it answers, by the ids that Slack shows below a channel's details. In its own conversations it always answers.",
                default: "wherever it is invited",
                kind: FieldKind::TextInput { placeholder: "C0123456789, C9876543210" },
            },
            SettingsField {
                name: "external",
                label: "Channels open to other organisations",
                help: "Where people who come by Slack Connect are answered too. Their words are marked, and never followed as instructions.",
                default: "nowhere",
                kind: FieldKind::TextInput { placeholder: "C0123456789" },
            },
            SettingsField {
                name: "follow_ups",
                label: "Go on in a thread without a mention",
                help: "In a channel's thread in which it takes part, nobody needs to mention it again.",
                default: "on",
                kind: FieldKind::Checkbox,
            },
            SettingsField {
                name: "feedback",
                label: "Ask for feedback",
                help: "Answers carry 👍 and 👎.",
                default: "on",
                kind: FieldKind::Checkbox,
            },
        ],
    ),
    (
        "What it remembers",
        &[
            SettingsField {
                name: "memory_days",
                label: "Days of memory",
                help: "After so many days what was said is forgotten here; in Slack it stays.",
                default: "for ever",
                kind: FieldKind::TextInput { placeholder: "90" },
            },
            SettingsField {
                name: "conversations",
                label: "Conversations can be read in the dashboard",
                help: "Admins then read all of them, members their own. Each time an admin reads one it stands in the audit log.",
                default: "off",
                kind: FieldKind::Checkbox,
            },
            SettingsField {
                name: "redact",
                label: "Take secrets and personal data out before the model",
                help: "Keys, tokens, passwords in addresses, e-mails, phone, card and account numbers, in messages and text files; not in images, and no names.",
                default: "off",
                kind: FieldKind::Checkbox,
            },
        ],
    ),
    (
        "What it may cost",
        &[
            SettingsField {
                name: "budget",
                label: "Budget a month, in US dollars",
                help: "When it is used up nobody is answered until the next month begins, in UTC. What an answer costs at most is held before the model is asked, so that no number of answers at once goes beyond it.",
                default: "none",
                kind: FieldKind::TextInput { placeholder: "50" },
            },
            SettingsField {
                name: "person_daily",
                label: "Budget of a person a day, in US dollars",
                help: "Whoever has used it up is told so, and answered again when the next day begins, in UTC. What programs ask for a person counts too.",
                default: "none",
                kind: FieldKind::TextInput { placeholder: "1" },
            },
            SettingsField {
                name: "cheaper_model",
                label: "Cheaper model near the end",
                help: "Once 80 % of the month's budget are used up this one answers, and no other.",
                default: "the same models to the end",
                kind: FieldKind::TextInput { placeholder: "gpt-5-nano" },
            },
            SettingsField {
                name: "budget_told",
                label: "Who is told at 80 %",
                help: "Slack user ids; each gets a message.",
                default: "whoever installed EnableBot",
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
        let filled = serde_json::to_value(SettingsForm::default()).expect("JSON");
        let names: Vec<&str> =
            FIELD_GROUPS.iter().flat_map(|(_, fields)| fields.iter()).map(|field| field.name).collect();
        assert_eq!(filled.as_object().map(serde_json::Map::len), Some(names.len()));
        assert!(names.iter().all(|name| filled.get(name).is_some()));
    }
}
