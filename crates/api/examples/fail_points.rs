//! `api` with fail points, for `cargo xtask chaos`. It has a name of its own, so that it is never mistaken
//! for the binary that is shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    service::run("api", api::ApiSettings::read(), api::serve)
}
