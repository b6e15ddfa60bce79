//! Rules for every pod of `deploy/kubernetes`.

use serde_json::{Value, json};

use crate::kubernetes::{KUSTOMIZE_OVERLAYS, KubernetesObjects, list, text};

/// The time in which a service ends after SIGTERM.
const DRAIN_SECONDS: u64 = 30;

/// Returns the number of pod kinds that a selector matches.
fn count_selected_pods(objects: &KubernetesObjects, selector: &Value) -> usize {
    objects
        .pod_templates()
        .values()
        .filter(|pod| matches_selector(selector, &pod["metadata"]["labels"]))
        .count()
}

fn matches_selector(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut equal = equal.map(|(name, value)| labels[name] == *value);
    let within = selector["matchExpressions"].as_array().into_iter().flatten();
    let mut within = within.map(|rule| {
        assert_eq!(rule["operator"], "In");
        list(&rule["values"]).contains(&labels[text(&rule["key"])])
    });
    equal.all(|holds| holds) && within.all(|holds| holds)
}

#[test]
fn pods_are_restricted() {
    for overlay in KUSTOMIZE_OVERLAYS {
        let objects = KubernetesObjects::render(overlay);
        let pods = objects.pod_templates();
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
            assert!(objects.names("Secret").contains(secret) && secret.starts_with(name), "{secret}");
        }
    }
}

#[test]
fn pods_are_probed_and_drained() {
    for overlay in KUSTOMIZE_OVERLAYS {
        let objects = KubernetesObjects::render(overlay);
        for deployment in objects.of_kind("Deployment") {
            let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
            assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
            assert_eq!(count_selected_pods(&objects, &spec["selector"]), 1);
            let container = &pod["containers"][0];
            let notes = &spec["template"]["metadata"]["annotations"];
            assert_eq!(notes["prometheus.io/port"], container["ports"][0]["containerPort"].to_string());
            let paths = ["startupProbe", "livenessProbe", "readinessProbe"]
                .map(|probe| &container[probe]["httpGet"]["path"]);
            assert_eq!(paths, ["/health", "/health", "/health/ready"]);
            let pause = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("a pause");
            let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a grace");
            // The endpoint is removed after at most two failed probes, or at once if SIGTERM is announced.
            assert!(pause >= 5 && grace >= pause + DRAIN_SECONDS, "{pause} and {grace}");
            let apart =
                &pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0];
            let zones = &pod["topologySpreadConstraints"][0];
            for selector in [&apart["podAffinityTerm"]["labelSelector"], &zones["labelSelector"]] {
                assert_eq!(selector, &spec["selector"]);
            }
            let is_scaled =
                |scaler: &&Value| scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"];
            let scalers = objects.of_kind("HorizontalPodAutoscaler").filter(is_scaled).count();
            // A replica count next to an autoscaler would undo its work at each apply.
            assert_ne!(spec["replicas"].is_number(), scalers == 1, "{overlay}");
        }
        for budget in objects.of_kind("PodDisruptionBudget") {
            assert_eq!(
                (
                    &budget["spec"]["maxUnavailable"],
                    count_selected_pods(&objects, &budget["spec"]["selector"])
                ),
                (&json!(1), 1)
            );
        }
        for service in objects.of_kind("Service").filter(|service| service["spec"]["selector"].is_object()) {
            let selector = json!({ "matchLabels": service["spec"]["selector"] });
            assert_eq!(count_selected_pods(&objects, &selector), 1);
            let pods = objects.pod_templates();
            let ports = &pods[text(&service["metadata"]["name"])]["spec"]["containers"][0]["ports"];
            assert_eq!(service["spec"]["ports"][0]["targetPort"], ports[0]["name"]);
            assert_eq!(service["spec"]["ports"][0]["port"], ports[0]["containerPort"]);
        }
        for policy in objects.of_kind("NetworkPolicy") {
            assert!(count_selected_pods(&objects, &policy["spec"]["podSelector"]) >= 2, "{policy}");
        }
        let denied =
            objects.of_kind("NetworkPolicy").find(|policy| policy["metadata"]["name"] == "default-deny");
        let denied = &denied.expect("it is there")["spec"];
        assert_eq!(denied, &json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
    }
    let bounds = KubernetesObjects::render("production");
    let bounds = bounds.of_kind("HorizontalPodAutoscaler").map(|scaler| {
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
