//! Archiving of one tenant's audit log in segments.
//!
//! The database records each segment before and after its upload, so after a crash the next process writes
//! the same object again.

use db::audit_archive::{UnarchivedTenant, begin_segment, commit_segment};
use db::{Db, DbError};
use storage::{StorageBucket, StorageError};

use super::segment::{SEGMENT_CONTENT_TYPE, SegmentError, object_path, serialize_segment};

/// Maximum number of entries per object, which is then a few megabytes large.
const MAX_SEGMENT_ENTRIES: i32 = 5_000;

/// An error that stopped archiving. Entries that are not archived stay in the audit log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Entries could not be read, or progress could not be recorded.
    #[error("database error: {0}")]
    Db(#[from] DbError),
    /// The object could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The entries do not verify.
    #[error("the audit log does not verify ({0}), so it is not archived; see `web audit verify`")]
    InvalidSegment(SegmentError),
}

/// Archives as many entries as `tenant` counts, and returns how many were archived.
///
/// `on_progress` gets the number of archived entries after each segment.
///
/// # Errors
/// The database or the storage failed, or an entry does not verify. Segments archived before the error stay
/// archived.
pub(crate) async fn archive_tenant(
    db: &Db,
    bucket: &StorageBucket,
    tenant: &UnarchivedTenant,
    mut on_progress: impl FnMut(i64),
) -> Result<i64, ArchiveError> {
    let mut done = 0;
    // Newer entries wait for the next run: otherwise a busy tenant would get an object for each of them.
    while done < tenant.entries {
        let mut tx = db.begin_cross_tenant().await?;
        let segment = begin_segment(&mut tx, &tenant.tenant_id, MAX_SEGMENT_ENTRIES).await?;
        tx.commit().await?;
        let Some(segment) = segment else { break };
        let (path, last_index) = (object_path(&segment), segment.last_index);
        let entries = segment.last_index - segment.first_index + 1;
        let file = serialize_segment(segment).map_err(ArchiveError::InvalidSegment)?;
        bucket.put(&path, SEGMENT_CONTENT_TYPE, file).await?;
        let mut tx = db.begin_cross_tenant().await?;
        commit_segment(&mut tx, &tenant.tenant_id, last_index).await?;
        tx.commit().await?;
        done += entries;
        on_progress(done);
    }
    Ok(done)
}
