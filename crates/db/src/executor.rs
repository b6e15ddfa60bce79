//! Runs every query of a [`Tx`]. Queries are prepared by name, so that the session plans each one once, if
//! the connection is a real session; otherwise they are unnamed. A transaction pooler assigns each
//! transaction another session, in which a named statement is unknown or belongs to someone else; an unnamed
//! statement is safe within one transaction. [`Tx::disable_prepared`] has queries planned for the current
//! contents of the tables. `web` does not listen, so its queries are unnamed: its lists are planned for their
//! filter values.

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
        let is_prepared = self.is_prepared();
        self.connection().fetch_many(MaybePrepared { query, is_prepared })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let is_prepared = self.is_prepared();
        self.connection().fetch_optional(MaybePrepared { query, is_prepared })
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
