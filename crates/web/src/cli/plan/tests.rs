use clap::Parser;

use super::*;

#[derive(Parser)]
struct PlanTestCli {
    #[command(flatten)]
    options: PlanOptions,
}

fn options(arguments: &[&str]) -> Result<PlanOptions, String> {
    let all = std::iter::once("plan").chain(arguments.iter().copied());
    PlanTestCli::try_parse_from(all).map(|command| command.options).map_err(|error| error.to_string())
}

fn plan(arguments: &[&str]) -> CapacityPlan {
    let (_, mut plans) = build_plans(&options(arguments).unwrap()).unwrap();
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

#[test]
fn plan_values_are_measured_and_finite() {
    let (measured, plans) = build_plans(&options(&[]).unwrap()).unwrap();
    for figure in measured.rows() {
        assert!(figure.value > 0.0 && figure.command.starts_with("cargo xtask bench "), "{figure:?}");
    }
    assert_eq!(plans.len(), SCENARIOS.len());
    for plan in plans {
        let json = serde_json::to_value(&plan).unwrap();
        for (name, value) in
            json["sizes"].as_object().unwrap().iter().chain(json["costs"].as_object().unwrap())
        {
            // JSON has no NaN or infinity: such a number would be null.
            assert!(value.is_boolean() || value.as_f64().is_some_and(|value| value > 0.0), "{name}: {value}");
        }
    }
}

#[test]
fn plan_matches_manual_calculation() {
    let plan =
        plan(&["--workspaces", "864", "--messages-per-day", "1000", "--peak", "10", "--answer-seconds", "4"]);
    let sizes = &plan.sizes;
    assert_eq!((sizes.messages_per_second, sizes.messages_per_second_at_peak), (10.0, 100.0));
    assert_eq!(sizes.replies_at_once, 400.0);
    // 400 plus three times its root is 460 slots: two replicas of 256, and a spare.
    assert!(sizes.api_replicas >= 3.0 && sizes.max_concurrent_replies <= 256.0);
    assert!((sizes.api_replicas - 1.0) * sizes.max_concurrent_replies >= 460.0);
    assert_eq!(sizes.dashboard_users, 18.0);
    // 864,000 replies per day at 1500 × 0.25 + 300 × 2 millionths of a dollar.
    assert!((plan.costs.model - 864_000.0 * 30.0 * 0.000_975).abs() < 1.0, "{}", plan.costs.model);
    let is_exceeded = |limit: &str| {
        plan.limits.iter().any(|one| one.limit.contains(limit) && one.verdict.contains("EXCEEDED"))
    };
    assert!(is_exceeded("1,000 events"));
    assert!(!is_exceeded("RATE_LIMIT_GLOBAL") && !is_exceeded("RATE_LIMIT_PER_TENANT"));
}

#[test]
fn plan_grows_with_load() {
    let sizes = ["10", "1000", "100000"]
        .map(|workspaces| plan(&["--workspaces", workspaces, "--messages-per-day", "50"]));
    for pair in sizes.windows(2) {
        let [one, other] = pair else { panic!("pairs") };
        assert!(one.sizes.api_replicas <= other.sizes.api_replicas && one.costs.all < other.costs.all);
        assert!(one.sizes.disk_gib < other.sizes.disk_gib && one.sizes.redis_mib < other.sizes.redis_mib);
    }
    assert!(sizes[2].limits.iter().any(|limit| limit.verdict.contains("EXCEEDED")));
}

#[test]
fn invalid_plan_options_are_rejected() {
    for (arguments, word) in [
        (vec!["--workspaces", "0", "--messages-per-day", "1"], "0 is not in 1..=10000000"),
        (vec!["--workspaces", "1", "--messages-per-day", "0"], "not between 1 and 1000000"),
        (vec!["--workspaces", "1", "--messages-per-day", "inf"], "not between"),
        (vec!["--workspaces", "99999999999999999999", "--messages-per-day", "1"], "too large"),
        (vec!["--workspaces", "5"], "--messages-per-day"),
        (vec!["--peak", "0.5"], "not between 1 and 1000"),
        (vec!["--core-price", "many"], "not a number"),
    ] {
        let error = options(&arguments).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    for arguments in [["--answer-seconds", "0"], ["--cores", "0"], ["--model", "none-such"]] {
        let error = build_plans(&options(&arguments).unwrap()).unwrap_err();
        assert!(error.contains("above 0") || error.contains("has no model"), "{error}");
    }
}
