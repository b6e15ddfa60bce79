//! Times what a worker does to get its next event, and what sorting takes, on queues of many lengths and of many tenants;
//! `cargo xtask bench claim` runs it on a database of its own, whose address is the first argument; a second one is the most of anything. What it does to the
//! tables is its own: no event in them can be answered.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::{Duration, Instant};

use crypto::MasterKeys;
use db::{Db, DbError, DbSettings, EventListener, PinnedConnection, event_inbox, threads};
use sqlx::{Connection, PgConnection};

const QUEUE_SIZES: [i32; 4] = [10, 1_000, 100_000, 1_000_000];
const TENANT_COUNTS: [i32; 2] = [1_000, 100_000];
const CLAIM_ROUNDS: usize = 2_000;
/// The first claims fill the connection's and Postgres' caches.
const WARM_UP_CLAIMS: usize = 100;

/// Calls that sort, each of as many commits as one takes and of so many events in each.
const DRAIN_ROUNDS: i32 = 60;
const BATCHES_PER_DRAIN: i32 = 16;
const EVENTS_PER_BATCH: i32 = 64;
/// Threads that are ready meanwhile.
const READY_THREADS: i32 = 100_000;

type BenchError = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BenchError> {
    let url = std::env::args().nth(1).ok_or("the address of a database is missing")?;
    let most = std::env::args().nth(2).map_or(Ok(i32::MAX), |most| most.parse())?;
    let up_to = |counts: &[i32]| counts.iter().map(|count| most.min(*count)).collect::<Vec<_>>();
    let (sizes, all_tenants) = (up_to(&QUEUE_SIZES), up_to(&TENANT_COUNTS));
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
    // As in the services: whoever has listened knows that there is no pooler, and keeps plans.
    EventListener::connect(&db).await?;
    let mut smallest = None;
    println!("  tenants  waiting     p50 ms     p99 ms     max ms   p50 to the smallest     limit p99");
    for &tenants in &all_tenants {
        install_tenants(&mut fill, tenants).await?;
        for &size in &sizes {
            fill_queue(&mut fill, size, tenants).await?;
            let mut took = Vec::with_capacity(CLAIM_ROUNDS);
            for round in 0..WARM_UP_CLAIMS + CLAIM_ROUNDS {
                let (lease, time) = time_claim(&db).await?;
                requeue(&db, &mut fill, &lease).await?;
                took.extend((round >= WARM_UP_CLAIMS).then_some(time));
            }
            let [p50, p99, max] = percentiles(took);
            let ratio = p50 / *smallest.get_or_insert(p50);
            println!("{tenants:9} {size:8} {p50:10.2} {p99:10.2} {max:10.2} {ratio:20.2}x {:>13}", "5.00");
        }
    }
    println!("\n  tenants  sorted a call     p50 ms     p99 ms     max ms   events/s");
    for &tenants in &all_tenants {
        fill_queue(&mut fill, most.min(READY_THREADS), tenants).await?;
        let mut session = PinnedConnection::new(&db);
        let mut took = Vec::new();
        for round in 0..DRAIN_ROUNDS {
            fill_inbox(&mut fill, round, tenants).await?;
            let began = Instant::now();
            let sorted =
                event_inbox::enqueue_pending(&mut session).await?.ok_or("nothing was to be sorted")?;
            took.push(began.elapsed());
            if sorted.stored != u64::from((BATCHES_PER_DRAIN * EVENTS_PER_BATCH).unsigned_abs()) {
                return Err(format!("not all were sorted into the queue: {sorted:?}").into());
            }
        }
        let all: Duration = took.iter().sum();
        let rate = f64::from(DRAIN_ROUNDS * BATCHES_PER_DRAIN * EVENTS_PER_BATCH) / all.as_secs_f64();
        let [p50, p99, max] = percentiles(took);
        println!(
            "{tenants:9} {:14} {p50:10.2} {p99:10.2} {max:10.2} {rate:10.0}",
            BATCHES_PER_DRAIN * EVENTS_PER_BATCH
        );
    }
    Ok(())
}

/// In milliseconds: the median, the 99th percentile, and the longest.
fn percentiles(mut took: Vec<Duration>) -> [f64; 3] {
    took.sort_unstable();
    let ranks = [took.len() / 2, took.len() * 99 / 100, took.len().saturating_sub(1)];
    ranks.map(|rank| took.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1e3))
}

/// Workspaces whose events are sorted; others' are dropped.
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

/// What as many acknowledgements store as one call sorts: new threads of workspaces from all over.
async fn fill_inbox(connection: &mut PgConnection, round: i32, tenants: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into deliveries (event_count, tenant_ids, event_ids, kinds, channel_ids, thread_tss, message_tss,
                                 client_msg_ids, user_ids, joined_bodies, body_starts, body_sizes, addressed)
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

/// Each event in a thread of its own, every tenant's threads one behind the other.
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

/// The two transactions between a free worker and its event, each committed.
async fn time_claim(db: &Db) -> Result<(threads::Lease, Duration), BenchError> {
    let began = Instant::now();
    let mut tx = db.begin_cross_tenant().await?;
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
