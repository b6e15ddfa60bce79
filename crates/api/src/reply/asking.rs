//! The model's part of an answer: money held, asked, shown as it comes, kept and charged however it ends.

use std::time::Instant;

use llm::{Answer, ModelError};
use slack::Inert;

use super::answer::Shown;
use super::draft::Draft;
use super::prompt::Prompt;
use crate::fail_point;
use crate::failure::Failure;
use crate::money::{Purse, Taken};
use crate::work::Work;

const EMPTY: &str = "Sorry, the model had nothing to say to this. Please ask in other words.";

const STOPPED: &str = "_Stopped._";

/// The longest answer that is taken, in bytes; a model that goes on beyond it is cut.
pub(crate) const MAX_ANSWER_BYTES: usize = 400_000;

/// Why no more of an answer is read.
enum End {
    Reached,
    Stopped,
    /// The replica stops.
    Leaving,
}

impl Work<'_> {
    /// Asks the model and shows its words as they come; the whole answer is kept before anything else is done with it,
    /// so that it is paid once.
    pub(super) async fn ask(
        &self,
        mut prompt: Prompt,
        mut text: String,
        draft: &mut Draft<'_>,
    ) -> Result<Shown, Failure> {
        prompt.go_on_behind(&text);
        let said_before = text.len();
        let purse = self.reserve(&prompt.messages).await?;
        let asked_at = Instant::now();
        let mut answer = match self.stop.run_until_cancelled(self.open(&purse, &mut prompt)).await {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                self.give_back(&purse).await?;
                return Err(error.into());
            }
            None => return Ok(stopped(prompt, text, None, None)),
        };
        let mut first_word_at = None;
        let read = self.read(&mut answer, &mut first_word_at, &mut text, draft).await;
        if let Some(at) = first_word_at {
            metrics::histogram!("enablebot_reply_first_token_seconds").record((at - asked_at).as_secs_f64());
            metrics::histogram!("enablebot_first_word_seconds")
                .record((at - self.job.received).as_secs_f64());
        }
        let taken = purse.taken(answer.usage(), &prompt.messages, &text[said_before..]);
        self.app.model.count(&taken.usage);
        match read {
            Ok(End::Reached) => {}
            Ok(End::Stopped) => return Ok(stopped(prompt, text, Some(taken), first_word_at)),
            Ok(End::Leaving) => {
                self.keep(draft.worth_keeping(&text), &purse, &taken).await?;
                // The lease is taken away in a moment, and with it this work ends.
                std::future::pending().await
            }
            Err(failure) => {
                self.keep(draft.worth_keeping(&text), &purse, &taken).await?;
                return Err(failure);
            }
        }
        if text.trim().is_empty() {
            self.keep("", &purse, &taken).await?;
            return Err(Failure::give_up("the model's answer was empty", EMPTY));
        }
        for remark in answer.closing_remark().map(str::to_owned).into_iter().chain(prompt.remark()) {
            text.push_str("\n\n");
            text.push_str(&remark);
        }
        self.keep_whole(&text, &purse, &taken).await?;
        Ok(Shown {
            text,
            model: taken.usage.model,
            asked: Some(prompt.asked),
            is_first: prompt.is_first,
            stopped: false,
            uncharged: None,
            first_word_at,
        })
    }

    /// A model that takes no images is asked without them.
    async fn open(&self, purse: &Purse, prompt: &mut Prompt) -> Result<Answer, ModelError> {
        match self.app.model.ask(&purse.choice, &prompt.messages).await {
            Err(ModelError::Refused(_)) if prompt.has_images() => {
                prompt.drop_images();
                self.app.model.ask(&purse.choice, &prompt.messages).await
            }
            asked => asked,
        }
    }

    async fn keep_whole(&self, text: &str, purse: &Purse, taken: &Taken) -> Result<(), Failure> {
        fail_point::reach("answer_made");
        let (tenant_id, seq) = (&self.job.tenant_id, self.job.seq);
        let mut tx = self.fenced().await?;
        db::replies::set_answer(&mut tx, tenant_id, seq, text, &taken.usage, taken.cost_micros).await?;
        self.end_call(&mut tx, purse).await?;
        tx.commit().await?;
        fail_point::reach("answer_kept");
        Ok(())
    }

    /// Reads the answer to its end behind the text so far, and shows it as it grows.
    async fn read(
        &self,
        answer: &mut Answer,
        first_word_at: &mut Option<Instant>,
        text: &mut String,
        draft: &mut Draft<'_>,
    ) -> Result<End, Failure> {
        let mut inert = Inert::default();
        // What was said before decides how the rest reads: it may stop within a block of code.
        inert.push(text);
        inert.finish();
        loop {
            let words = tokio::select! {
                words = answer.next() => words?,
                () = self.stop.cancelled() => {
                    text.push_str(&inert.finish());
                    return Ok(End::Stopped);
                }
                () = self.app.leaving.cancelled() => return Ok(End::Leaving),
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
            draft.show(text).await?;
        }
        text.push_str(&inert.finish());
        Ok(End::Reached)
    }

    /// Keeps what there is of an answer that breaks off, for whoever goes on with it, and charges it.
    async fn keep(&self, text: &str, purse: &Purse, taken: &Taken) -> Result<(), Failure> {
        let mut tx = self.fenced().await?;
        if !text.trim().is_empty() {
            db::replies::set_text_so_far(&mut tx, &self.job.tenant_id, self.job.seq, text).await?;
        }
        self.charge(&mut tx, purse, taken).await?;
        Ok(tx.commit().await?)
    }
}

fn stopped(
    prompt: Prompt,
    mut text: String,
    uncharged: Option<Taken>,
    first_word_at: Option<Instant>,
) -> Shown {
    if !text.trim().is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(STOPPED);
    let model = uncharged.as_ref().map(|taken| taken.usage.model.clone()).unwrap_or_default();
    let (asked, is_first) = (Some(prompt.asked), prompt.is_first);
    Shown { text, model, asked, is_first, stopped: true, uncharged, first_word_at }
}
