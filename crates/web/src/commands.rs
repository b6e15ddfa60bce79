//! The operator's commands: each does one thing, says what it did, and ends.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a person at a terminal reads this")]

use std::fmt::Display;
use std::process::ExitCode;

use service::DatabaseSettings;

use crate::settings::{read_environment, read_redirect_uri};

/// `web migrate`: brings the schema up to this binary.
pub fn migrate() -> ExitCode {
    let settings = read_environment().and_then(|mut env| {
        let database = DatabaseSettings::read(&mut env);
        env.finish(|| database)
    });
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return fail(error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error),
    };
    match runtime.block_on(db::migrate(&settings.direct_url)) {
        Ok(0) => println!("The schema is up to date."),
        Ok(1) => println!("1 migration was applied; the schema is up to date."),
        Ok(applied) => println!("{applied} migrations were applied; the schema is up to date."),
        Err(error) => return fail(format!("the schema could not be brought up to date: {error}")),
    }
    ExitCode::SUCCESS
}

/// `web manifest`: prints the Slack app manifest.
pub fn manifest() -> ExitCode {
    let redirect_uri = read_environment().and_then(|mut env| {
        let redirect_uri = read_redirect_uri(&mut env);
        env.finish(|| redirect_uri)
    });
    match redirect_uri {
        Ok(uri) => {
            let manifest = slack::manifest(&uri.origin().ascii_serialization(), uri.as_str());
            println!("{manifest:#}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(error),
    }
}

fn fail(error: impl Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}
