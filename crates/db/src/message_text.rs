//! What people wrote and what was replied: where it is stored, and how an export leaves it out.

use serde_json::{Map, Value};

/// Columns with message text.
const MESSAGE_TEXT_COLUMNS: [(&str, &str); 4] =
    [("chat_memory", "text"), ("events", "body"), ("replies", "text"), ("replies", "partial_text")];

/// The field of an exported row that says why its message text is left out.
const WITHHELD_FIELD: &str = "withheld";

/// The reason why an export leaves out message text.
pub(crate) const TEXT_WITHHELD_REASON: &str =
    "\"Show conversations in the dashboard\" is off in this workspace, so nobody may read what people wrote";

/// Removes the message text of a table's row, and adds the reason if there was any.
pub(crate) fn withhold(table: &str, row: &mut Map<String, Value>) {
    let columns = MESSAGE_TEXT_COLUMNS.iter().filter(|(name, _)| *name == table);
    let removed: Vec<_> =
        columns.filter_map(|(_, column)| row.insert((*column).into(), Value::Null)).collect();
    if removed.iter().any(|text| !text.is_null()) {
        row.insert(WITHHELD_FIELD.into(), TEXT_WITHHELD_REASON.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn withheld_text_leaves_its_reason() {
        let row = |value: Value| value.as_object().cloned().expect("an object");
        let mut reply = row(json!({ "seq": 1, "text": null, "partial_text": "\\x00" }));
        withhold("replies", &mut reply);
        let expected =
            json!({ "seq": 1, "text": null, "partial_text": null, "withheld": TEXT_WITHHELD_REASON });
        assert_eq!(reply, row(expected));
        for (table, value) in [("events", json!({ "body": null })), ("people", json!({ "name": "\\x00" }))] {
            let mut kept = row(value.clone());
            withhold(table, &mut kept);
            assert_eq!(kept, row(value), "{table}");
        }
    }
}
