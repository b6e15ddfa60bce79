//! The files of `deploy/kubernetes`: valid for the API, applied in order, and usable by the services.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use xtask::cluster::{SERVICE_ROLE, free_port};
use xtask::{http, kubernetes, workspace};

use crate::test_app::TestApp;

pub(crate) const KUSTOMIZE_OVERLAYS: [&str; 2] = ["small", "production"];

/// The objects of an overlay.
pub(crate) struct KubernetesObjects(Vec<Value>);

impl KubernetesObjects {
    pub(crate) fn render(overlay: &str) -> Self {
        Self(kubernetes::render(overlay).expect("it renders"))
    }

    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |object| object["kind"] == kind)
    }

    pub(crate) fn names<'a>(&'a self, kind: &'a str) -> BTreeSet<&'a str> {
        self.of_kind(kind).map(|object| text(&object["metadata"]["name"])).collect()
    }

    /// Returns the pod templates of the Deployments and the job, by name.
    pub(crate) fn pod_templates(&self) -> BTreeMap<&str, &Value> {
        let owners = self.of_kind("Deployment").chain(self.of_kind("Job"));
        owners.map(|owner| (text(&owner["metadata"]["name"]), &owner["spec"]["template"])).collect()
    }
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Returns the variables of an example file, including those that are commented out.
fn example_variable_names(service: &str) -> BTreeSet<String> {
    let example = workspace::root().join(format!(".env.{service}.example"));
    let example = fs::read_to_string(example).expect("the example");
    let names = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    let is_name = |name: &str| name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    names.filter(|(name, _)| is_name(name)).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn kubernetes_objects_match_schema() {
    let [small, production] = KUSTOMIZE_OVERLAYS.map(KubernetesObjects::render);
    for objects in [&small, &production] {
        assert!(objects.0.len() > 20);
        let strangers = objects.0.iter().filter(|object| object["metadata"]["namespace"] != "enablebot");
        let strangers: Vec<_> = strangers.map(|object| &object["kind"]).collect();
        assert_eq!(strangers, ["Namespace"]);
    }
    let first = |kind| small.of_kind(kind).next().expect("one").clone();
    let mut misspelt = first("Deployment");
    misspelt["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = json!({});
    let mut mistyped = first("PodDisruptionBudget");
    mistyped["spec"]["selector"] = json!("all");
    let mut unknown = first("Service");
    unknown["apiVersion"] = json!("v2");
    let mut all = [small.0, production.0].concat();
    assert_eq!(kubernetes::list_schema_errors(&all).expect("they are looked at"), [""; 0]);
    all.extend([misspelt, mistyped, unknown]);
    let faults = kubernetes::list_schema_errors(&all).expect("they are looked at");
    for word in ["livenesProbe", "spec.selector", "api version v2"] {
        let found = faults.iter().filter(|fault| fault.contains(word)).count();
        assert_eq!(found, kubernetes::KUBERNETES_RELEASES.len(), "{word}: {faults:?}");
    }
    assert_eq!(faults.len(), 3 * kubernetes::KUBERNETES_RELEASES.len(), "{faults:?}");
}

/// The README applies `-l 'app.kubernetes.io/component in (shared, migrate)'` first.
#[test]
fn first_apply_covers_migrate_job() {
    for overlay in KUSTOMIZE_OVERLAYS {
        let objects = KubernetesObjects::render(overlay);
        let is_first = |object: &&Value| {
            let component = &object["metadata"]["labels"]["app.kubernetes.io/component"];
            component == "shared" || component == "migrate"
        };
        let first = KubernetesObjects(objects.0.iter().filter(is_first).cloned().collect());
        assert_eq!((first.names("Namespace").len(), first.names("Deployment").len()), (1, 0));
        let policies = [first.names("NetworkPolicy"), objects.names("NetworkPolicy")];
        assert_eq!(policies[0], policies[1]);
        let pods = first.pod_templates();
        let spec = &pods["enablebot-migrate"]["spec"];
        let sources = &spec["containers"][0]["envFrom"];
        assert_eq!(spec["containers"][0]["args"], json!(["migrate", "--service-role", SERVICE_ROLE]));
        // The services do not get the owner's address.
        assert_eq!(
            sources[1]["secretRef"]["name"].as_str().map(|name| name.starts_with("enablebot-migrate")),
            Some(true)
        );
        assert!(first.names("ServiceAccount").contains(text(&spec["serviceAccountName"])));
        assert!(first.names("ConfigMap").contains(text(&sources[0]["configMapRef"]["name"])));
        assert!(first.names("Secret").contains(text(&sources[1]["secretRef"]["name"])));
    }
}

/// `TRUSTED_PROXIES` can only name the network of the pods, so no other pod may connect.
#[test]
fn only_proxy_and_prometheus_pods_may_connect() {
    for overlay in KUSTOMIZE_OVERLAYS {
        let objects = KubernetesObjects::render(overlay);
        let policies = objects.of_kind("NetworkPolicy").filter(|policy| policy["spec"]["ingress"].is_array());
        let rules: Vec<_> = policies.flat_map(|policy| list(&policy["spec"]["ingress"])).collect();
        let peers: Vec<_> = rules.iter().flat_map(|rule| list(&rule["from"])).collect();
        assert_eq!(peers.len(), 2, "{overlay}: {peers:?}");
        for peer in peers {
            let are_named = ["namespaceSelector", "podSelector"].map(|selector| peer[selector].is_object());
            assert_eq!(are_named, [true, true], "{overlay}: {peer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_accept_config_and_export_hpa_metrics() {
    let objects = KubernetesObjects::render("production");
    let settings = &objects.of_kind("ConfigMap").next().expect("one")["data"];
    let settings = settings.as_object().expect("a map").iter();
    let settings: Vec<(&str, &str)> = settings.map(|(name, value)| (name.as_str(), text(value))).collect();
    for service in ["api", "web"] {
        let known = example_variable_names(service);
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
            assert_eq!(
                http::send_request(port, "GET", path, &[], "").expect("an answer").status,
                200,
                "{path}"
            );
        }
    }
    let told = http::send_request(app.apis[1].port, "GET", "/metrics", &[], "").expect("an answer").body;
    let adapter = workspace::root().join("deploy/kubernetes/metrics-adapter.yaml");
    let adapter = kubernetes::read_yaml_documents(&adapter).expect("YAML");
    let series = list(&adapter[0]["externalRules"]).iter().map(|rule| text(&rule["seriesQuery"]));
    let series: BTreeSet<&str> = series.filter_map(|query| query.split('{').next()).collect();
    assert!(series.iter().all(|name| told.contains(&format!("\n{name} "))), "{series:?}");
    let metrics =
        objects.of_kind("HorizontalPodAutoscaler").flat_map(|scaler| list(&scaler["spec"]["metrics"]));
    let external = metrics.filter(|metric| metric["type"] == "External");
    let external: BTreeSet<&str> =
        external.map(|metric| text(&metric["external"]["metric"]["name"])).collect();
    assert_eq!((external.len(), external), (2, series));
}
