//! Benchmarks how long a worker takes to claim its next event, and how long one call that drains the inbox
//! takes, on queues of several lengths and with several numbers of tenants. `cargo xtask bench claim` runs it
//! on a separate database. The first argument is the address of that database; the second, which is optional,
//! caps every size. It fills the tables with test rows: no event in them can be answered.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::{Duration, Instant};

use crypto::MasterKeys;
use db::{Db, DbError, DbSettings, EventListener, PinnedConnection, event_inbox, threads};
use sqlx::{Connection, PgConnection};

const QUEUE_SIZES: [i32; 4] = [10, 1_000, 100_000, 1_000_000];
const TENANT_COUNTS: [i32; 2] = [1_000, 100_000];
const CLAIM_ROUNDS: usize = 2_000;
/// Claims before the timed ones: they fill the caches of the connection and of Postgres.
const WARM_UP_CLAIMS: usize = 100;

/// Calls that drain the inbox. Each one drains `BATCHES_PER_DRAIN` batches of `EVENTS_PER_BATCH` events.
const DRAIN_ROUNDS: i32 = 60;
const BATCHES_PER_DRAIN: i32 = 16;
const EVENTS_PER_BATCH: i32 = 64;
/// Ready threads in the queue while the inbox is drained.
const READY_THREADS: i32 = 100_000;

type BenchError = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BenchError> {
    let url = std::env::args().nth(1).ok_or("missing argument: database address")?;
    let max_size = std::env::args().nth(2).map_or(Ok(i32::MAX), |size| size.parse())?;
    let cap = |counts: &[i32]| counts.iter().map(|count| max_size.min(*count)).collect::<Vec<_>>();
    let (sizes, all_tenants) = (cap(&QUEUE_SIZES), cap(&TENANT_COUNTS));
    let mut fill = PgConnection::connect(&url).await?;
    sqlx::raw_sql("set search_path = enablebot").execute(&mut fill).await?;
    let url: secrecy::SecretString = url.into();
    let settings = DbSettings {
        urls: vec![url.clone()],
        direct_urls: vec![url],
        read_url: None,
        pool_size: 1,
        max_overflow: 0,
        pool_timeout: Duration::from_secs(30),
    };
    let db = Db::open(&settings, MasterKeys::parse("none:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")?)?;
    // As in the services: connecting a listener proves that there is no pooler, so query plans are kept.
    EventListener::connect(&db).await?;
    let mut smallest = None;
    println!("  tenants   queued     p50 ms     p99 ms     max ms      p50 vs. smallest     limit p99");
    for &tenants in &all_tenants {
        install_tenants(&mut fill, tenants).await?;
        for &size in &sizes {
            fill_queue(&mut fill, size, tenants).await?;
            let mut times = Vec::with_capacity(CLAIM_ROUNDS);
            for round in 0..WARM_UP_CLAIMS + CLAIM_ROUNDS {
                let (lease, time) = time_claim(&db).await?;
                requeue(&db, &mut fill, &lease).await?;
                times.extend((round >= WARM_UP_CLAIMS).then_some(time));
            }
            let [p50, p99, max] = percentiles(times);
            let ratio = p50 / *smallest.get_or_insert(p50);
            println!("{tenants:9} {size:8} {p50:10.2} {p99:10.2} {max:10.2} {ratio:20.2}x {:>13}", "5.00");
        }
    }
    println!("\n  tenants  events a call     p50 ms     p99 ms     max ms   events/s");
    for &tenants in &all_tenants {
        fill_queue(&mut fill, max_size.min(READY_THREADS), tenants).await?;
        let mut session = PinnedConnection::new(&db);
        let mut times = Vec::new();
        for round in 0..DRAIN_ROUNDS {
            fill_inbox(&mut fill, round, tenants).await?;
            let started = Instant::now();
            let stats = event_inbox::enqueue_pending(&mut session).await?.ok_or("the inbox is empty")?;
            times.push(started.elapsed());
            if stats.stored != u64::from((BATCHES_PER_DRAIN * EVENTS_PER_BATCH).unsigned_abs()) {
                return Err(format!("not all events were moved into the queue: {stats:?}").into());
            }
        }
        let total: Duration = times.iter().sum();
        let rate = f64::from(DRAIN_ROUNDS * BATCHES_PER_DRAIN * EVENTS_PER_BATCH) / total.as_secs_f64();
        let [p50, p99, max] = percentiles(times);
        println!(
            "{tenants:9} {:14} {p50:10.2} {p99:10.2} {max:10.2} {rate:10.0}",
            BATCHES_PER_DRAIN * EVENTS_PER_BATCH
        );
    }
    Ok(())
}

