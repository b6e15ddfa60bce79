//! How many live pages and downloads a replica serves at once, to a session and to a workspace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use models::TenantId;

/// Kinds of streams, which are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StreamKind {
    /// A page that updates itself.
    Live,
    /// An export.
    Download,
}

impl StreamKind {
    /// Returns the maximum numbers of a session and of a workspace.
    fn limits(self) -> (usize, usize) {
        match self {
            Self::Live => (10, 200),
            Self::Download => (2, 8),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum StreamOwner {
    Session(Vec<u8>),
    Tenant(TenantId),
}

/// The open streams of this replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamLimits(Arc<Mutex<HashMap<(StreamKind, StreamOwner), usize>>>);

/// A place among the open streams; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    limits: StreamLimits,
    places: [(StreamKind, StreamOwner); 2],
}

impl StreamLimits {
    /// Takes a place; `None` if the session or the workspace has as many streams as it may.
    pub(crate) fn acquire(
        &self,
        kind: StreamKind,
        session: &[u8],
        tenant_id: &TenantId,
    ) -> Option<StreamPermit> {
        let (per_session, per_tenant) = kind.limits();
        let places =
            [(kind, StreamOwner::Session(session.to_vec())), (kind, StreamOwner::Tenant(tenant_id.clone()))];
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |place| open.get(place).copied().unwrap_or_default();
        if count(&places[0]) >= per_session || count(&places[1]) >= per_tenant {
            return None;
        }
        for place in &places {
            *open.entry(place.clone()).or_default() += 1;
        }
        Some(StreamPermit { limits: self.clone(), places })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.limits.0.lock().unwrap_or_else(PoisonError::into_inner);
        for place in &self.places {
            let count = open.get(place).copied().unwrap_or_default();
            if count > 1 {
                open.insert(place.clone(), count - 1)
            } else {
                open.remove(place)
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_bounded() {
        let limits = StreamLimits::default();
        let (acme, beta) = (TenantId::from("T0ACME"), TenantId::from("T0BETA"));
        let open = |session: u8, tenant| limits.acquire(StreamKind::Download, &[session], tenant);
        let mut permits: Vec<_> = (0..8).filter_map(|number| open(number / 2, &acme)).collect();
        assert_eq!(permits.len(), 8);
        assert!(open(9, &acme).is_none(), "the workspace has as many as it may");
        assert!(open(9, &beta).is_some(), "another workspace has its own");
        permits.pop();
        assert!(open(0, &acme).is_none(), "this session still has two");
        assert!(open(3, &acme).is_some());
        assert!(limits.acquire(StreamKind::Live, &[0], &acme).is_some(), "live pages are counted apart");
        drop(permits);
        assert!(limits.0.lock().unwrap().is_empty());
    }
}
