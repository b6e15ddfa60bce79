//! Runs every query under a name, so that its session plans it once, where that session is one's own; and else unnamed. A
//! transaction pooler hands the next transaction another session, where a named prepared statement is unknown, or is
//! somebody else's; inside one transaction the unnamed one is safe. What has to be planned by what is in the tables at that
//! moment says so with [`Tx::disable_prepared`]. `web`, which does not listen, asks unnamed: its lists are planned for what they are
//! filtered by.

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, Postgres, SqlStr};

use crate::Tx;

struct MaybePrepared<E> {
    query: E,
    is_prepared: bool,
}

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for MaybePrepared<E> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.is_prepared && self.query.persistent()
    }
}

impl<'c> Executor<'c> for &'c mut Tx {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let is_kept = self.is_prepared();
        self.connection().fetch_many(MaybePrepared { query, is_prepared: is_kept })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let is_kept = self.is_prepared();
        self.connection().fetch_optional(MaybePrepared { query, is_prepared: is_kept })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection().describe(sql)
    }
}