/// Returns the median, the 99th percentile and the maximum, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    let ranks = [times.len() / 2, times.len() * 99 / 100, times.len().saturating_sub(1)];
    ranks.map(|rank| times.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1e3))
}

/// Installs the workspaces: the events of workspaces without an installation are dropped.
async fn install_tenants(connection: &mut PgConnection, tenants: i32) -> Result<(), sqlx::Error> {
    sqlx::query("insert into tenants (tenant_id, name) select 'T' || n, 'T' || n from generate_series(0, $1 - 1) as n on conflict do nothing")
        .bind(tenants)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into installations (tenant_id, team_id, app_id, bot_user_id, bot_token, scopes, installed_by)
         select 'T' || n, 'T' || n, 'A1', 'UBOT', '', '', 'U1' from generate_series(0, $1 - 1) as n on conflict do nothing",
    )
    .bind(tenants)
    .execute(&mut *connection)
    .await?;
    sqlx::raw_sql("vacuum analyze tenants").execute(&mut *connection).await?;
    sqlx::raw_sql("vacuum analyze installations").execute(connection).await.map(drop)
}

/// Fills the inbox with as many batches as one call drains: new threads of workspaces spread over all of
/// them.
async fn fill_inbox(connection: &mut PgConnection, round: i32, tenants: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into event_inbox (event_count, tenant_ids, event_ids, kinds, channel_ids, thread_tss, message_tss,
                                 client_msg_ids, user_ids, joined_bodies, body_starts, body_sizes, is_addressed)
         select $3, array_agg('T' || (number * 7919) % $2), array_agg('EvS' || number), array_agg('message'::text),
                array_agg('D' || number % 5000), array_agg((1800000000 + number) || '.000000'),
                array_agg((1800000000 + number) || '.000000'), array_agg(null::text), array_agg('U' || number % 5000),
                decode(repeat('ab', 500 * $3), 'hex'), array_agg((n - 1) * 500 + 1), array_agg(500), array_agg(true)
         from generate_series(0, $4 - 1) as batch, generate_series(1, $3) as n,
              lateral (select ($1 * $4 + batch)::bigint * $3 + n as number) as numbered
         group by batch",
    )
    .bind(round)
    .bind(tenants)
    .bind(EVENTS_PER_BATCH)
    .bind(BATCHES_PER_DRAIN)
    .execute(connection)
    .await
    .map(drop)
}

/// Fills the queue. Each event has its own thread; each tenant's threads are queued one behind the other.
async fn fill_queue(connection: &mut PgConnection, size: i32, tenants: i32) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("truncate events, threads cascade").execute(&mut *connection).await?;
    sqlx::query(
        "insert into events (tenant_id, event_id, kind, channel_id, thread_ts, message_ts, user_id, body)
         select 'T' || n % $2, 'Ev' || n, 'message', 'D' || n % 5000, (1700000000 + n) || '.000000',
                (1700000000 + n) || '.000000', 'U' || n % 5000, decode(repeat(md5(n::text), 16), 'hex')
         from generate_series(1, $1) as n",
    )
    .bind(size)
    .bind(tenants)
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

/// Times the two transactions between a free worker and its event. Both are committed.
async fn time_claim(db: &Db) -> Result<(threads::Lease, Duration), BenchError> {
    let started = Instant::now();
    let mut tx = db.begin_cross_tenant().await?;
    let lease = threads::claim(&mut tx, 1, &[]).await?.pop().ok_or("the queue is empty")?;
    tx.commit().await?;
    let mut tx = db.begin(&lease.tenant_id).await?;
    let event = threads::next_event(&mut tx, &lease).await?;
    tx.commit().await?;
    let duration = started.elapsed();
    event.ok_or("the thread is empty")?;
    Ok((lease, duration))
}

/// Moves the thread to the end of its tenant's queue, so that the queue keeps its length. This is not timed.
async fn requeue(db: &Db, connection: &mut PgConnection, lease: &threads::Lease) -> Result<(), BenchError> {
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
