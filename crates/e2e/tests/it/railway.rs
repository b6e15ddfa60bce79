//! The files of `deploy/railway`: valid for Railway's types, and usable by the services.

use std::collections::BTreeSet;

use serde_json::Value;
use xtask::cluster::SERVICE_ROLE;
use xtask::{railway, workspace};

fn read_railway_file(service: &str) -> String {
    let path = workspace::root().join(format!("deploy/railway/{service}.json"));
    std::fs::read_to_string(path).expect("the file")
}

#[test]
fn railway_files_match_schema() {
    let [api, web, migrate] = ["api", "web", "migrate"].map(read_railway_file);
    let change = |from: &str, to: &str| {
        assert!(api.contains(from));
        api.replace(from, to)
    };
    // Railway's documentation has a text there, which Railway refuses.
    let mistyped = change("\"drainingSeconds\": 40", "\"drainingSeconds\": \"40\"");
    let misspelt = change("healthcheckPath", "healthCheckPath");
    let faults =
        railway::list_type_errors(&[&api, &web, &migrate, &mistyped, &misspelt]).expect("they are looked at");
    assert!(
        faults.len() == 2 && faults[0].starts_with("3.ts") && faults[1].starts_with("4.ts"),
        "{faults:?}"
    );
}

#[test]
fn railway_deploy_checks_readiness_and_drains() {
    let mut tags = BTreeSet::new();
    for (service, replicas) in [("api", 3), ("web", 2)] {
        let file: Value = serde_json::from_str(&read_railway_file(service)).expect("JSON");
        let (build, deploy) = (&file["build"], &file["deploy"]);
        let image = build["dockerfilePath"].as_str().expect("a path");
        let image = std::fs::read_to_string(workspace::root().join(image)).expect("it is there");
        let image = image.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
        let [image] = image[..] else { panic!("nothing is built: {image:?}") };
        let (repository, tag) = image.rsplit_once(':').expect("a tag");
        assert!(repository.starts_with("FROM ") && repository.ends_with(&format!("/enablebot-{service}")));
        tags.insert(tag.to_owned());
        assert_eq!(deploy["healthcheckPath"], "/health/ready");
        assert!(deploy["drainingSeconds"].as_u64().expect("a number") > 30);
        let regions = deploy["multiRegionConfig"].as_object().expect("regions");
        let counts: Vec<_> = regions.values().map(|region| &region["numReplicas"]).collect();
        assert_eq!(counts, [&Value::from(replicas)]);
        // A service of its own migrates, so that these do not get the owner's address.
        assert_eq!((deploy.get("preDeployCommand"), deploy.get("startCommand")), (None, None));
    }
    let migrate: Value = serde_json::from_str(&read_railway_file("migrate")).expect("JSON");
    assert_eq!(migrate["deploy"]["startCommand"], format!("/web migrate --service-role {SERVICE_ROLE}"));
    assert_eq!(migrate["build"]["dockerfilePath"], "deploy/railway/Dockerfile.web");
    assert!(tags.len() == 1 && !tags.contains("latest"), "one release: {tags:?}");
}
