//! Calls that are made again when Slack did not answer, because to make them twice changes nothing.

use std::time::Duration;

use crate::{Failure, SlackError};

/// Reads, and what sets a state rather than adds to one. A post is never among them: it may have been made, and is
/// looked for first.
const HARMLESS: [&str; 15] = [
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
const PAUSES: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(500)];

/// Makes a call, up to three times where that is harmless.
pub(crate) async fn where_harmless<T, F: Future<Output = Result<T, SlackError>>>(
    method: &'static str,
    call: impl Fn() -> F,
) -> Result<T, SlackError> {
    for pause in PAUSES.iter().filter(|_| HARMLESS.contains(&method)) {
        match call().await {
            Err(error @ SlackError::NotSent { .. }) => return Err(error),
            Err(error) if error.failure() == Failure::Transient => {
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

    async fn tries(method: &'static str, code: &str) -> usize {
        let tries = AtomicUsize::new(0);
        let refused: Result<(), _> = where_harmless(method, || async {
            tries.fetch_add(1, Ordering::Relaxed);
            Err(SlackError::Refused { method, code: code.into(), needed: None })
        })
        .await;
        assert!(refused.is_err());
        tries.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_made_three_times_and_a_post_once() {
        assert_eq!(tries("users.info", "internal_error").await, 3);
        assert_eq!(tries("users.info", "user_not_found").await, 1);
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
            assert_eq!(tries(post, "internal_error").await, 1, "{post}");
        }
    }

    #[test]
    fn what_is_repeated_is_a_method() {
        assert!(HARMLESS.iter().all(|method| crate::METHODS.contains(method)));
    }
}
