//! The files of `deploy/kubernetes`: what the API takes, what holds for every pod, and what the services make of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use xtask::cluster::free_port;
use xtask::{http, kubernetes, workspace};

use crate::test_app::TestApp;

const OVERLAYS: [&str; 2] = ["small", "production"];

/// A service ends within so many seconds of SIGTERM.
const DRAIN: u64 = 30;

/// The objects of an overlay.
struct Objects(Vec<Value>);

impl Objects {
    fn of(overlay: &str) -> Self {
        Self(kubernetes::render(overlay).expect("it renders"))
    }

    fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    fn names<'a>(&'a self, kind: &'a str) -> BTreeSet<&'a str> {
        self.all(kind).map(|object| text(&object["metadata"]["name"])).collect()
    }

    /// Deployments and the job, by name, with their pods' template.
    fn pods(&self) -> BTreeMap<&str, &Value> {
        let owners = self.all("Deployment").chain(self.all("Job"));
        owners.map(|owner| (text(&owner["metadata"]["name"]), &owner["spec"]["template"])).collect()
    }

    /// How many kinds of pods a selector finds.
    fn selected(&self, selector: &Value) -> usize {
        self.pods().values().filter(|pod| selects(selector, &pod["metadata"]["labels"])).count()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut equal = equal.map(|(name, value)| labels[name] == *value);
    let within = selector["matchExpressions"].as_array().into_iter().flatten();
    let mut within = within.map(|rule| {
        assert_eq!(rule["operator"], "In");
        list(&rule["values"]).contains(&labels[text(&rule["key"])])
    });
    equal.all(|holds| holds) && within.all(|holds| holds)
}

/// Variables of an example, those that are commented out too.
fn variables_of(service: &str) -> BTreeSet<String> {
    let example = workspace::root().join(format!(".env.{service}.example"));
    let example = fs::read_to_string(example).expect("the example");
    let names = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    let is_name = |name: &str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    names.filter(|(name, _)| is_name(name)).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn kubernetes_api_takes_every_object_and_notices_a_wrong_one() {
    let [small, production] = OVERLAYS.map(Objects::of);
    for objects in [&small, &production] {
        assert!(objects.0.len() > 20);
        let strangers = objects.0.iter().filter(|object| object["metadata"]["namespace"] != "enablebot");
        let strangers: Vec<_> = strangers.map(|object| &object["kind"]).collect();
        assert_eq!(strangers, ["Namespace"]);
    }
    let first = |kind| small.all(kind).next().expect("one").clone();
    let mut misspelt = first("Deployment");
    misspelt["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = json!({});
    let mut mistyped = first("PodDisruptionBudget");
    mistyped["spec"]["selector"] = json!("all");
    let mut unknown = first("Service");
    unknown["apiVersion"] = json!("v2");
    let mut all = [small.0, production.0].concat();
    assert_eq!(kubernetes::faults(&all).expect("they are looked at"), [""; 0]);
    all.extend([misspelt, mistyped, unknown]);
    let faults = kubernetes::faults(&all).expect("they are looked at");
    for word in ["livenesProbe", "spec.selector", "api version v2"] {
        let found = faults.iter().filter(|fault| fault.contains(word)).count();
        assert_eq!(found, kubernetes::RELEASES.len(), "{word}: {faults:?}");
    }
    assert_eq!(faults.len(), 3 * kubernetes::RELEASES.len(), "{faults:?}");
}

#[test]
fn every_pod_is_confined_bounded_and_has_what_it_names() {
    for overlay in OVERLAYS {
        let objects = Objects::of(overlay);
        let pods = objects.pods();
        assert_eq!(
            pods.keys().copied().collect::<Vec<_>>(),
            ["enablebot-api", "enablebot-migrate", "enablebot-web"]
        );
        for (name, pod) in pods {
            let spec = &pod["spec"];
            assert_eq!(spec["automountServiceAccountToken"], false);
            assert_eq!(spec["enableServiceLinks"], false, "a Service must set no variable of a service");
            assert!(objects.names("ServiceAccount").contains(text(&spec["serviceAccountName"])));
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let [container] = list(&spec["containers"]) else { panic!("{name} has one container") };
            let context = &container["securityContext"];
            let may = (&context["allowPrivilegeEscalation"], &context["readOnlyRootFilesystem"]);
            assert_eq!(may, (&json!(false), &json!(true)));
            assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }));
            for bound in ["requests", "limits"] {
                for resource in ["cpu", "memory"] {
                    assert!(
                        container["resources"][bound][resource].is_string(),
                        "{name} has no {bound} of {resource}"
                    );
                }
            }
            let image = text(&container["image"]);
            let program = if name == "enablebot-migrate" { "enablebot-web" } else { name };
            let (repository, tag) = image.rsplit_once(':').expect("a tag");
            assert!(repository.ends_with(&format!("/{program}")) && tag != "latest", "{image}");
            let sources = list(&container["envFrom"]);
            assert_eq!(sources.len(), 2);
            assert!(objects.names("ConfigMap").contains(text(&sources[0]["configMapRef"]["name"])));
            let secret = text(&sources[1]["secretRef"]["name"]);
            assert!(objects.names("Secret").contains(secret) && secret.starts_with(program), "{secret}");
        }
    }
}

