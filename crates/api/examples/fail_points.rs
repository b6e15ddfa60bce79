//! `api` with fail points, for `cargo xtask chaos`: of its own name, so that it is never taken for the one that is
//! shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run("api", api::ApiSettings::read(), api::serve)
}
