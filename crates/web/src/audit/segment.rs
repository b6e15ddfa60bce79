//! A file of the archive: an entry a line, each with its digest and the one that is made over, so that the file can be
//! verified by itself, and that it joins the next one.

use std::fmt::{self, Write};

use chrono::{DateTime, Utc};
use db::audit_archive::{ArchiveSegment, ChainedEntry};
use db::audit_log::{ChainBreak, ChainFault};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// What the file is to Storage.
pub(crate) const SEGMENT_CONTENT_TYPE: &str = "application/x-ndjson";

/// A line. A field that is not part of the digest must not stand in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentLine {
    tenant_id: String,
    place: i64,
    created_at: DateTime<Utc>,
    actor: String,
    action: String,
    /// Letter by letter as Postgres writes it.
    detail: Box<RawValue>,
    previous_hash: String,
    hash: String,
}

impl SegmentLine {
    fn new(tenant_id: &str, previous_hash: &[u8], entry: ChainedEntry) -> Result<Self, serde_json::Error> {
        Ok(Self {
            tenant_id: tenant_id.to_owned(),
            place: entry.place,
            created_at: entry.created_at,
            actor: entry.actor,
            action: entry.action,
            detail: RawValue::from_string(entry.detail)?,
            previous_hash: hex::encode(previous_hash),
            hash: hex::encode(entry.hash),
        })
    }

    /// What `audit_entry_hash` of the database makes of it (`migrations/0023_audit_chain.sql`), in hex: over an array as
    /// Postgres writes one.
    fn digest(&self) -> Option<String> {
        let previous = hex::decode(&self.previous_hash).ok()?;
        let quoted = |text: &str| serde_json::to_string(text).ok();
        let says = format!(
            "[{}, {}, {}, {}, {}, {}]",
            quoted(&self.tenant_id)?,
            self.place,
            quoted(&self.actor)?,
            quoted(&self.action)?,
            quoted(self.detail.get())?,
            self.created_at.timestamp_micros(),
        );
        Some(hex::encode(Sha256::new().chain_update(previous).chain_update(says).finalize()))
    }
}

/// What a file that is whole has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRange {
    pub(crate) tenant_id: String,
    pub(crate) first_place: i64,
    pub(crate) last_place: i64,
    /// What the first entry's digest is made over; empty before the first of all.
    pub(crate) previous_hash: String,
    /// Of the last entry.
    pub(crate) hash: String,
}

/// Why a file is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SegmentError {
    /// An entry is not as it was written.
    Broken(ChainBreak),
    /// A line is no entry, or one of another tenant; from 1.
    Unreadable(usize),
    /// There is not one entry.
    Empty,
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(broken) => write!(f, "entry {} {}", broken.place, broken.fault.describe()),
            Self::Unreadable(number) => write!(f, "line {number} is no entry of the tenant's"),
            Self::Empty => f.write_str("it has no entries"),
        }
    }
}

/// Where an object of the archive has its place, below the bucket. Whatever else a tenant's id may hold, it ends no folder.
pub(crate) fn object_path(piece: &ArchiveSegment) -> String {
    let mut folder = String::new();
    for byte in piece.tenant_id.as_str().bytes() {
        let _ = match byte.is_ascii_alphanumeric() {
            true => write!(folder, "{}", char::from(byte)),
            false => write!(folder, "={byte:02x}"),
        };
    }
    format!("audit/{folder}/{}-{}.ndjson", piece.first_place, piece.last_place)
}

/// The file of a piece.
///
/// # Errors
/// The entries are not those that were written: then they are no archive.
pub(crate) fn serialize_segment(piece: ArchiveSegment) -> Result<String, SegmentError> {
    let tenant_id = piece.tenant_id.as_str();
    let (mut text, mut previous) = (String::new(), piece.previous_hash);
    for (entry, number) in piece.entries.into_iter().zip(1..) {
        let hash = entry.hash.clone();
        let line =
            SegmentLine::new(tenant_id, &previous, entry).and_then(|line| serde_json::to_string(&line));
        text.push_str(&line.map_err(|_| SegmentError::Unreadable(number))?);
        text.push('\n');
        previous = hash;
    }
    match verify_segment(&text) {
        Err(SegmentError::Empty) => Err(broken_at(piece.first_place, ChainFault::Missing)),
        Ok(span) if span.first_place != piece.first_place => {
            Err(broken_at(piece.first_place, ChainFault::Missing))
        }
        Ok(span) if span.last_place != piece.last_place => {
            Err(broken_at(span.last_place + 1, ChainFault::Missing))
        }
        checked => checked.map(|_| text),
    }
}

/// Looks at each entry of a file.
///
/// # Errors
/// The first that is not as it was written.
pub(crate) fn verify_segment(text: &str) -> Result<SegmentRange, SegmentError> {
    let mut span: Option<SegmentRange> = None;
    for (line, number) in text.lines().zip(1..) {
        let line: SegmentLine = serde_json::from_str(line).map_err(|_| SegmentError::Unreadable(number))?;
        let span = span.get_or_insert_with(|| SegmentRange {
            tenant_id: line.tenant_id.clone(),
            first_place: line.place,
            last_place: line.place - 1,
            previous_hash: line.previous_hash.clone(),
            hash: line.previous_hash.clone(),
        });
        let expected = span.last_place + 1;
        match line.place {
            _ if line.tenant_id != span.tenant_id => return Err(SegmentError::Unreadable(number)),
            place if place > expected => return Err(broken_at(expected, ChainFault::Missing)),
            place if place < expected => return Err(broken_at(place, ChainFault::Inserted)),
            _ if line.previous_hash != span.hash || line.digest().as_ref() != Some(&line.hash) => {
                return Err(broken_at(line.place, ChainFault::Changed));
            }
            _ => (span.last_place, span.hash) = (line.place, line.hash),
        }
    }
    span.ok_or(SegmentError::Empty)
}

fn broken_at(place: i64, fault: ChainFault) -> SegmentError {
    SegmentError::Broken(ChainBreak { place, fault })
}
