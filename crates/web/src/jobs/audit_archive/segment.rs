//! Files of the archive: one audit log entry per line, with its hash and the previous entry's hash.
//!
//! A file can thus be verified on its own, and as the continuation of another one.

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use db::audit_archive::{ArchiveSegment, ChainedEntry};
use db::audit_log::{ChainBreak, ChainFault};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Content type of the objects.
pub(crate) const SEGMENT_CONTENT_TYPE: &str = "application/x-ndjson";

/// A line of a file. It must not have a field that the hash does not cover.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentLine {
    tenant_id: String,
    chain_index: i64,
    created_at: DateTime<Utc>,
    actor: String,
    action: String,
    /// The JSON text exactly as Postgres writes it.
    detail: Box<RawValue>,
    previous_hash: String,
    hash: String,
}

impl SegmentLine {
    fn new(tenant_id: &str, previous_hash: &[u8], entry: ChainedEntry) -> Result<Self, serde_json::Error> {
        Ok(Self {
            tenant_id: tenant_id.to_owned(),
            chain_index: entry.chain_index,
            created_at: entry.created_at,
            actor: entry.actor,
            action: entry.action,
            detail: RawValue::from_string(entry.detail)?,
            previous_hash: hex::encode(previous_hash),
            hash: hex::encode(entry.hash),
        })
    }

    /// Computes the same hash as the database's `audit_entry_hash` (`migrations/0002_audit_log.sql`), in
    /// hex.
    ///
    /// The input is an array in the format of Postgres.
    fn digest(&self) -> Option<String> {
        let previous = hex::decode(&self.previous_hash).ok()?;
        let quoted = |text: &str| serde_json::to_string(text).ok();
        let content = format!(
            "[{}, {}, {}, {}, {}, {}]",
            quoted(&self.tenant_id)?,
            self.chain_index,
            quoted(&self.actor)?,
            quoted(&self.action)?,
            quoted(self.detail.get())?,
            self.created_at.timestamp_micros(),
        );
        Some(hex::encode(Sha256::new().chain_update(previous).chain_update(content).finalize()))
    }
}

/// The range of entries in a verified file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRange {
    pub(crate) tenant_id: String,
    pub(crate) first_index: i64,
    pub(crate) last_index: i64,
    /// The hash before the first entry; empty for the very first one.
    pub(crate) previous_hash: String,
    /// The hash of the last entry.
    pub(crate) hash: String,
}

/// An error in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SegmentError {
    /// An entry was changed, inserted or removed.
    Broken(ChainBreak),
    /// This line, counted from 1, is not an entry, or is another tenant's.
    Unreadable(usize),
    /// The file has no entries.
    Empty,
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => write!(f, "entry {} {}", broken.chain_index, broken.fault.describe()),
            Self::Unreadable(number) => write!(f, "line {number} is not an entry of this tenant"),
            Self::Empty => f.write_str("the file has no entries"),
        }
    }
}

/// Returns an object's path in the bucket. Special characters of the tenant's id are escaped, so it is one
/// path segment.
pub(crate) fn object_path(segment: &ArchiveSegment) -> String {
    let mut folder = String::new();
    for byte in segment.tenant_id.as_str().bytes() {
        let _ = match byte.is_ascii_alphanumeric() {
            true => write!(folder, "{}", char::from(byte)),
            false => write!(folder, "={byte:02x}"),
        };
    }
    format!("audit/{folder}/{}-{}.ndjson", segment.first_index, segment.last_index)
}

/// Serializes a segment, and verifies the result.
///
/// # Errors
/// The entries do not verify.
pub(crate) fn serialize_segment(segment: ArchiveSegment) -> Result<String, SegmentError> {
    let tenant_id = segment.tenant_id.as_str();
    let (mut text, mut previous) = (String::new(), segment.previous_hash);
    for (entry, number) in segment.entries.into_iter().zip(1..) {
        let hash = entry.hash.clone();
        let line =
            SegmentLine::new(tenant_id, &previous, entry).and_then(|line| serde_json::to_string(&line));
        text.push_str(&line.map_err(|_| SegmentError::Unreadable(number))?);
        text.push('\n');
        previous = hash;
    }
    match verify_segment(&text) {
        Err(SegmentError::Empty) => Err(broken_at(segment.first_index, ChainFault::Missing)),
        Ok(range) if range.first_index != segment.first_index => {
            Err(broken_at(segment.first_index, ChainFault::Missing))
        }
        Ok(range) if range.last_index != segment.last_index => {
            Err(broken_at(range.last_index + 1, ChainFault::Missing))
        }
        verified => verified.map(|_| text),
    }
}

/// Verifies each entry of a file.
///
/// # Errors
/// The first entry that does not verify.
pub(crate) fn verify_segment(text: &str) -> Result<SegmentRange, SegmentError> {
    let mut range: Option<SegmentRange> = None;
    for (line, number) in text.lines().zip(1..) {
        let line: SegmentLine = serde_json::from_str(line).map_err(|_| SegmentError::Unreadable(number))?;
        let range = range.get_or_insert_with(|| SegmentRange {
            tenant_id: line.tenant_id.clone(),
            first_index: line.chain_index,
            last_index: line.chain_index - 1,
            previous_hash: line.previous_hash.clone(),
            hash: line.previous_hash.clone(),
        });
        let expected = range.last_index + 1;
        match line.chain_index {
            _ if line.tenant_id != range.tenant_id => return Err(SegmentError::Unreadable(number)),
            chain_index if chain_index > expected => return Err(broken_at(expected, ChainFault::Missing)),
            chain_index if chain_index < expected => {
                return Err(broken_at(chain_index, ChainFault::Inserted));
            }
            _ if line.previous_hash != range.hash || line.digest().as_ref() != Some(&line.hash) => {
                return Err(broken_at(line.chain_index, ChainFault::Changed));
            }
            _ => (range.last_index, range.hash) = (line.chain_index, line.hash),
        }
    }
    range.ok_or(SegmentError::Empty)
}

fn broken_at(chain_index: i64, fault: ChainFault) -> SegmentError {
    SegmentError::Broken(ChainBreak { chain_index, fault })
}
