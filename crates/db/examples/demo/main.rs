//! Fills a database with three months of two workspaces that end now: `cargo dev --demo` and `cargo xtask bench overview`
//! run it. What happened there is made up, the same every time; what is sealed is sealed as the services do it. A workspace
//! in which somebody asked already is left as it is.
//!
//! `DATABASE_URL` and `ENCRYPTION_KEYS` are those of the services. With a number it also opens so many sessions, and prints
//! their secrets, a line each.

#![expect(clippy::print_stdout, reason = "the secrets of the sessions are for whoever started it")]
#![expect(clippy::print_stderr, reason = "how far it is, is for people")]

mod days;
mod rows;
mod talk;

use std::time::Duration;

use chrono::Utc;
use crypto::MasterKeys;
use db::sessions::{self, Session};
use db::{Db, Settings};
use models::TenantId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rows::Filling;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};

type Failed = Box<dyn std::error::Error>;

/// A workspace as the simulated Slack has it.
struct Workspace {
    tenant_id: &'static str,
    name: &'static str,
    /// What its ids end with.
    ending: &'static str,
    people: usize,
    /// Questions of a weekday, by now.
    a_day: f64,
    /// Makes what happens there.
    seed: u64,
}

const WORKSPACES: [Workspace; 2] = [
    Workspace { tenant_id: "T0ACME", name: "Acme", ending: "", people: 48, a_day: 140.0, seed: 1 },
    Workspace { tenant_id: "T0BETA", name: "Beta", ending: "BETA", people: 24, a_day: 60.0, seed: 2 },
];

/// Questions that are written in one transaction.
const BATCH: usize = 250;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let (url, keys) = (std::env::var("DATABASE_URL")?, std::env::var("ENCRYPTION_KEYS")?);
    let mut connection = PgConnection::connect(&url).await?;
    sqlx::raw_sql("set search_path = enablebot").execute(&mut connection).await?;
    let url: secrecy::SecretString = url.into();
    let settings = Settings {
        urls: vec![url.clone()],
        direct_urls: vec![url],
        read_url: None,
        pool_size: 1,
        max_overflow: 1,
        pool_timeout: Duration::from_secs(30),
    };
    let db = Db::open(&settings, MasterKeys::parse(&keys)?)?;
    let master = MasterKeys::parse(&keys)?;
    for workspace in &WORKSPACES {
        if rows::has_questions(&mut connection, workspace).await? {
            eprintln!("  {}: somebody asked there already, so it stays as it is", workspace.name);
            continue;
        }
        fill(&db, &mut connection, &master, workspace).await?;
    }
    sqlx::raw_sql("analyze").execute(&mut connection).await?;
    if let Some(count) = std::env::args().nth(1) {
        open_sessions(&db, count.parse()?).await?;
    }
    Ok(())
}

async fn fill(
    db: &Db,
    connection: &mut PgConnection,
    master: &MasterKeys,
    workspace: &Workspace,
) -> Result<(), Failed> {
    let mut random = StdRng::seed_from_u64(workspace.seed);
    let questions = days::questions(&mut random, workspace, Utc::now());
    let mut filling = Filling::begin(db, connection, master, workspace).await?;
    let count = questions.len();
    for (at, batch) in questions.chunks(BATCH).enumerate() {
        filling.write(batch).await?;
        if at % 8 == 7 {
            eprintln!("  {}: {} of {count} questions", workspace.name, (at + 1) * BATCH);
        }
    }
    filling.end(&mut random).await?;
    eprintln!("  {}: {count} questions of {} people over three months", workspace.name, workspace.people);
    Ok(())
}

/// Every fourth is an admin's.
async fn open_sessions(db: &Db, count: usize) -> Result<(), Failed> {
    let mut random = StdRng::from_rng(&mut rand::rng());
    for number in 0..count {
        let workspace = &WORKSPACES[number % WORKSPACES.len()];
        let (name, user_id) = days::person(workspace, number / WORKSPACES.len());
        let secret = format!("{:032x}", rand::RngExt::random::<u128>(&mut random));
        let session = Session {
            tenant_id: TenantId::from(workspace.tenant_id.to_owned()),
            user_id: user_id.into(),
            name: name.to_owned(),
            is_admin: number % 8 < 2,
            email: None,
            checked_at: Utc::now(),
        };
        let mut tx = db.begin(&session.tenant_id).await?;
        sessions::insert(&mut tx, &Sha256::digest(secret.as_bytes()), &session).await?;
        tx.commit().await?;
        println!("{secret}");
    }
    Ok(())
}
