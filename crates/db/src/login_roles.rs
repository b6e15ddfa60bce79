//! The roles that log in: the owner of the tables, which migrates, and that of the services, which should be
//! another one.

use secrecy::SecretString;
use sqlx::{Connection, PgExecutor};

use crate::primary_monitor::Addresses;
use crate::{Db, DbError};

/// Makes the role a member of the two roles that the services switch to, and lets it read the version of the
/// schema. Roles belong to the whole cluster: a migration of another database may do the same at this moment.
const ALLOW_SERVICE_ROLE: &str = "do $$
declare
    _login constant text := current_setting('enablebot.service_role');
    _role text;
begin
    foreach _role in array array['enablebot_tenant', 'enablebot_service'] loop
        for _attempt in 1..10 loop
            begin
                if not pg_has_role(_login, _role, 'member') then
                    execute format('grant %I to %I', _role, _login);
                end if;
                exit;
            exception when duplicate_object or unique_violation or internal_error then
                perform pg_sleep(0.1);
            end;
        end loop;
    end loop;
    execute format('grant usage on schema enablebot to %I', _login);
    execute format('grant select on enablebot._sqlx_migrations to %I', _login);
end $$";

/// Lets the services log in as this role, after [`crate::migrate`]. Safe to repeat. Returns what the role may
/// do besides, in words; empty is best.
///
/// # Errors
/// Postgres does not respond, [`DbError::UnknownServiceRole`], or the owner may not grant.
pub async fn allow_service_role(direct_urls: &[SecretString], role: &str) -> Result<String, DbError> {
    let addresses = Addresses::parse(direct_urls)?;
    let (_, mut connection) = addresses.connect_primary().await?;
    // A transaction and no named statement, since the address may lead through a transaction pooler.
    let mut transaction = connection.begin().await?;
    let exists =
        sqlx::query_scalar!(r#"select exists (select from pg_roles where rolname = $1) as "is!""#, role);
    if !exists.persistent(false).fetch_one(&mut *transaction).await? {
        return Err(DbError::UnknownServiceRole(role.to_owned()));
    }
    sqlx::query_scalar!("select set_config('enablebot.service_role', $1, true)", role)
        .persistent(false)
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::raw_sql(ALLOW_SERVICE_ROLE).execute(&mut *transaction).await?;
    let excess = find_excess_rights(&mut *transaction, Some(role)).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(excess)
}

impl Db {
    /// Returns what the role of `DATABASE_URL` may do that the services do not need, in words; empty is best.
    ///
    /// # Errors
    /// Postgres does not respond.
    pub async fn find_excess_rights(&self) -> Result<String, DbError> {
        find_excess_rights(&mut self.begin_as_owner().await?, None).await
    }
}

/// Looks at one role; without one, at the role of the connection.
async fn find_excess_rights(executor: impl PgExecutor<'_>, role: Option<&str>) -> Result<String, DbError> {
    Ok(sqlx::query_scalar!(
        r#"select concat_ws(', ', case when rolsuper then 'is a superuser' end,
                            case when pg_has_role(r.oid, nspowner, 'member') then 'owns the tables' end,
                            case when rolbypassrls then 'bypasses row-level security' end,
                            case when rolcreaterole then 'creates roles' end,
                            case when rolcreatedb then 'creates databases' end) as "excess!"
           from pg_roles r left join pg_namespace on nspname = 'enablebot'
           where rolname = coalesce($1, current_user)"#,
        role,
    )
    .persistent(false)
    .fetch_one(executor)
    .await?)
}
