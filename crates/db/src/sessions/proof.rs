//! The proof of a row of `sessions`: `version ‖ begun ‖ seen ‖ checked ‖ HMAC`, the times in microseconds.
//!
//! The times that count are the earlier ones of the proof and of the row's columns: changing a column can
//! only shorten a session.

use chrono::{DateTime, Utc};
use crypto::{RowStatement, SessionKey};
use models::{EnterpriseId, TeamId, TenantId, UserId};

const PROOF_VERSION: u8 = 1;
const TIME_BYTES: usize = size_of::<i64>();
const DIGEST_AT: usize = 1 + 3 * TIME_BYTES;

/// The times of a session that decide how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionTimes {
    /// Time of the sign-in.
    pub(crate) begun_at: DateTime<Utc>,
    /// Time of the last use.
    pub(crate) seen_at: DateTime<Utc>,
    /// Time at which Slack was last asked about the person.
    pub(crate) checked_at: DateTime<Utc>,
}

impl SessionTimes {
    /// Returns the earlier time of each pair.
    fn earliest(self, other: Self) -> Self {
        Self {
            begun_at: self.begun_at.min(other.begun_at),
            seen_at: self.seen_at.min(other.seen_at),
            checked_at: self.checked_at.min(other.checked_at),
        }
    }

    fn to_bytes(self) -> [u8; 3 * TIME_BYTES] {
        let times = [self.begun_at, self.seen_at, self.checked_at].map(|time| time.timestamp_micros());
        let mut bytes = [0; 3 * TIME_BYTES];
        for (place, time) in bytes.chunks_exact_mut(TIME_BYTES).zip(times) {
            place.copy_from_slice(&time.to_be_bytes());
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut times = bytes.chunks_exact(TIME_BYTES).map(|time| {
            DateTime::from_timestamp_micros(i64::from_be_bytes(time.try_into().unwrap_or_default()))
        });
        let mut next = || times.next().flatten();
        Some(Self { begun_at: next()?, seen_at: next()?, checked_at: next()? })
    }
}

/// What a row of `sessions` grants, besides its times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionGrant<'a> {
    pub(crate) session_digest: &'a [u8],
    pub(crate) tenant_id: &'a TenantId,
    pub(crate) user_id: &'a UserId,
    pub(crate) email: Option<&'a str>,
    pub(crate) team_id: Option<&'a TeamId>,
    pub(crate) enterprise_id: Option<&'a EnterpriseId>,
    pub(crate) is_admin: bool,
}

impl SessionGrant<'_> {
    /// Returns the proof of this grant.
    pub(crate) fn prove(&self, key: &SessionKey, times: SessionTimes) -> Vec<u8> {
        let times = times.to_bytes();
        let mut proof = vec![PROOF_VERSION];
        proof.extend_from_slice(&times);
        proof.extend_from_slice(&key.sign(&self.statement(&times)));
        proof
    }

    /// Verifies a proof and returns the times that count; `None` if the row is not this deployment's.
    pub(crate) fn verify(
        &self,
        key: &SessionKey,
        proof: Option<&[u8]>,
        columns: SessionTimes,
    ) -> Option<SessionTimes> {
        let proof = proof.filter(|proof| proof.len() > DIGEST_AT && proof[0] == PROOF_VERSION)?;
        let (times, digest) = (&proof[1..DIGEST_AT], &proof[DIGEST_AT..]);
        if !key.verify(&self.statement(times), digest) {
            return None;
        }
        SessionTimes::parse(times).map(|proven| proven.earliest(columns))
    }

    fn statement(&self, times: &[u8]) -> RowStatement {
        RowStatement::new("session")
            .with(&[PROOF_VERSION])
            .with(self.session_digest)
            .with(self.tenant_id.as_str().as_bytes())
            .with(self.user_id.as_str().as_bytes())
            .with_optional(self.email.map(str::as_bytes))
            .with_optional(self.team_id.map(|id| id.as_str().as_bytes()))
            .with_optional(self.enterprise_id.map(|id| id.as_str().as_bytes()))
            .with(&[u8::from(self.is_admin)])
            .with(times)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn session_proof_covers_grant() {
        let key = SessionKey::derive(&[1; 32]);
        let (tenant_id, other_tenant) = (TenantId::from("T1"), TenantId::from("T2"));
        let (user_id, other_user) = (UserId::from("U1"), UserId::from("U2"));
        let begun_at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let times = SessionTimes { begun_at, seen_at: begun_at, checked_at: begun_at };
        let grant = SessionGrant {
            session_digest: b"digest",
            tenant_id: &tenant_id,
            user_id: &user_id,
            email: None,
            team_id: None,
            enterprise_id: None,
            is_admin: false,
        };
        let other_team = TeamId::from("T0OPS");
        let proof = grant.prove(&key, times);
        assert_eq!(grant.verify(&key, Some(&proof), times), Some(times));
        for forged in [
            SessionGrant { session_digest: b"other", ..grant },
            SessionGrant { tenant_id: &other_tenant, ..grant },
            SessionGrant { user_id: &other_user, ..grant },
            SessionGrant { email: Some("ops@example.com"), ..grant },
            SessionGrant { team_id: Some(&other_team), ..grant },
            SessionGrant { is_admin: true, ..grant },
        ] {
            assert_eq!(forged.verify(&key, Some(&proof), times), None, "{forged:?}");
        }
        let hour = TimeDelta::hours(1);
        let extended = SessionTimes { begun_at: begun_at + hour, seen_at: begun_at + hour, ..times };
        assert_eq!(grant.verify(&key, Some(&proof), extended), Some(times), "a column extends nothing");
        let aged = SessionTimes { seen_at: begun_at - hour, ..times };
        assert_eq!(grant.verify(&key, Some(&proof), aged), Some(aged));
        for wrong in [None, Some(&proof[..proof.len() - 1]), Some(&[]), Some(&[1; 60])] {
            assert_eq!(grant.verify(&key, wrong, times), None);
        }
        assert_eq!(grant.verify(&SessionKey::derive(&[2; 32]), Some(&proof), times), None);
    }
}
