//! Fills a database with the activity of two workspaces over the last three months. `cargo dev --demo` and
//! `cargo xtask bench overview` run it. The activity is made up and the same every time. Encrypted columns
//! are encrypted as the services do it. A workspace that already has questions is left unchanged.
//!
//! `DATABASE_URL` and `ENCRYPTION_KEYS` are those of the services. With a number as argument it also opens
//! that many sessions with their `SESSION_SECRET`, and prints their secrets, one per line.

#![expect(clippy::print_stdout, reason = "the secrets of the sessions are for whoever started it")]
#![expect(clippy::print_stderr, reason = "how far it is, is for people")]

mod activity;
mod sample_dialogs;
mod seed_writer;

use std::time::Duration;

use chrono::Utc;
use crypto::{MasterKeys, SessionKey};
use db::sessions::{self, DashboardSession};
use db::{Db, DbSettings};
use models::TenantId;
use rand::SeedableRng;
use rand::rngs::StdRng;
use seed_writer::SeedWriter;
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};

type SeedError = Box<dyn std::error::Error>;

/// A workspace of the simulated Slack.
struct DemoWorkspace {
    tenant_id: &'static str,
    name: &'static str,
    /// Suffix of its ids.
    id_suffix: &'static str,
    people: usize,
    /// Questions per weekday at the end of the three months.
    questions_per_day: f64,
    /// Seed of the random number generator.
    seed: u64,
}

const DEMO_WORKSPACES: [DemoWorkspace; 2] = [
    DemoWorkspace {
        tenant_id: "T0ACME",
        name: "Acme",
        id_suffix: "",
        people: 48,
        questions_per_day: 140.0,
        seed: 1,
    },
    DemoWorkspace {
        tenant_id: "T0BETA",
        name: "Beta",
        id_suffix: "BETA",
        people: 24,
        questions_per_day: 60.0,
        seed: 2,
    },
];

/// Questions written in one transaction.
const SEED_BATCH: usize = 250;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), SeedError> {
    let (url, keys) = (std::env::var("DATABASE_URL")?, std::env::var("ENCRYPTION_KEYS")?);
    let mut connection = PgConnection::connect(&url).await?;
    sqlx::raw_sql("set search_path = enablebot").execute(&mut connection).await?;
    let url: secrecy::SecretString = url.into();
    let settings = DbSettings {
        urls: vec![url.clone()],
        direct_urls: vec![url],
        read_url: None,
        pool_size: 1,
        max_overflow: 1,
        pool_timeout: Duration::from_secs(30),
    };
    let db = Db::open(&settings, MasterKeys::parse(&keys)?)?;
    let master = MasterKeys::parse(&keys)?;
    for workspace in &DEMO_WORKSPACES {
        if seed_writer::has_questions(&mut connection, workspace).await? {
            eprintln!("  {}: already has questions, left unchanged", workspace.name);
            continue;
        }
        seed(&db, &mut connection, &master, workspace).await?;
    }
    sqlx::raw_sql("analyze").execute(&mut connection).await?;
    if let Some(count) = std::env::args().nth(1) {
        open_sessions(&db, count.parse()?).await?;
    }
    Ok(())
}

async fn seed(
    db: &Db,
    connection: &mut PgConnection,
    master: &MasterKeys,
    workspace: &DemoWorkspace,
) -> Result<(), SeedError> {
    let mut random = StdRng::seed_from_u64(workspace.seed);
    let questions = activity::questions(&mut random, workspace, Utc::now());
    let mut filling = SeedWriter::begin(db, connection, master, workspace).await?;
    let count = questions.len();
    for (at, batch) in questions.chunks(SEED_BATCH).enumerate() {
        filling.write(batch).await?;
        if at % 8 == 7 {
            eprintln!("  {}: {} of {count} questions", workspace.name, (at + 1) * SEED_BATCH);
        }
    }
    filling.finish(&mut random).await?;
    eprintln!("  {}: {count} questions of {} people over three months", workspace.name, workspace.people);
    Ok(())
}

/// Opens sessions and prints their secrets. Every fourth one belongs to an admin.
async fn open_sessions(db: &Db, count: usize) -> Result<(), SeedError> {
    let key = SessionKey::derive(std::env::var("SESSION_SECRET")?.as_bytes());
    let mut random = StdRng::from_rng(&mut rand::rng());
    for number in 0..count {
        let workspace = &DEMO_WORKSPACES[number % DEMO_WORKSPACES.len()];
        let (name, user_id) = activity::person(workspace, number / DEMO_WORKSPACES.len());
        let secret = format!("{:032x}", rand::RngExt::random::<u128>(&mut random));
        let session = DashboardSession {
            tenant_id: TenantId::from(workspace.tenant_id.to_owned()),
            user_id: user_id.into(),
            name: name.to_owned(),
            team_id: None,
            enterprise_id: None,
            is_admin: number % 8 < 2,
            email: None,
            checked_at: Utc::now(),
        };
        let mut tx = db.begin(&session.tenant_id).await?;
        let digest = Sha256::digest(secret.as_bytes());
        sessions::insert(&mut tx, &key, &digest, &session, "Demo browser").await?;
        tx.commit().await?;
        println!("{secret}");
    }
    Ok(())
}
