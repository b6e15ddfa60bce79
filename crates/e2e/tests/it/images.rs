//! The Dockerfiles: built by buildah on a Debian from debootstrap, and run by podman as compose would run
//! them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::images::{self, IMAGE_SERVICES, ImageStore};
use xtask::workspace;

use crate::fixtures::binaries;

/// Bytes of an image besides the program: libc, root certificates, licences.
const MAX_IMAGE_OVERHEAD_BYTES: u64 = 5_000_000;

/// Uses the unoptimized programs of all tests; `cargo xtask images` compiles as the files say.
#[test]
fn images_run_unprivileged_and_read_only() {
    let store = ImageStore::open().expect("buildah, podman and runc");
    let images = IMAGE_SERVICES.map(|service| {
        let program = binaries().path(service).expect("it is built");
        images::build_from_program(&store, service, program).expect("it becomes an image")
    });
    let tried = images::run_smoke_tests(&store, &images).expect("they run");
    images::print_sizes(&images, &tried);
    for ((service, image), tried) in IMAGE_SERVICES.iter().zip(&images).zip(&tried) {
        assert_eq!(tried.version, format!("{service} {}", env!("CARGO_PKG_VERSION")));
        assert!(
            tried.health_check_error.contains("no response from /health on port"),
            "{}",
            tried.health_check_error
        );
        let look = |root: &Path| Ok((root.join(service).metadata()?.len(), list_files(root)));
        let (program, files) = store.with_mounted_image(image, look).expect("its files");
        assert!(
            tried.size_bytes - program < MAX_IMAGE_OVERHEAD_BYTES,
            "{} bytes around {program}",
            tried.size_bytes - program
        );
        let shells: Vec<&String> = files.iter().filter(|file| file.contains("bin/")).collect();
        assert!(shells.is_empty() && files.len() < 30, "{files:?}");
        let check = store.inspect(image, "{{json .HealthCheck.Test}}").expect("a health check");
        assert_eq!(check, format!(r#"["CMD","/{service}","health"]"#));
        let title = store.inspect(image, r#"{{index .Labels "org.opencontainers.image.title"}}"#);
        assert_eq!(title.expect("labels"), format!("EnableBot {service}"));
    }
}

#[test]
fn dockerfiles_differ_by_service() {
    let [api, web] = IMAGE_SERVICES.map(|service| {
        let file = workspace::root().join(format!("docker/Dockerfile.{service}"));
        let text = fs::read_to_string(file).expect("a Dockerfile");
        let common =
            text.lines().filter(|line| !line.contains("Dockerfile.") && !line.contains("image.description="));
        common.map(|line| format!("{line}\n")).collect::<String>()
    });
    assert_ne!(api, web);
    assert_eq!(api, web.replace("web", "api").replace("8000", "8001"));
}

/// The build context contains the workspace, without build results and secrets.
#[test]
fn build_context_is_workspace_only() {
    let store = ImageStore::open().expect("buildah, podman and runc");
    let file = store.create_scratch_folder("context").expect("a folder").join("Dockerfile");
    fs::write(&file, "FROM scratch\nCOPY . /\n").expect("it is written");
    let image = "localhost/enablebot-context";
    let mut buildah = store.buildah("build");
    buildah.args(["--tag", image, "--file"]).arg(&file).arg(workspace::root());
    workspace::output(&mut buildah).expect("it is built");
    let seen = store.with_mounted_image(image, |root| Ok(list_files(root))).expect("its files");
    // The doctor reads the variables' names from the examples.
    let examples = [".env.api.example", ".env.web.example"];
    let what = ["Cargo.toml", "Cargo.lock", ".cargo", ".sqlx", "crates", "migrations"];
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).args(what).args(examples);
    let known = workspace::output(git.current_dir(workspace::root())).expect("git");
    let known = known.lines().filter(|file| workspace::root().join(file).exists());
    assert_eq!(seen, known.map(str::to_owned).collect::<BTreeSet<_>>());
}

/// Lists all files below a folder, by relative path.
fn list_files(root: &Path) -> BTreeSet<String> {
    let mut find = Command::new("find");
    find.args([".", "-type", "f", "-printf", "%P\n"]).current_dir(root);
    workspace::output(&mut find).expect("find").lines().map(str::to_owned).collect()
}
