//! Accessibility: axe examines each page in the browser.

use serde_json::Value;
use xtask::test_tools;

use crate::chromium::Chromium;

/// Lists the rules that a page of `web` breaks. The simulator's pages are not examined.
const AXE_SCRIPT: &str = "
    const done = arguments[0];
    if (!document.querySelector('link[href=\"/assets/style.css\"]')) return done([]);
    axe.run().then(({ violations }) => done(violations), (error) => done([{ id: String(error), nodes: [] }]));";

impl Chromium {
    /// Returns a line for each element that breaks a rule. WebDriver's scripts are exempt from the page's
    /// policy.
    pub(crate) async fn accessibility_violations(&self) -> Vec<String> {
        let script =
            std::fs::read_to_string(test_tools::find_or_install_axe().expect("axe from npm")).expect("text");
        self.client.execute(&script, vec![]).await.expect("axe");
        let violations = self.client.execute_async(AXE_SCRIPT, vec![]).await.expect("what axe finds");
        violations.as_array().into_iter().flatten().flat_map(violation_lines).collect()
    }
}

fn violation_lines(violation: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (id, help) = (text(&violation["id"]), text(&violation["help"]));
    let nodes = violation["nodes"].as_array().cloned().unwrap_or_default();
    let line =
        |node: &Value| format!("{id}: {}: {help}\n  {}", node["target"], text(&node["failureSummary"]));
    if nodes.is_empty() { vec![format!("{id}: {help}")] } else { nodes.iter().map(line).collect() }
}
