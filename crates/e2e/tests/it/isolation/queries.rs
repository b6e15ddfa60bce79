//! A query of `db`, with parameters that lead to a tenant's rows in `two_tenants.sql`.

use regex::Regex;
use serde_json::Value;

/// A query, with the columns that its parameters are compared with or stored in.
pub(crate) struct QueryAttempt {
    pub(crate) hash: String,
    pub(crate) query: String,
    types: Vec<String>,
    columns: Vec<Option<String>>,
}

/// Values that identify a tenant's rows.
pub(crate) struct TenantParams {
    tenant: String,
    number: i64,
}

impl QueryAttempt {
    /// Reads a query from sqlx's metadata.
    pub(crate) fn new(described: &Value) -> Self {
        let query = described["query"].as_str().expect("a query").to_owned();
        let types = described["describe"]["parameters"]["Left"].as_array().expect("parameters");
        let types: Vec<String> = types.iter().map(|name| name.as_str().expect("a type").to_owned()).collect();
        let columns = (1..=types.len()).map(|number| column_of(&query, number)).collect();
        let hash = described["hash"].as_str().expect("a hash").to_owned();
        Self { hash, query, types, columns }
    }

    /// Returns the parameter types for `prepare`.
    pub(crate) fn prepare_types(&self) -> String {
        let types: Vec<_> = self.types.iter().map(|name| postgres_type(name)).collect();
        if types.is_empty() { String::new() } else { format!("({})", types.join(", ")) }
    }

    /// Returns an `execute` with the values that lead to these rows.
    pub(crate) fn execute(&self, name: &str, params: &TenantParams) -> String {
        let values = self.types.iter().zip(&self.columns);
        let values: Vec<String> =
            values.map(|(name, column)| params.value(name, column.as_deref())).collect();
        if values.is_empty() {
            format!("execute {name}")
        } else {
            format!("execute {name}({})", values.join(", "))
        }
    }
}

impl TenantParams {
    pub(crate) fn new(tenant: &str, number: i64) -> Self {
        Self { tenant: tenant.to_owned(), number }
    }

    /// Replaces these values in a line.
    pub(crate) fn mask(&self, line: &str) -> String {
        let digest = hex::encode(format!("digest {}", self.tenant));
        line.replace(&digest, "a digest")
            .replace(&self.tenant, "a tenant")
            .replace(&self.number.to_string(), "a number")
    }

    fn value(&self, kind: &str, column: Option<&str>) -> String {
        let (tenant, number) = (&self.tenant, self.number);
        let element = kind.strip_suffix("Array");
        let one = match (element.unwrap_or(kind), column.unwrap_or_default()) {
            ("Text", "tenant_id" | "") => format!("'{tenant}'"),
            ("Text", "user_id" | "person" | "actor" | "installed_by" | "changed_by") => {
                format!("'U{tenant}'")
            }
            ("Text", "channel_id") => format!("'C{tenant}'"),
            ("Text", "thread_ts" | "conversation_id") => format!("'{number}.000001'"),
            ("Text", "message_ts") => format!("'{number}.000002'"),
            ("Text", "event_id") => format!("'Ev{tenant}'"),
            ("Text", "team_id") => format!("'TEAM{tenant}'"),
            ("Text", "outcome" | "state") => "'set_aside'".to_owned(),
            ("Text", "role") => "'user'".to_owned(),
            ("Text", "master_key_id") => "'k1'".to_owned(),
            ("Text", _) => format!("'of {tenant}'"),
            ("Uuid", "key_id") => format!("md5('key {tenant}')::uuid"),
            ("Uuid", "export_id") => format!("md5('export {tenant}')::uuid"),
            ("Uuid", "refresh_lease") => format!("md5('refresh {tenant}')::uuid"),
            ("Uuid", _) => format!("md5('lease {tenant}')::uuid"),
            ("Bytea", _) => format!("'digest {tenant}'::bytea"),
            ("Int8", "seq") => number.to_string(),
            ("Timestamptz", _) => "now() + interval '1 year'".to_owned(),
            ("Jsonb", _) => "'{}'".to_owned(),
            ("Bool", _) => "true".to_owned(),
            _ => "1000".to_owned(),
        };
        match element {
            Some(element) => format!("array[{one}]::{}[]", postgres_type(element)),
            None => one,
        }
    }
}

fn postgres_type(name: &str) -> String {
    match name.strip_suffix("Array") {
        Some(element) => format!("{}[]", postgres_type(element)),
        None => name.to_lowercase(),
    }
}

/// Returns the column that a parameter is compared with or stored in.
fn column_of(query: &str, number: usize) -> Option<String> {
    let compared =
        format!(r"(\w+)\s*(?:=|<>|is not distinct from|>|<|<=|>=)\s*(?:any\s*|all\s*)?\(?\${number}\b");
    if let Some(found) = Regex::new(&compared).expect("a pattern").captures(query) {
        return Some(found[1].to_owned());
    }
    let stored =
        Regex::new(r"(?s)insert into \w+\s*\(([^)]*)\)\s*(?:values\s*\(|select\s)(.*)").expect("a pattern");
    let found = stored.captures(query)?;
    let columns: Vec<&str> = found[1].split(',').map(str::trim).collect();
    let values: Vec<&str> = found[2].split(',').map(str::trim).collect();
    let own = Regex::new(&format!(r"^\${number}\b")).expect("a pattern");
    let at = values.iter().position(|value| own.is_match(value))?;
    columns.get(at).map(|column| (*column).to_owned())
}
