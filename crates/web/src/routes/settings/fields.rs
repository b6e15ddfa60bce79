//! The fields of the settings' page: each with its meaning and its default.

/// How a field is filled in.
pub(crate) enum Kind {
    Line { placeholder: &'static str },
    Text,
    Choice(&'static [(&'static str, &'static str)]),
    Box,
}

/// A field as the page shows it.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: Kind,
}

const TONES: [(&str, &str); 4] =
    [("plain", "as the model speaks"), ("friendly", "friendly"), ("formal", "formal"), ("terse", "terse")];

const LENGTHS: [(&str, &str); 3] =
    [("fitting", "as the question needs"), ("short", "short"), ("thorough", "thorough")];

/// The fields by group, in the order of the page.
pub(crate) const GROUPS: [(&str, &[Field]); 4] = [
    (
        "How it answers",
        &[
            Field {
                name: "instructions",
                label: "Instructions",
                meaning: "What the model is told before each question, besides what it always is told.",
                default: "nothing",
                kind: Kind::Text,
            },
            Field {
                name: "facts",
                label: "Company facts",
                meaning: "What it should know: what you do, what things are called, where the rules stand.",
                default: "nothing",
                kind: Kind::Text,
            },
            Field {
                name: "tone",
                label: "Tone",
                meaning: "How it speaks.",
                default: "as the model speaks",
                kind: Kind::Choice(&TONES),
            },
            Field {
                name: "length",
                label: "Length of answers",
                meaning: "How much it says.",
                default: "as the question needs",
                kind: Kind::Choice(&LENGTHS),
            },
            Field {
                name: "models",
                label: "Model and fallbacks",
                meaning: "The first that answers is used; separate them by commas.",
                default: "those of this server",
                kind: Kind::Line { placeholder: "gpt-5-mini, gpt-5-nano" },
            },
        ],
    ),
    (
        "Where and for whom",
        &[
            Field {
                name: "channels",
                label: "Channels",
                meaning: "Where it answers, by the ids that Slack shows below a channel's details. In its own conversations it always answers.",
                default: "wherever it is invited",
                kind: Kind::Line { placeholder: "C0123456789, C9876543210" },
            },
            Field {
                name: "external",
                label: "Channels open to other organisations",
                meaning: "Where people who come by Slack Connect are answered too. Their words are marked, and never followed as instructions.",
                default: "nowhere",
                kind: Kind::Line { placeholder: "C0123456789" },
            },
            Field {
                name: "follow_ups",
                label: "Go on in a thread without a mention",
                meaning: "In a channel's thread in which it takes part, nobody needs to mention it again.",
                default: "on",
                kind: Kind::Box,
            },
            Field {
                name: "feedback",
                label: "Ask for feedback",
                meaning: "Answers carry 👍 and 👎.",
                default: "on",
                kind: Kind::Box,
            },
        ],
    ),
    (
        "What it remembers",
        &[
            Field {
                name: "memory_days",
                label: "Days of memory",
                meaning: "After so many days what was said is forgotten here; in Slack it stays.",
                default: "for ever",
                kind: Kind::Line { placeholder: "90" },
            },
            Field {
                name: "conversations",
                label: "Conversations can be read in the dashboard",
                meaning: "Admins then read all of them, members their own. Each time an admin reads one it stands in the audit log.",
                default: "off",
                kind: Kind::Box,
            },
            Field {
                name: "redact",
                label: "Take secrets and personal data out before the model",
                meaning: "Keys, tokens, passwords in addresses, e-mails, phone, card and account numbers, in messages and text files; not in images, and no names.",
                default: "off",
                kind: Kind::Box,
            },
        ],
    ),
    (
        "What it may cost",
        &[
            Field {
                name: "budget",
                label: "Budget a month, in US dollars",
                meaning: "When it is used up nobody is answered until the next month begins, in UTC. What an answer costs at most is held before the model is asked, so that no number of answers at once goes beyond it.",
                default: "none",
                kind: Kind::Line { placeholder: "50" },
            },
            Field {
                name: "person_daily",
                label: "Budget of a person a day, in US dollars",
                meaning: "Whoever has used it up is told so, and answered again when the next day begins, in UTC. What programs ask for a person counts too.",
                default: "none",
                kind: Kind::Line { placeholder: "1" },
            },
            Field {
                name: "cheaper_model",
                label: "Cheaper model near the end",
                meaning: "Once 80 % of the month's budget are used up this one answers, and no other.",
                default: "the same models to the end",
                kind: Kind::Line { placeholder: "gpt-5-nano" },
            },
            Field {
                name: "budget_told",
                label: "Who is told at 80 %",
                meaning: "Slack user ids; each gets a message.",
                default: "whoever installed EnableBot",
                kind: Kind::Line { placeholder: "U0123456789" },
            },
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::super::form::Form;
    use super::*;

    #[test]
    fn every_field_of_the_page_is_one_of_the_form() {
        let filled = serde_json::to_value(Form::default()).expect("JSON");
        let names: Vec<&str> =
            GROUPS.iter().flat_map(|(_, fields)| fields.iter()).map(|field| field.name).collect();
        assert_eq!(filled.as_object().map(serde_json::Map::len), Some(names.len()));
        assert!(names.iter().all(|name| filled.get(name).is_some()));
    }
}
