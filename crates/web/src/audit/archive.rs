//! A tenant's audit log goes into the archive, piece by piece. Each piece is noted before it is written, and once it is: whoever
//! comes after a process that died writes the same object again.

use db::audit_archive::{UnarchivedTenant, begin_segment, commit_segment};
use db::{Db, DbError};
use storage::{StorageBucket, StorageError};

use super::segment::{self, SegmentError};

/// Entries in an object, at most: a few megabytes.
const MAX_SEGMENT_ENTRIES: i32 = 5_000;

/// Why a tenant's entries are not all in the archive. Those that are not stay in the audit log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// They could not be read, or it could not be noted.
    #[error("the database did not do it: {0}")]
    Db(#[from] DbError),
    /// They could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// They are not those that were written.
    #[error(
        "the audit log is not as it was written ({0}), and so is not archived; `web audit verify` tells more"
    )]
    InvalidSegment(SegmentError),
}

/// Archives as many entries as a tenant had when that was asked; `told` hears how many are done.
///
/// # Errors
/// All that is done by then stays done.
pub(crate) async fn archive_tenant(
    db: &Db,
    bucket: &StorageBucket,
    tenant: &UnarchivedTenant,
    mut on_progress: impl FnMut(i64),
) -> Result<i64, ArchiveError> {
    let mut done = 0;
    // Those that come meanwhile have time: else a busy tenant would get an object for each.
    while done < tenant.entries {
        let mut tx = db.begin_cross_tenant().await?;
        let piece = begin_segment(&mut tx, &tenant.tenant_id, MAX_SEGMENT_ENTRIES).await?;
        tx.commit().await?;
        let Some(piece) = piece else { break };
        let (path, last_place) = (segment::object_path(&piece), piece.last_place);
        let entries = piece.last_place - piece.first_place + 1;
        let file = segment::serialize_segment(piece).map_err(ArchiveError::InvalidSegment)?;
        bucket.put(&path, segment::SEGMENT_CONTENT_TYPE, file).await?;
        let mut tx = db.begin_cross_tenant().await?;
        commit_segment(&mut tx, &tenant.tenant_id, last_place).await?;
        tx.commit().await?;
        done += entries;
        on_progress(done);
    }
    Ok(done)
}
