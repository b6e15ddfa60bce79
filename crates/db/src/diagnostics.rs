//! Queries of `web doctor`: the configuration of the database, and what in it needs attention.

use chrono::{DateTime, Utc};
use crypto::WrappedKey;
use models::TenantId;
use uuid::Uuid;

use crate::{Db, DbError, Tx};

/// Data keys read per query.
const DATA_KEY_PAGE: i64 = 1000;

/// The Postgres server, and the permissions of the services' role.
#[derive(Clone, Debug)]
pub struct PostgresServer {
    /// Version, like `15.14`.
    pub version: String,
    /// Role of `DATABASE_URL`.
    pub role: String,
    /// True if that role may act as both roles that the migrations create; false if they do not exist yet.
    pub has_service_roles: bool,
    /// True if the server accepts writes.
    pub is_primary: bool,
    /// True if an acknowledged commit survives a crash: `fsync` and `synchronous_commit`.
    pub is_durable: bool,
    /// True if Postgres sees this connection as encrypted. Behind a pooler this is the pooler's connection.
    pub is_encrypted: bool,
    /// `max_connections` minus the connections reserved for superusers.
    pub connections_allowed: i32,
    /// Connections open now, of all clients.
    pub connections_open: i64,
}

impl Db {
    /// Inspects the server as the role of `DATABASE_URL`. The schema need not exist.
    ///
    /// # Errors
    /// Postgres does not respond, or returns an error.
    pub async fn inspect_server(&self) -> Result<PostgresServer, DbError> {
        let mut tx = self.begin_as_owner().await?;
        Ok(sqlx::query_as!(
            PostgresServer,
            r#"select current_setting('server_version') as "version!", current_user::text as "role!",
                      (select count(*) = 2 from pg_roles wanted
                       where wanted.rolname in ('enablebot_tenant', 'enablebot_service')
                         and pg_has_role(wanted.oid, 'member')) as "has_service_roles!",
                      not pg_is_in_recovery() as "is_primary!",
                      current_setting('fsync') = 'on' and current_setting('synchronous_commit') <> 'off' as "is_durable!",
                      coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as "is_encrypted!",
                      current_setting('max_connections')::integer
                          - current_setting('superuser_reserved_connections')::integer as "connections_allowed!",
                      (select count(*) from pg_stat_activity where backend_type = 'client backend')
                          as "connections_open!"
               from pg_roles where rolname = current_user"#
        )
        .fetch_one(&mut tx)
        .await?)
    }

    /// Returns the server's current time.
    ///
    /// # Errors
    /// Postgres does not respond.
    pub async fn server_time(&self) -> Result<DateTime<Utc>, DbError> {
        crate::rotation::server_time(&mut self.begin_as_owner().await?).await
    }

    /// Lists the ways in which others can access the schema: everyone (`public`), the roles of Supabase's
    /// REST interface, or that interface's own list of schemas.
    ///
    /// # Errors
    /// Postgres does not respond.
    pub async fn list_exposures(&self) -> Result<Vec<String>, DbError> {
        let mut tx = self.begin_as_owner().await?;
        Ok(sqlx::query_scalar!(
            r#"select who as "who!" from
                   (select 'role ' || rolname as who from pg_roles, to_regnamespace('enablebot') as schema
                    where rolname in ('anon', 'authenticated') and has_schema_privilege(rolname, schema, 'usage')
                    union all
                    select 'everybody (public)' from to_regnamespace('enablebot') as schema
                    where has_schema_privilege('public', schema, 'usage')
                    union all
                    select 'the REST interface (pgrst.db_schemas)' from pg_db_role_setting, unnest(setconfig) as setting
                    where setting ~ '^pgrst\.db_schemas=.*\menablebot\M') as found
               order by who"#
        )
        .fetch_all(&mut tx)
        .await?)
    }

    /// Lists the tables with a tenant whose row-level security is off, not forced, or without a policy.
    ///
    /// # Errors
    /// Postgres does not respond.
    pub async fn list_unprotected_tables(&self) -> Result<Vec<String>, DbError> {
        let mut tx = self.begin_as_owner().await?;
        // A partition that our roles cannot read directly is only reached through its parent.
        Ok(sqlx::query_scalar!(
            r#"select c.relname::text as "name!" from pg_class c
               where c.relnamespace = to_regnamespace('enablebot') and c.relkind in ('r', 'p')
                 and (c.relname = 'event_inbox' or exists
                      (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id'))
                 and (not c.relispartition or exists
                      (select from pg_roles r where r.rolname = 'enablebot_tenant'
                         and has_table_privilege(r.oid, c.oid, 'select, insert, update, delete')))
                 and not (c.relrowsecurity and c.relforcerowsecurity
                          and exists (select from pg_policy p where p.polrelid = c.oid))
               order by 1"#
        )
        .fetch_all(&mut tx)
        .await?)
    }

    /// Returns the time of the last backup recorded in `backups`; `None` if there is none.
    ///
    /// # Errors
    /// Postgres does not respond.
    pub async fn find_last_backup(&self) -> Result<Option<DateTime<Utc>>, DbError> {
        let mut tx = self.begin_cross_tenant().await?;
        Ok(sqlx::query_scalar!("select max(taken_at) from backups").fetch_one(&mut tx).await?)
    }
}

/// Result of unwrapping every data key.
#[derive(Clone, Debug, Default)]
pub struct UnwrapReport {
    /// Number of keys that were unwrapped.
    pub opened: u64,
    /// Keys that could not be unwrapped: the tenant and the error.
    pub failed: Vec<(TenantId, String)>,
}

/// Tries to unwrap every stored data key. The report contains no key.
pub async fn check_data_keys(tx: &mut Tx) -> Result<UnwrapReport, DbError> {
    let (master, mut found, mut after) = (tx.master_keys(), UnwrapReport::default(), Uuid::nil());
    loop {
        let page = sqlx::query!(
            "select tenant_id, key_id, master_key_id, wrapped_key from encryption_keys
             where key_id > $1 order by key_id limit $2",
            after,
            DATA_KEY_PAGE,
        )
        .fetch_all(&mut *tx)
        .await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.key_id;
        for row in page {
            let stored =
                WrappedKey { id: row.key_id, master_key_id: row.master_key_id, wrapped: row.wrapped_key };
            match master.unwrap(&row.tenant_id, &stored) {
                Ok(_) => found.opened += 1,
                Err(error) => found.failed.push((row.tenant_id.into(), error.to_string())),
            }
        }
    }
}

/// Dead letters that need attention.
#[derive(Clone, Debug)]
pub struct DeadLetterCount {
    /// Number of dead letters.
    pub count: i64,
    /// Tenant with the most dead letters.
    pub tenant_id: Option<String>,
}

/// Counts the dead letters of all tenants.
pub async fn count_dead_letters(tx: &mut Tx) -> Result<DeadLetterCount, DbError> {
    Ok(sqlx::query_as!(
        DeadLetterCount,
        r#"select count(*) as "count!", mode() within group (order by tenant_id) as "tenant_id"
           from events where outcome = 'set_aside'"#
    )
    .fetch_one(tx)
    .await?)
}
