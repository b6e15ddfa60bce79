//! The model's part of an answer: money held, asked, shown as it comes, kept and charged however it ends.

use std::time::Instant;

use llm::{CompletionStream, ModelError};
use slack::MarkdownSanitizer;

use super::pipeline::CompletedReply;
use super::prompt::Prompt;
use super::slack_message::StreamingMessage;
use crate::budget::{Allowance, Charge};
use crate::fail_point;
use crate::job_context::JobContext;
use crate::job_error::JobError;

const EMPTY_ANSWER_TEXT: &str = "Sorry, the model had nothing to say to this. Please ask in other words.";

const STOPPED_TEXT: &str = "_Stopped._";

/// The longest answer that is taken, in bytes; a model that goes on beyond it is cut.
pub(crate) const MAX_ANSWER_BYTES: usize = 400_000;

/// Why no more of an answer is read.
enum StreamEnd {
    Finished,
    Stopped,
    /// The replica stops.
    Handoff,
}

impl JobContext<'_> {
    /// Asks the model and shows its words as they come; the whole answer is kept before anything else is done with it,
    /// so that it is paid once.
    pub(super) async fn complete(
        &self,
        mut prompt: Prompt,
        mut text: String,
        draft: &mut StreamingMessage<'_>,
    ) -> Result<CompletedReply, JobError> {
        prompt.continue_from(&text);
        let said_before = text.len();
        let purse = self.reserve_budget(&prompt.messages).await?;
        let asked_at = Instant::now();
        let mut answer =
            match self.stop_token.run_until_cancelled(self.open_stream(&purse, &mut prompt)).await {
                Some(Ok(answer)) => answer,
                Some(Err(error)) => {
                    self.release_reservation(&purse).await?;
                    return Err(error.into());
                }
                None => return Ok(stopped_reply(prompt, text, None, None)),
            };
        let mut first_word_at = None;
        let read = self.read_stream(&mut answer, &mut first_word_at, &mut text, draft).await;
        if let Some(at) = first_word_at {
            metrics::histogram!("enablebot_reply_first_token_seconds").record((at - asked_at).as_secs_f64());
            metrics::histogram!("enablebot_first_word_seconds")
                .record((at - self.job.received).as_secs_f64());
        }
        let taken = purse.charge_for(answer.usage(), &prompt.messages, &text[said_before..]);
        self.app.model.count_tokens(&taken.usage);
        match read {
            Ok(StreamEnd::Finished) => {}
            Ok(StreamEnd::Stopped) => return Ok(stopped_reply(prompt, text, Some(taken), first_word_at)),
            Ok(StreamEnd::Handoff) => {
                self.store_partial(draft.resumable_prefix(&text), &purse, &taken).await?;
                // The lease is taken away in a moment, and with it this work ends.
                std::future::pending().await
            }
            Err(failure) => {
                self.store_partial(draft.resumable_prefix(&text), &purse, &taken).await?;
                return Err(failure);
            }
        }
        if text.trim().is_empty() {
            self.store_partial("", &purse, &taken).await?;
            return Err(JobError::fatal("the model's answer was empty", EMPTY_ANSWER_TEXT));
        }
        for remark in answer.finish_notice().map(str::to_owned).into_iter().chain(prompt.unread_notice()) {
            text.push_str("\n\n");
            text.push_str(&remark);
        }
        self.store_answer(&text, &purse, &taken).await?;
        Ok(CompletedReply {
            text,
            model: taken.usage.model,
            message_text: Some(prompt.message_text),
            is_first_in_thread: prompt.is_first_in_thread,
            is_stopped: false,
            unbilled: None,
            first_token_at: first_word_at,
        })
    }

    /// A model that takes no images is asked without them.
    async fn open_stream(
        &self,
        purse: &Allowance,
        prompt: &mut Prompt,
    ) -> Result<CompletionStream, ModelError> {
        match self.app.model.stream_completion(&purse.selection, &prompt.messages).await {
            Err(ModelError::InvalidRequest(_)) if prompt.has_images() => {
                prompt.drop_images();
                self.app.model.stream_completion(&purse.selection, &prompt.messages).await
            }
            asked => asked,
        }
    }

    async fn store_answer(&self, text: &str, purse: &Allowance, taken: &Charge) -> Result<(), JobError> {
        fail_point::reach("answer_made");
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        let mut tx = self.begin_fenced().await?;
        db::replies::set_answer(&mut tx, tenant_id, seq, text, &taken.usage, taken.cost_micros).await?;
        self.release_unspent(&mut tx, purse).await?;
        tx.commit().await?;
        fail_point::reach("answer_kept");
        Ok(())
    }

    /// Reads the answer to its end behind the text so far, and shows it as it grows.
    async fn read_stream(
        &self,
        answer: &mut CompletionStream,
        first_word_at: &mut Option<Instant>,
        text: &mut String,
        draft: &mut StreamingMessage<'_>,
    ) -> Result<StreamEnd, JobError> {
        let mut inert = MarkdownSanitizer::default();
        // What was said before decides how the rest reads: it may stop within a block of code.
        inert.push(text);
        inert.finish();
        loop {
            let words = tokio::select! {
                words = answer.next() => words?,
                () = self.stop_token.cancelled() => {
                    text.push_str(&inert.finish());
                    return Ok(StreamEnd::Stopped);
                }
                () = self.app.handoff.cancelled() => return Ok(StreamEnd::Handoff),
            };
            let Some(mut words) = words else { break };
            if first_word_at.is_none() {
                *first_word_at = Some(Instant::now());
                if text.ends_with([' ', '\n']) {
                    words = words.trim_start_matches(' ').to_owned();
                }
            }
            text.push_str(&inert.push(&words));
            if text.len() > MAX_ANSWER_BYTES {
                break;
            }
            draft.show_progress(text).await?;
        }
        text.push_str(&inert.finish());
        Ok(StreamEnd::Finished)
    }

    /// Keeps what there is of an answer that breaks off, for whoever goes on with it, and charges it.
    async fn store_partial(&self, text: &str, purse: &Allowance, taken: &Charge) -> Result<(), JobError> {
        let mut tx = self.begin_fenced().await?;
        if !text.trim().is_empty() {
            db::replies::set_partial_text(&mut tx, &self.job.tenant_id, self.job.seq, text).await?;
        }
        self.charge_call(&mut tx, purse, taken).await?;
        Ok(tx.commit().await?)
    }
}

fn stopped_reply(
    prompt: Prompt,
    mut text: String,
    uncharged: Option<Charge>,
    first_word_at: Option<Instant>,
) -> CompletedReply {
    if !text.trim().is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(STOPPED_TEXT);
    let model = uncharged.as_ref().map(|taken| taken.usage.model.clone()).unwrap_or_default();
    let (asked, is_first) = (Some(prompt.message_text), prompt.is_first_in_thread);
    CompletedReply {
        text,
        model,
        message_text: asked,
        is_first_in_thread: is_first,
        is_stopped: true,
        unbilled: uncharged,
        first_token_at: first_word_at,
    }
}
