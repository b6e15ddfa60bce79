//! The Dockerfiles: built by buildah on a Debian that debootstrap makes, and run by podman as compose would run them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::images::{self, SERVICES, Store};
use xtask::workspace;

use crate::ground::binaries;

/// Bytes that an image may have besides the program: libc and its like, root certificates, licences.
const AROUND: u64 = 5_000_000;

/// The programs here are those that all tests have, not optimized; `cargo xtask images` compiles as the files say.
#[test]
fn images_run_with_no_rights_and_nothing_to_write_to() {
    let store = Store::open().expect("buildah, podman and runc");
    let images = SERVICES.map(|service| {
        let program = binaries().path(service).expect("it is built");
        images::build_of(&store, service, program).expect("it becomes an image")
    });
    let tried = images::try_out(&store, &images).expect("they run");
    images::tell(&images, &tried);
    for ((service, image), tried) in SERVICES.iter().zip(&images).zip(&tried) {
        assert_eq!(tried.version, format!("{service} {}", env!("CARGO_PKG_VERSION")));
        assert!(tried.unhealthy.contains("nothing answers /health on port"), "{}", tried.unhealthy);
        let look = |root: &Path| Ok((root.join(service).metadata()?.len(), entries(root)));
        let (program, files) = store.look(image, look).expect("its files");
        assert!(tried.size - program < AROUND, "{} bytes around {program}", tried.size - program);
        let shells: Vec<&String> = files.iter().filter(|file| file.contains("bin/")).collect();
        assert!(shells.is_empty() && files.len() < 30, "{files:?}");
        let check = store.inspect(image, "{{json .HealthCheck.Test}}").expect("a health check");
        assert_eq!(check, format!(r#"["CMD","/{service}","health"]"#));
        let title = store.inspect(image, r#"{{index .Labels "org.opencontainers.image.title"}}"#);
        assert_eq!(title.expect("labels"), format!("EnableBot {service}"));
    }
}

#[test]
fn the_two_dockerfiles_differ_by_the_service_alone() {
    let [api, web] = SERVICES.map(|service| {
        let file = workspace::root().join(format!("docker/Dockerfile.{service}"));
        let text = fs::read_to_string(file).expect("a Dockerfile");
        let common =
            text.lines().filter(|line| !line.contains("Dockerfile.") && !line.contains("image.description="));
        common.map(|line| format!("{line}\n")).collect::<String>()
    });
    assert_ne!(api, web);
    assert_eq!(api, web.replace("web", "api").replace("8000", "8001"));
}

/// The workspace, and neither what was built here nor a secret.
#[test]
fn a_build_sees_the_workspace_alone() {
    let store = Store::open().expect("buildah, podman and runc");
    let file = store.scratch("context").expect("a folder").join("Dockerfile");
    fs::write(&file, "FROM scratch\nCOPY . /\n").expect("it is written");
    let image = "localhost/enablebot-context";
    let mut buildah = store.buildah("build");
    buildah.args(["--tag", image, "--file"]).arg(&file).arg(workspace::root());
    workspace::output(&mut buildah).expect("it is built");
    let seen = store.look(image, |root| Ok(entries(root))).expect("its files");
    // The doctor knows the variables by their examples.
    let examples = [".env.api.example", ".env.web.example"];
    let what = ["Cargo.toml", "Cargo.lock", ".cargo", ".sqlx", "crates", "migrations"];
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).args(what).args(examples);
    let known = workspace::output(git.current_dir(workspace::root())).expect("git");
    let known = known.lines().filter(|file| workspace::root().join(file).exists());
    assert_eq!(seen, known.map(str::to_owned).collect::<BTreeSet<_>>());
}

/// All files below a folder, named from there.
fn entries(root: &Path) -> BTreeSet<String> {
    let mut find = Command::new("find");
    find.args([".", "-type", "f", "-printf", "%P\n"]).current_dir(root);
    workspace::output(&mut find).expect("find").lines().map(str::to_owned).collect()
}
