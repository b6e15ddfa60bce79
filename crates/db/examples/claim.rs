//! Times what a worker does to get its next event, on queues of many lengths; `cargo xtask bench claim` runs it on a
//! database of its own, whose address is the first argument. What it does to the tables is its own: no event in them
//! can be answered.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::{Duration, Instant};

use crypto::MasterKeys;
use db::{Db, DbError, Settings, threads};
use sqlx::{Connection, PgConnection};

const SIZES: [i32; 4] = [10, 1_000, 100_000, 1_000_000];
const TENANTS: i32 = 1_000;
const CLAIMS: usize = 2_000;
/// The first claims fill the connection's and Postgres' caches.
const WARM_UP: usize = 100;

type Failed = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let url = std::env::args().nth(1).ok_or("the address of a database is missing")?;
    let mut fill = PgConnection::connect(&url).await?;
    sqlx::raw_sql("set search_path = enablebot").execute(&mut fill).await?;
    let url: secrecy::SecretString = url.into();
    let settings = Settings {
        urls: vec![url.clone()],
        direct_urls: vec![url],
        read_url: None,
        pool_size: 1,
        max_overflow: 0,
        pool_timeout: Duration::from_secs(30),
    };
    let db = Db::open(&settings, MasterKeys::parse("none:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")?)?;
    let mut smallest = None;
    println!("  waiting     p50 ms     p99 ms     max ms   p50 to the smallest     limit p99");
    for size in SIZES {
        fill_queue(&mut fill, size).await?;
        let mut took = Vec::with_capacity(CLAIMS);
        for round in 0..WARM_UP + CLAIMS {
            let (lease, time) = time_claim(&db).await?;
            put_back(&db, &mut fill, &lease).await?;
            took.extend((round >= WARM_UP).then_some(time));
        }
        took.sort_unstable();
        let [p50, p99, max] = [took.len() / 2, took.len() * 99 / 100, took.len() - 1]
            .map(|rank| took.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1e3));
        let ratio = p50 / *smallest.get_or_insert(p50);
        println!("{size:9} {p50:10.2} {p99:10.2} {max:10.2} {ratio:20.2}x {:>13}", "5.00");
    }
    Ok(())
}

/// Each event in a thread of its own, every tenant's threads one behind the other.
async fn fill_queue(connection: &mut PgConnection, size: i32) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("truncate events, threads cascade").execute(&mut *connection).await?;
    sqlx::query(
        "insert into events (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, user_id, body)
         select 'T' || n % $2, 'Ev' || n, 'message', 'D' || n % 5000, (1700000000 + n) || '.000000',
                (1700000000 + n) || '.000000', 'U' || n % 5000, decode(repeat(md5(n::text), 16), 'hex')
         from generate_series(1, $1) as n",
    )
    .bind(size)
    .bind(TENANTS)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into threads (tenant_id, channel_id, thread_ts, state, virtual_start)
         select tenant_id, channel_id, thread_ts, 'ready',
                (select last_value from virtual_clock)
                + row_number() over (partition by tenant_id order by seq)
         from events",
    )
    .execute(&mut *connection)
    .await?;
    sqlx::raw_sql("vacuum analyze events").execute(&mut *connection).await?;
    sqlx::raw_sql("vacuum analyze threads").execute(connection).await.map(drop)
}

/// The two transactions between a free worker and its event, each committed.
async fn time_claim(db: &Db) -> Result<(threads::Lease, Duration), Failed> {
    let began = Instant::now();
    let mut tx = db.begin_for_all().await?;
    let lease = threads::claim(&mut tx, 1, &[]).await?.pop().ok_or("nothing waits")?;
    tx.commit().await?;
    let mut tx = db.begin(&lease.tenant_id).await?;
    let event = threads::next_event(&mut tx, &lease).await?;
    tx.commit().await?;
    let took = began.elapsed();
    event.ok_or("the thread is empty")?;
    Ok((lease, took))
}

/// Not timed: the thread goes to the end of its tenant's, so that the queue stays as long as it is.
async fn put_back(db: &Db, connection: &mut PgConnection, lease: &threads::Lease) -> Result<(), Failed> {
    let released: Result<(), DbError> = async {
        let mut tx = db.begin(&lease.tenant_id).await?;
        threads::release(&mut tx, lease).await?;
        tx.commit().await
    }
    .await;
    released?;
    sqlx::query(
        "update threads t set virtual_start = 1 + greatest(
             (select last_value from virtual_clock),
             (select max(virtual_start) from threads where tenant_id = t.tenant_id and state = 'ready'))
         where tenant_id = $1 and channel_id = $2 and thread_ts = $3",
    )
    .bind(lease.tenant_id.as_str())
    .bind(lease.thread.channel_id.as_str())
    .bind(lease.thread.thread_ts.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
