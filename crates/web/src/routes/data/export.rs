//! `POST /dashboard/data/export.tar`: exports the workspace's data as a streamed archive.
//!
//! Each table is split into numbered files, because tar needs the size of a file before its content.

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

use super::table_labels::table_label;
use crate::auth::ConfirmedAdmin;
use crate::auth::streams::SessionStream;
use crate::routes::export_notice;
use crate::routes::responses::database_error;
use crate::state::WebState;
use crate::stream_limits::StreamKind;

/// Rows per file.
const EXPORT_PART_ROWS: i64 = 1_000;

/// Block size of tar. Two empty blocks mark the end of the archive.
const TAR_BLOCK_BYTES: usize = 512;

pub(crate) async fn export(
    State(app): State<Arc<WebState>>,
    ConfirmedAdmin(signed_in): ConfirmedAdmin,
) -> Response {
    let download = match SessionStream::begin(&app, &signed_in, StreamKind::Download) {
        Ok(download) => download,
        Err(refusal) => return refusal,
    };
    let session = &signed_in.session;
    let export = match ExportStream::begin(&app.db, signed_in.read_db(&app), session).await {
        Ok(export) => export,
        Err(error) => return database_error(&error),
    };
    let disposition = format!("attachment; filename=\"{}.tar\"", export.folder);
    let chunks = stream::try_unfold(export, |mut export| async move {
        let chunk = export.next_chunk().await.inspect_err(|error| export.record.mark_failed(error))?;
        Ok::<_, DbError>(chunk.map(|chunk| (chunk, export)))
    });
    let headers = [
        (CONTENT_TYPE, "application/x-tar"),
        (CONTENT_DISPOSITION, disposition.as_str()),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(download.guard(chunks))).into_response()
}

/// An export in progress.
struct ExportStream {
    record: ExportRecord,
    /// The database that rows are read from.
    read_db: Db,
    folder: String,
    tables: Vec<&'static str>,
    table: usize,
    part: usize,
    after: Option<Vec<String>>,
    rows_done: i64,
    /// True if the export contains what people wrote, and was announced.
    has_message_text: bool,
    has_begun: bool,
}

impl ExportStream {
    /// Starts an export, and records it before anything is read.
    async fn begin(db: &Db, read_db: Db, session: &DashboardSession) -> Result<Self, DbError> {
        let (tenant_id, user_id) = (&session.tenant_id, &session.user_id);
        let mut tx = db.begin(tenant_id).await?;
        let tables: Vec<&'static str> = db::tenant_data::exported_tables().collect();
        let counts = db::tenant_data::count_rows(&mut tx, tenant_id).await?;
        let rows = counts.iter().filter(|(table, _)| tables.contains(table)).map(|(_, rows)| rows).sum();
        let export_id = db::exports::insert(&mut tx, tenant_id, user_id, rows).await?;
        let has_message_text = export_notice::is_text_readable(&mut tx, tenant_id).await?;
        if has_message_text {
            export_notice::announce(&mut tx, session, None).await?;
        }
        let detail = json!({ "export_id": export_id, "rows": rows, "conversations": has_message_text });
        db::audit_log::insert(&mut tx, tenant_id, user_id.as_str(), AuditAction::DataExported, detail)
            .await?;
        tx.commit().await?;
        let record = ExportRecord {
            db: db.clone(),
            tenant_id: tenant_id.clone(),
            export_id,
            failure_reason: Some("interrupted".to_owned()),
        };
        let folder = format!("enablebot-{tenant_id}-{}", Utc::now().format("%Y-%m-%d"));
        Ok(Self {
            record,
            read_db,
            folder,
            tables,
            table: 0,
            part: 0,
            after: None,
            rows_done: 0,
            has_message_text,
            has_begun: false,
        })
    }

    /// Returns the next chunk of the archive; `None` at its end.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, DbError> {
        if !self.has_begun {
            self.has_begun = true;
            return Ok(Some(
                self.folder_entry("README.txt", readme(&self.tables, self.has_message_text).as_bytes()),
            ));
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
        // Asked again for each part, of the primary: an admin may turn conversations off meanwhile.
        let is_readable = export_notice::is_text_readable(&mut db.begin(tenant_id).await?, tenant_id).await?;
        let (after, has_text) = (self.after.as_deref(), self.has_message_text && is_readable);
        let query = |mut tx: Tx| async move {
            db::tenant_data::list_rows(&mut tx, tenant_id, table, after, EXPORT_PART_ROWS, has_text).await
        };
        let page = self.read_db.read(tenant_id, query).await?.value;
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

/// Builds a file of the archive, padded to whole blocks.
fn tar_entry(path: &str, content: &[u8]) -> Bytes {
    let mut header = Header::new_ustar();
    // Cannot fail: table names and ids are short and ASCII.
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

/// Describes the contents of the archive.
fn readme(tables: &[&str], has_message_text: bool) -> String {
    let mut guide =
        "Everything that EnableBot stores for your workspace. Each folder is a table, split into numbered\n\
                     files. Each line of a file is one row as JSON. Tokens and keys are not included.\n\n"
            .to_owned();
    if !has_message_text {
        guide += "What people wrote is left out, because \"Show conversations in the dashboard\" is off. Each\n\
                  row that is affected says so.\n\n";
    }
    for table in tables {
        let (label, description) = table_label(table);
        guide += &format!("{table:16}{label}. {description}\n");
    }
    guide
}

/// The database record of an export. Dropping it records the outcome, also if the download is aborted.
struct ExportRecord {
    db: Db,
    tenant_id: TenantId,
    export_id: Uuid,
    /// The reason to record if the export ends now; `None` once it has finished.
    failure_reason: Option<String>,
}

impl ExportRecord {
    fn mark_failed(&mut self, error: &DbError) {
        tracing::error!(tenant_id = %self.tenant_id, error = %error, "export failed");
        self.failure_reason = Some("database error".to_owned());
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
        let Some(reason) = self.failure_reason.take() else { return };
        let (db, tenant_id, export_id) = (self.db.clone(), self.tenant_id.clone(), self.export_id);
        let record = async move {
            let mut tx = db.begin(&tenant_id).await?;
            db::exports::finish(&mut tx, &tenant_id, export_id, Some(&reason)).await?;
            tx.commit().await
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async {
                if let Err(error) = record.await {
                    tracing::warn!(error = %error, "export failure not recorded");
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
