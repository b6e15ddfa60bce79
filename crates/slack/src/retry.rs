//! Retries idempotent calls after temporary failures.

use std::time::Duration;

use crate::{SlackError, SlackErrorKind};

/// The methods that read, or that set a state. Posts are never among them: a post with an unknown result is
/// looked up before it is repeated.
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

/// The pauses before the second and the third attempt.
const CALL_RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(500)];

/// Makes a call, with up to three attempts if the method is idempotent.
pub(crate) async fn retry_idempotent<T, F: Future<Output = Result<T, SlackError>>>(
    method: &'static str,
    call: impl Fn() -> F,
) -> Result<T, SlackError> {
    for delay in CALL_RETRY_DELAYS.iter().filter(|_| IDEMPOTENT_METHODS.contains(&method)) {
        match call().await {
            Err(error @ SlackError::LeaseLost { .. }) => return Err(error),
            Err(error) if error.kind() == SlackErrorKind::Transient => {
                tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.5))).await;
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
        let attempts = AtomicUsize::new(0);
        let result: Result<(), _> = retry_idempotent(method, || async {
            attempts.fetch_add(1, Ordering::Relaxed);
            Err(SlackError::Api { method, code: code.into(), needed: None })
        })
        .await;
        assert!(result.is_err());
        attempts.into_inner()
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
