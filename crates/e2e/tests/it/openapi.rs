//! `GET /api/openapi.json` describes `/api/chat`: a program that reads it sends everything that it allows and
//! forbids.

use std::process::Command;

use xtask::schemathesis;

use crate::test_app::{ADA, TestApp};

const SCHEMATHESIS_CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn api_conforms_to_openapi() {
    let app = TestApp::installed().await;
    app.simulator.set_model_options("ttft=0&gap=0&words=3");
    let key = app.create_api_key(ADA, &["chat", "people"]).await;
    let mut asking = Command::new(schemathesis::find_or_install().expect("it is installed"));
    asking.args([
        "run",
        "--workers",
        "2",
        "--max-examples",
        "25",
        "--max-time",
        "40",
        "--generation-deterministic",
    ]);
    asking.args(["--checks", SCHEMATHESIS_CHECKS]);
    asking.args(["--no-color", "--header", &format!("Authorization: Bearer {key}")]);
    asking.arg(format!("{}/api/openapi.json", app.apis[0].url())).current_dir(xtask::workspace::target());
    let asked =
        tokio::task::spawn_blocking(move || asking.output()).await.expect("it ends").expect("it runs");
    let told = String::from_utf8_lossy(&asked.stdout).into_owned();
    let errors = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success(), "{told}\n{errors}");
    app.wait_idle().await;
}