#[test]
fn replicas_are_watched_spread_and_drained_before_they_end() {
    for overlay in OVERLAYS {
        let objects = Objects::of(overlay);
        for deployment in objects.all("Deployment") {
            let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
            assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
            assert_eq!(objects.selected(&spec["selector"]), 1);
            let container = &pod["containers"][0];
            let paths = ["startupProbe", "livenessProbe", "readinessProbe"]
                .map(|probe| &container[probe]["httpGet"]["path"]);
            assert_eq!(paths, ["/health", "/health", "/health/ready"]);
            let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("a pause");
            let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a grace");
            // The endpoint is gone after two failed probes at the latest, and at once where SIGTERM is announced.
            assert!(pause >= 5 && grace >= pause + DRAIN, "{pause} and {grace}");
            let apart =
                &pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
            let zones = &pod["topologySpreadConstraints"][0];
            for selector in [&apart["podAffinityTerm"]["labelSelector"], &zones["labelSelector"]] {
                assert_eq!(selector, &spec["selector"]);
            }
            let is_scaled =
                |scaler: &&Value| scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"];
            let scalers = objects.all("HorizontalPodAutoscaler").filter(is_scaled).count();
            // A number beside a scaler would undo at each apply what it has done.
            assert_ne!(spec["replicas"].is_number(), scalers == 1, "{overlay}");
        }
        for budget in objects.all("PodDisruptionBudget") {
            assert_eq!(
                (&budget["spec"]["maxUnavailable"], objects.selected(&budget["spec"]["selector"])),
                (&json!(1), 1)
            );
        }
        for service in objects.all("Service").filter(|service| service["spec"]["selector"].is_object()) {
            let selector = json!({ "matchLabels": service["spec"]["selector"] });
            assert_eq!(objects.selected(&selector), 1);
            let pods = objects.pods();
            let ports = &pods[text(&service["metadata"]["name"])]["spec"]["containers"][0]["ports"];
            assert_eq!(service["spec"]["ports"][0]["targetPort"], ports[0]["name"]);
            assert_eq!(service["spec"]["ports"][0]["port"], ports[0]["containerPort"]);
        }
        for policy in objects.all("NetworkPolicy") {
            assert!(objects.selected(&policy["spec"]["podSelector"]) >= 2, "{policy}");
        }
        let denied = objects.all("NetworkPolicy").find(|policy| policy["metadata"]["name"] == "default-deny");
        let denied = &denied.expect("it is there")["spec"];
        assert_eq!(denied, &json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
    }
    let bounds = Objects::of("production");
    let bounds = bounds.all("HorizontalPodAutoscaler").map(|scaler| {
        let spec = &scaler["spec"];
        (
            text(&scaler["metadata"]["name"]).to_owned(),
            spec["minReplicas"].clone(),
            spec["maxReplicas"].clone(),
        )
    });
    let expected =
        [("enablebot-api".to_owned(), json!(2), json!(20)), ("enablebot-web".to_owned(), json!(2), json!(6))];
    assert_eq!(bounds.collect::<Vec<_>>(), expected);
}

/// `-l 'app.kubernetes.io/component in (shared, migrate)'` of the README.
#[test]
fn what_is_applied_first_holds_all_that_the_job_needs() {
    for overlay in OVERLAYS {
        let objects = Objects::of(overlay);
        let is_first = |object: &&Value| {
            let component = &object["metadata"]["labels"]["app.kubernetes.io/component"];
            component == "shared" || component == "migrate"
        };
        let first = Objects(objects.0.iter().filter(is_first).cloned().collect());
        assert_eq!((first.names("Namespace").len(), first.names("Deployment").len()), (1, 0));
        let policies = [first.names("NetworkPolicy"), objects.names("NetworkPolicy")];
        assert_eq!(policies[0], policies[1]);
        let pods = first.pods();
        let spec = &pods["enablebot-migrate"]["spec"];
        let sources = &spec["containers"][0]["envFrom"];
        assert_eq!(spec["containers"][0]["args"], json!(["migrate"]));
        assert!(first.names("ServiceAccount").contains(text(&spec["serviceAccountName"])));
        assert!(first.names("ConfigMap").contains(text(&sources[0]["configMapRef"]["name"])));
        assert!(first.names("Secret").contains(text(&sources[1]["secretRef"]["name"])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_take_the_settings_and_tell_what_is_scaled_by() {
    let objects = Objects::of("production");
    let settings = &objects.all("ConfigMap").next().expect("one")["data"];
    let settings = settings.as_object().expect("a map").iter();
    let settings: Vec<(&str, &str)> = settings.map(|(name, value)| (name.as_str(), text(value))).collect();
    for service in ["api", "web"] {
        let known = variables_of(service);
        assert!(known.contains("DATABASE_URL") && known.contains("REDIS_URL"));
        assert!(
            settings.iter().all(|(name, _)| known.contains(*name)),
            "{service} reads not all of {settings:?}"
        );
    }
    let mut app = TestApp::start().await;
    app.add_api(free_port().expect("a port"), &settings);
    let web = app.add_web_with(free_port().expect("a port"), &settings);
    for port in [app.apis[1].port, web.port] {
        for path in ["/health", "/health/ready", "/metrics"] {
            assert_eq!(http::ask(port, "GET", path, &[], "").expect("an answer").status, 200, "{path}");
        }
    }
    let told = http::ask(app.apis[1].port, "GET", "/metrics", &[], "").expect("an answer").body;
    let adapter = workspace::root().join("deploy/kubernetes/metrics-adapter.yaml");
    let adapter = kubernetes::documents(&adapter).expect("YAML");
    let series = list(&adapter[0]["externalRules"]).iter().map(|rule| text(&rule["seriesQuery"]));
    let series: BTreeSet<&str> = series.filter_map(|query| query.split('{').next()).collect();
    assert!(series.iter().all(|name| told.contains(&format!("\n{name} "))), "{series:?}");
    let metrics = objects.all("HorizontalPodAutoscaler").flat_map(|scaler| list(&scaler["spec"]["metrics"]));
    let external = metrics.filter(|metric| metric["type"] == "External");
    let external: BTreeSet<&str> =
        external.map(|metric| text(&metric["external"]["metric"]["name"])).collect();
    assert_eq!((external.len(), external), (2, series));
}
