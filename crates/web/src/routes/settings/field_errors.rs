//! Errors of the settings form's fields, and the parsers that find them.

use models::BudgetCeiling;

/// Maximum number of models, channels or people in a list.
const MAX_LIST_ITEMS: usize = 200;

/// An error of a field, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    pub(crate) name: &'static str,
    pub(crate) message: String,
}

/// A kind of Slack ids: its prefixes, its name, and an example.
pub(super) struct IdKind {
    prefixes: [&'static str; 2],
    name: &'static str,
    example: &'static str,
}

pub(super) const CHANNEL_IDS: IdKind =
    IdKind { prefixes: ["C", "G"], name: "channel", example: "C0123456789" };
pub(super) const USER_IDS: IdKind = IdKind { prefixes: ["U", "W"], name: "person", example: "U0123456789" };

/// Errors of a form, in the order of its fields.
#[derive(Default)]
pub(super) struct FieldErrors(pub(super) Vec<FieldError>);

impl FieldErrors {
    pub(super) fn add(&mut self, name: &'static str, message: impl Into<String>) {
        self.0.push(FieldError { name, message: message.into() });
    }

    pub(super) fn parse_ids(&mut self, name: &'static str, text: &str, kind: &IdKind) -> Vec<String> {
        parse_ids(text, &kind.prefixes).unwrap_or_else(|id| {
            self.add(name, invalid_id_message(&id, kind.name, kind.example));
            Vec::new()
        })
    }

    pub(super) fn parse_days(&mut self, name: &'static str, text: &str) -> Option<i32> {
        let days = parse_optional(text, |text| text.parse().ok().filter(|days| (1..=36_500).contains(days)));
        days.unwrap_or_else(|()| {
            self.add(name, "Enter a whole number of days, like 90, or leave it empty to keep everything.");
            None
        })
    }

    pub(super) fn parse_amount(&mut self, name: &'static str, text: &str) -> Option<i64> {
        let amount = parse_optional(text, |text| text.replace(',', ".").parse().ok().and_then(to_micros));
        amount.unwrap_or_else(|()| {
            self.add(name, "Enter an amount in dollars, like 50 or 12.50, or leave it empty for no budget.");
            None
        })
    }

    pub(super) fn check_ceiling(&mut self, name: &'static str, budget: Option<i64>, ceiling: BudgetCeiling) {
        if let Some(most) = ceiling.micros().filter(|most| budget.is_some_and(|budget| budget > *most)) {
            let most = format_amount(most);
            let message = format!(
                "The operator of this server allows {most} dollars a month at most. Enter that or less, or leave \
                 it empty for {most}."
            );
            self.add(name, message);
        }
    }
}

/// Parses a field that may be empty.
fn parse_optional<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ()> {
    match text.trim() {
        "" => Ok(None),
        text => parse(text).map(Some).ok_or(()),
    }
}

pub(super) fn split_list(text: &str) -> Vec<String> {
    let parts = text.split([',', ' ', '\n', '\r']).map(str::trim).filter(|part| !part.is_empty());
    let mut list: Vec<String> = Vec::new();
    for part in parts {
        if !list.iter().any(|known| known == part) {
            list.push(part.to_owned());
        }
    }
    list
}

/// Parses a list of Slack ids with these prefixes; the error is the first invalid entry.
fn parse_ids(text: &str, prefixes: &[&str]) -> Result<Vec<String>, String> {
    let ids = split_list(text);
    match ids.iter().find(|id| !is_slack_id(id, prefixes)) {
        Some(id) => Err(id.clone()),
        None if ids.len() > MAX_LIST_ITEMS => Err(format!("more than {MAX_LIST_ITEMS}")),
        None => Ok(ids),
    }
}

/// Returns whether a text is the id of a person.
pub(super) fn is_user_id(id: &str) -> bool {
    is_slack_id(id, &USER_IDS.prefixes)
}

fn is_slack_id(id: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| id.starts_with(prefix))
        && (3..=30).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn invalid_id_message(id: &str, what: &str, example: &str) -> String {
    format!("“{id}” is not a {what} id. Slack shows it in the details; it looks like {example}.")
}

pub(super) fn format_amount(micros: i64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000 / 10_000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:02}") }
}

/// Converts dollars to millionths, rounded to the cent. Amounts below a cent are rejected.
fn to_micros(dollars: f64) -> Option<i64> {
    (0.01..=10_000_000.0).contains(&dollars).then(|| (dollars * 100.0).round() as i64 * 10_000)
}
