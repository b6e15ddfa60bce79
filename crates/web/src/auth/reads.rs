//! Database reads for a page: from the read replica where there is one, or from the primary right after a
//! change.

use db::{Db, DbError, Tx};
use models::TenantId;

use super::current_user::CurrentUser;
use crate::state::WebState;

impl CurrentUser {
    /// Returns the database that this person's pages read from.
    pub(crate) fn read_db(&self, app: &WebState) -> Db {
        if self.has_recent_write() { app.db.primary_only() } else { app.db.clone() }
    }

    /// Reads data of the person's own workspace.
    pub(crate) async fn read<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &WebState,
        query: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        self.read_tenant(app, &self.session.tenant_id, query).await
    }

    /// Reads data of one workspace.
    pub(crate) async fn read_tenant<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &WebState,
        tenant_id: &TenantId,
        query: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        Ok(self.record_age(self.read_db(app).read(tenant_id, query).await?))
    }

    /// Reads data of all workspaces.
    pub(crate) async fn read_cross_tenant<T, F: Future<Output = Result<T, DbError>>>(
        &self,
        app: &WebState,
        query: impl Fn(Tx) -> F,
    ) -> Result<T, DbError> {
        Ok(self.record_age(self.read_db(app).read_cross_tenant(query).await?))
    }
}
