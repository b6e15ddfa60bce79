//! Codes of approved sign-ins: issued and redeemed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use uuid::Uuid;

use super::FakeSlack;
use super::sign_in::{ApprovedSignIn, IdTokenKey};

/// Lifetime of a code.
const SIGN_IN_CODE_LIFETIME: Duration = Duration::from_secs(600);

impl FakeSlack {
    /// Issues a single-use code for a sign-in.
    pub(crate) fn issue_sign_in_code(&mut self, sign_in: ApprovedSignIn) -> String {
        self.sign_ins.retain(|_, (_, issued)| issued.elapsed() < SIGN_IN_CODE_LIFETIME);
        let code = format!("1000000001.{}", Uuid::new_v4().simple());
        self.sign_ins.insert(code.clone(), (sign_in, Instant::now()));
        code
    }

    /// Consumes a code; returns `None` if it was used before or has expired.
    pub(crate) fn redeem_sign_in_code(&mut self, code: &str) -> Option<ApprovedSignIn> {
        let (sign_in, issued) = self.sign_ins.remove(code)?;
        (issued.elapsed() < SIGN_IN_CODE_LIFETIME).then_some(sign_in)
    }

    /// Returns the key. The first call generates it, which takes a while.
    pub(crate) fn id_token_key(&mut self) -> anyhow::Result<Arc<IdTokenKey>> {
        if self.id_token_key.is_none() {
            self.id_token_key = Some(Arc::new(IdTokenKey::generate()?));
        }
        self.id_token_key.clone().context("a key")
    }
}
