//! SCALING.md: the command outputs that it shows are current.

use std::fs;
use std::process::Command;

use xtask::bench::simulate;
use xtask::workspace;

use crate::fixtures::binaries;

/// If set, differences are written into the page: `RENEW=1 cargo nextest run -p e2e -E 'test(scaling_md::)'`.
const RENEW_VARIABLE: &str = "RENEW";

fn run_web(arguments: &[&str]) -> String {
    let web = binaries().path("web").expect("it is built");
    workspace::output(Command::new(web).args(arguments)).expect("it prints")
}

/// Returns the rows of the file that `web plan` reads.
fn measured_table() -> String {
    let file = workspace::root().join("crates/web/src/cli/plan/measured.csv");
    let rows = fs::read_to_string(file).expect("the file");
    let lines = rows.lines().enumerate().map(|(at, row)| {
        let rule = if at == 0 { "\n|---|---|---|---|---|" } else { "" };
        format!("| {} |{rule}\n", row.split(',').collect::<Vec<_>>().join(" | "))
    });
    lines.collect()
}

fn simulated_table() -> String {
    let mut rows = "| workspaces | messages that day | replicas of 256 slots | half wait at most, s | 99 of 100, s | slots busy at the peak |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for workspaces in [100, 1_000, 10_000, 100_000] {
        let found = simulate::size_fleet(&simulate::SimulationOptions::default(), workspaces);
        let (fleet, outcome) = found.expect("a number of replicas is enough");
        rows += &format!(
            "| {workspaces} | {} | {} | {:.3} | {:.3} | {:.0} |\n",
            outcome.answered,
            fleet.replicas,
            outcome.wait_percentile(0.5),
            outcome.wait_percentile(0.99),
            outcome.busiest_slots
        );
    }
    rows
}

/// Replaces the section after the mark of that name, up to the next empty line, with `text`.
fn replace_section(page: &str, mark: &str, text: &str) -> String {
    let (before, rest) = page.split_once(&format!("<!-- {mark} -->\n")).expect("a mark");
    let old = match rest.strip_prefix("```") {
        Some(block) => block.find("```\n").expect("its end") + 2 * "```".len() + 1,
        None => rest.split_inclusive('\n').take_while(|line| line.starts_with('|')).map(str::len).sum(),
    };
    format!("{before}<!-- {mark} -->\n{text}{}", &rest[old..])
}

#[test]
fn scaling_md_matches_commands() {
    let file = workspace::root().join("SCALING.md");
    let page = fs::read_to_string(&file).expect("the page");
    let plan = run_web(&["plan"]);
    // The figures have their own table.
    let plan = plan.split("\nMeasured on").next().expect("a part").trim_end();
    let mut renewed = replace_section(&page, "web plan", &format!("```text\n{plan}\n```\n"));
    renewed = replace_section(&renewed, "cargo xtask bench simulate", &simulated_table());
    renewed = replace_section(&renewed, "measured", &measured_table());
    if std::env::var_os(RENEW_VARIABLE).is_some() {
        fs::write(&file, &renewed).expect("it is written");
    }
    assert!(
        renewed == page || std::env::var_os(RENEW_VARIABLE).is_some(),
        "SCALING.md is to be renewed: {RENEW_VARIABLE}=1"
    );
}

#[test]
fn scaling_md_commands_exist() {
    let page = fs::read_to_string(workspace::root().join("SCALING.md")).expect("the page");
    let benchmarks = workspace::root().join("crates/xtask/src/bench");
    let mut named = 0;
    for rest in page.split("cargo xtask bench ").skip(1) {
        let name: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
        assert!(benchmarks.join(format!("{name}.rs")).is_file(), "cargo xtask bench {name}");
        named += 1;
    }
    assert!(named > 10, "{named} benchmarks are named");
    let rules = workspace::root().join("deploy/prometheus/rules");
    let rules: String = fs::read_dir(rules)
        .expect("the rules")
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a file"))
        .collect();
    for alert in ["ManyEvents", "SlowResponses", "HighCpu", "HighMemory", "ManyInstalls", "OAuthFailures"] {
        assert!(page.contains(alert) && rules.contains(&format!("alert: {alert}\n")), "{alert}");
    }
    for command in ["doctor", "plan", "keys verify", "keys status", "audit verify", "migrate"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        assert!(page.contains(&format!("web {command}")), "{command}");
        run_web(&words);
    }
}
