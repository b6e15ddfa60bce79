//! `POST /dashboard/data/export.tar`: everything of the workspace, read while it is sent. The rows of a table are cut into
//! numbered parts, since an archive says of each part how long it is before it comes.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use db::audit_log::AuditAction;
use db::sessions::DashboardSession;
use db::{Db, DbError, Tx};
use futures_util::stream;
use models::TenantId;
use serde_json::json;
use tar::Header;
use uuid::Uuid;

use super::{data, database_error};
use crate::auth::WorkspaceAdmin;
use crate::state::WebState;

/// Rows in a part.
const EXPORT_PART_ROWS: i64 = 1_000;

/// The unit of an archive; two empty ones are its end.
const TAR_BLOCK_BYTES: usize = 512;

pub(crate) async fn export(
    State(app): State<Arc<WebState>>,
    WorkspaceAdmin(signed_in): WorkspaceAdmin,
) -> Response {
    let session = &signed_in.session;
    let walk = match ExportStream::begin(&app.db, signed_in.read_db(&app), session).await {
        Ok(walk) => walk,
        Err(error) => return database_error(&error),
    };
    let name = format!("attachment; filename=\"{}.tar\"", walk.folder);
    let pieces = stream::try_unfold(walk, |mut walk| async move {
        let piece = walk.next_chunk().await.inspect_err(|error| walk.record.mark_failed(error))?;
        Ok::<_, DbError>(piece.map(|piece| (piece, walk)))
    });
    let headers = [
        (CONTENT_TYPE, "application/x-tar"),
        (CONTENT_DISPOSITION, name.as_str()),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// The way through all tables.
struct ExportStream {
    record: ExportRecord,
    /// Where the rows come from.
    read_db: Db,
    folder: String,
    tables: Vec<&'static str>,
    table: usize,
    part: usize,
    after: Option<Vec<String>>,
    rows_done: i64,
    has_begun: bool,
}

impl ExportStream {
    /// Notes who takes it before anything is read.
    async fn begin(db: &Db, reads: Db, session: &DashboardSession) -> Result<Self, DbError> {
        let (tenant_id, user_id) = (&session.tenant_id, &session.user_id);
        let mut tx = db.begin(tenant_id).await?;
        let tables: Vec<&'static str> = db::tenant_data::exported_tables().collect();
        let counts = db::tenant_data::count_rows(&mut tx, tenant_id).await?;
        let rows = counts.iter().filter(|(table, _)| tables.contains(table)).map(|(_, rows)| rows).sum();
        let export_id = db::exports::insert(&mut tx, tenant_id, user_id, rows).await?;
        let detail = json!({ "export_id": export_id, "rows": rows });
        db::audit_log::insert(&mut tx, tenant_id, user_id.as_str(), AuditAction::DataExported, detail)
            .await?;
        tx.commit().await?;
        let running = ExportRecord {
            db: db.clone(),
            tenant_id: tenant_id.clone(),
            export_id,
            failure_reason: Some("the download was broken off".to_owned()),
        };
        let folder = format!("enablebot-{tenant_id}-{}", Utc::now().format("%Y-%m-%d"));
        Ok(Self {
            record: running,
            read_db: reads,
            folder,
            tables,
            table: 0,
            part: 0,
            after: None,
            rows_done: 0,
            has_begun: false,
        })
    }

    /// The next piece of the archive; `None` behind its end.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, DbError> {
        if !self.has_begun {
            self.has_begun = true;
            return Ok(Some(self.folder_entry("README.txt", readme(&self.tables).as_bytes())));
        }
        let Some(table) = self.tables.get(self.table).copied() else {
            if self.table > self.tables.len() {
                return Ok(None);
            }
            self.table += 1;
            self.record.finish().await?;
            return Ok(Some(Bytes::from_static(&[0; 2 * TAR_BLOCK_BYTES])));
        };
        let lines = self.read_part(table).await?;
        self.part += 1;
        let entry = self.folder_entry(&format!("{table}/{:06}.ndjson", self.part), &lines);
        if self.after.is_none() {
            self.table += 1;
            self.part = 0;
        }
        Ok(Some(entry))
    }

    async fn read_part(&mut self, table: &str) -> Result<Vec<u8>, DbError> {
        let ExportRecord { db, tenant_id, export_id, .. } = &self.record;
        let after = self.after.as_deref();
        let ask = |mut tx: Tx| async move {
            db::tenant_data::list_rows(&mut tx, tenant_id, table, after, EXPORT_PART_ROWS).await
        };
        let page = self.read_db.read(tenant_id, ask).await?.value;
        let mut tx = db.begin(tenant_id).await?;
        self.rows_done += i64::try_from(page.rows.len()).unwrap_or(EXPORT_PART_ROWS);
        db::exports::update_progress(&mut tx, tenant_id, *export_id, self.rows_done).await?;
        tx.commit().await?;
        self.after = page.next;
        let mut lines = Vec::new();
        for row in page.rows {
            serde_json::to_writer(&mut lines, &row)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    fn folder_entry(&self, name: &str, content: &[u8]) -> Bytes {
        tar_entry(&format!("{}/{name}", self.folder), content)
    }
}

/// A file of the archive, filled up to whole blocks.
fn tar_entry(path: &str, content: &[u8]) -> Bytes {
    let mut header = Header::new_ustar();
    // Table names and ids are short and plain.
    let _ = header.set_path(path);
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(u64::try_from(Utc::now().timestamp()).unwrap_or_default());
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend_from_slice(content);
    entry.resize(entry.len().next_multiple_of(TAR_BLOCK_BYTES), 0);
    entry.into()
}

/// What stands in the archive.
fn readme(tables: &[&str]) -> String {
    let mut guide =
        "Everything that EnableBot stores of your workspace. Each folder is a table, cut into numbered\n\
                     parts; each line of a part is a row, as JSON. Tokens and keys are not in here.\n\n"
            .to_owned();
    for table in tables {
        let (title, what) = data::table_label(table);
        guide += &format!("{table:16}{title}. {what}\n");
    }
    guide
}

/// A download as others see it: however it ends, that is noted.
struct ExportRecord {
    db: Db,
    tenant_id: TenantId,
    export_id: Uuid,
    /// What is said of it if it ends now.
    failure_reason: Option<String>,
}

impl ExportRecord {
    fn mark_failed(&mut self, error: &DbError) {
        tracing::error!(tenant_id = %self.tenant_id, error = %error, "an export broke off");
        self.failure_reason = Some("the database did not answer".to_owned());
    }

    async fn finish(&mut self) -> Result<(), DbError> {
        let mut tx = self.db.begin(&self.tenant_id).await?;
        db::exports::finish(&mut tx, &self.tenant_id, self.export_id, None).await?;
        tx.commit().await?;
        self.failure_reason = None;
        Ok(())
    }
}

impl Drop for ExportRecord {
    fn drop(&mut self) {
        let Some(failed) = self.failure_reason.take() else { return };
        let (db, tenant_id, export_id) = (self.db.clone(), self.tenant_id.clone(), self.export_id);
        let note = async move {
            let mut tx = db.begin(&tenant_id).await?;
            db::exports::finish(&mut tx, &tenant_id, export_id, Some(&failed)).await?;
            tx.commit().await
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async {
                if let Err(error) = note.await {
                    tracing::warn!(error = %error, "that an export broke off could not be noted");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tar_entry_fills_whole_blocks() {
        let mut archive = [tar_entry("a/b.ndjson", b"{}\n"), tar_entry("a/empty", b"")].concat();
        assert_eq!(archive.len(), 3 * TAR_BLOCK_BYTES);
        archive.extend([0; 2 * TAR_BLOCK_BYTES]);
        let mut read = tar::Archive::new(&archive[..]);
        let names = read.entries().unwrap().map(|one| one.unwrap().path().unwrap().into_owned());
        assert_eq!(names.collect::<Vec<_>>(), [std::path::Path::new("a/b.ndjson"), "a/empty".as_ref()]);
    }
}
