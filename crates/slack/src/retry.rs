//! Calls that are made again when Slack did not answer, because to make them twice changes nothing.

use std::time::Duration;

use crate::{SlackError, SlackErrorKind};

/// Reads, and what sets a state rather than adds to one. A post is never among them: it may have been made, and is
/// looked for first.
const IDEMPOTENT_METHODS: [&str; 15] = [
    "agents.sessions.rename",
    "agents.sessions.setStatus",
    "assistant.threads.setStatus",
    "assistant.threads.setSuggestedPrompts",
    "assistant.threads.setTitle",
    "auth.revoke",
    "chat.update",
    "conversations.history",
    "conversations.open",
    "conversations.replies",
    "file_download",
    "files.getUploadURLExternal",
    "files.info",
    "users.info",
    "views.publish",
];

/// The pauses before the second and the third try.
const CALL_RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(500)];

/// Makes a call, up to three times where that is harmless.
pub(crate) async fn retry_idempotent<T, F: Future<Output = Result<T, SlackError>>>(
    method: &'static str,
    call: impl Fn() -> F,
) -> Result<T, SlackError> {
    for pause in CALL_RETRY_DELAYS.iter().filter(|_| IDEMPOTENT_METHODS.contains(&method)) {
        match call().await {
            Err(error @ SlackError::LeaseLost { .. }) => return Err(error),
            Err(error) if error.kind() == SlackErrorKind::Transient => {
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
            }
            result => return result,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn count_attempts(method: &'static str, code: &str) -> usize {
        let tries = AtomicUsize::new(0);
        let refused: Result<(), _> = retry_idempotent(method, || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err(SlackError::Api { method, code: code.into(), needed: None })
        })
        .await;
        assert!(refused.is_err());
        tries.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_retried_and_posts_are_not() {
        assert_eq!(count_attempts("users.info", "internal_error").await, 3);
        assert_eq!(count_attempts("users.info", "user_not_found").await, 1);
        for post in [
            "chat.appendStream",
            "chat.postEphemeral",
            "chat.postMessage",
            "chat.startStream",
            "chat.stopStream",
            "file_upload",
            "files.completeUploadExternal",
            "oauth.v2.access",
            "response_url",
        ] {
            assert_eq!(count_attempts(post, "internal_error").await, 1, "{post}");
        }
    }

    #[test]
    fn idempotent_methods_are_known() {
        assert!(IDEMPOTENT_METHODS.iter().all(|method| crate::API_METHODS.contains(method)));
    }
}
