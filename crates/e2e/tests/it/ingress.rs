//! The Ingress of `deploy/kubernetes` routes like `deploy/nginx`, and streams the same responses.

use std::collections::BTreeSet;
use std::fs;

use regex::Regex;
use serde_json::Value;
use xtask::{kubernetes, workspace};

/// The service of a request, and whether its response is streamed.
type RouteTarget = (&'static str, bool);

/// A `location` of nginx.
struct NginxLocation {
    modifier: String,
    path: String,
    target: RouteTarget,
}

/// Reads the locations of the files that `one-host.conf` includes.
fn nginx_locations() -> Vec<NginxLocation> {
    let pattern = Regex::new(r"(?s)location ([=~] )?(\S+) \{(.*?)\}").expect("a pattern");
    let mut all = Vec::new();
    for file in ["api.conf", "web.conf"] {
        let text = fs::read_to_string(workspace::root().join("deploy/nginx").join(file)).expect("the file");
        for location in pattern.captures_iter(&text) {
            let body = &location[3];
            let service = match body {
                _ if body.contains("http://enablebot_api;") => "enablebot-api",
                _ if body.contains("http://enablebot_web;") => "enablebot-web",
                _ if body.contains("return 404;") => "enablebot-nowhere",
                _ => panic!("a location that leads nowhere: {body}"),
            };
            let modifier = location.get(1).map_or("", |modifier| modifier.as_str().trim()).to_owned();
            let path = location[2].to_owned();
            all.push(NginxLocation {
                modifier,
                path,
                target: (service, body.contains("proxy_buffering off;")),
            });
        }
    }
    assert!(all.len() >= 9, "the locations are read");
    all
}

/// Chooses like nginx: the exact location, else the first matching pattern, else the longest prefix.
fn match_nginx(locations: &[NginxLocation], path: &str) -> RouteTarget {
    let of = |modifier: &'static str| locations.iter().filter(move |location| location.modifier == modifier);
    let exact = of("=").find(|location| location.path == path);
    let pattern = || of("~").find(|location| Regex::new(&location.path).expect("a pattern").is_match(path));
    let beginning = || {
        let fitting = of("").filter(|location| path.starts_with(&location.path));
        fitting.max_by_key(|location| location.path.len())
    };
    exact.or_else(pattern).or_else(beginning).expect("a location").target
}

/// Chooses as the API defines it: the exact path, else the longest prefix, element by element.
fn match_ingress(objects: &[Value], path: &str) -> RouteTarget {
    let services = ["enablebot-api", "enablebot-web", "enablebot-nowhere"];
    let mut found: Option<((bool, usize), RouteTarget)> = None;
    for ingress in objects.iter().filter(|object| object["kind"] == "Ingress") {
        let notes = &ingress["metadata"]["annotations"];
        let streams = notes["nginx.org/proxy-buffering"] == "False";
        assert_eq!(
            streams,
            notes["nginx.ingress.kubernetes.io/proxy-buffering"] == "off",
            "as for both controllers"
        );
        for rule in ingress["spec"]["rules"][0]["http"]["paths"].as_array().into_iter().flatten() {
            let wanted = rule["path"].as_str().expect("a path");
            let is_exact = rule["pathType"] == "Exact";
            let beginning = wanted.trim_end_matches('/');
            let rest = path.strip_prefix(beginning);
            let fits = if is_exact { path == wanted } else { rest.is_some_and(|rest| rest.starts_with('/')) };
            let weight = (is_exact, wanted.len());
            if fits && found.is_none_or(|(best, _)| weight > best) {
                let name = &rule["backend"]["service"]["name"];
                let service = services.into_iter().find(|service| name == service).expect("a service");
                found = Some((weight, (service, streams)));
            }
        }
    }
    found.expect("a path").1
}

#[test]
fn ingress_routes_match_nginx() {
    let locations = nginx_locations();
    let mut paths: BTreeSet<String> = [
        "/",
        "/slack/install",
        "/slack/oauth/callback",
        "/slack/events/x",
        "/api/chat",
        "/api/openapi.json",
        "/login",
        "/dashboard",
        "/dashboard/live",
        "/dashboard/data/export.tar",
        "/dashboard/audit.csv",
        "/dashboard/audit",
        "/health",
        "/health/ready",
        "/metrics",
        "/metricsx",
    ]
    .map(str::to_owned)
    .into();
    // A location that is added there must be covered here too.
    paths.extend(locations.iter().filter(|at| at.modifier == "=").map(|at| at.path.clone()));
    paths.extend(locations.iter().filter(|at| at.modifier.is_empty()).map(|at| format!("{}x", at.path)));
    let patterns: Vec<&str> =
        locations.iter().filter(|at| at.modifier == "~").map(|at| at.path.as_str()).collect();
    assert_eq!(patterns, [r"^/dashboard/(data/|audit\.csv)"], "a new pattern wants its paths above");

    let mut objects = kubernetes::render("production").expect("it renders");
    for path in &paths {
        assert_eq!(match_ingress(&objects, path), match_nginx(&locations, path), "{path}");
    }
    objects.retain(|object| object["metadata"]["name"] != "enablebot-private");
    assert_ne!(
        match_ingress(&objects, "/metrics"),
        match_nginx(&locations, "/metrics"),
        "a lost path is noticed"
    );
}

#[test]
fn ingresses_share_one_host() {
    for overlay in ["small", "production"] {
        let objects = kubernetes::render(overlay).expect("it renders");
        let ingresses: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Ingress").collect();
        let hosts: BTreeSet<&str> =
            ingresses.iter().filter_map(|ingress| ingress["spec"]["rules"][0]["host"].as_str()).collect();
        assert_eq!(hosts, BTreeSet::from([xtask::nginx::HOST]));
        let roles = ingresses
            .iter()
            .map(|ingress| &ingress["metadata"]["annotations"]["nginx.org/mergeable-ingress-type"]);
        assert_eq!(roles.filter(|role| *role == "master").count(), 1);
        let with_tls = ingresses.iter().filter(|ingress| ingress["spec"]["tls"].is_array());
        let with_tls: Vec<_> = with_tls.map(|ingress| &ingress["metadata"]["name"]).collect();
        assert_eq!(with_tls, ["enablebot"]);
    }
}
