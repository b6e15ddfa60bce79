//! One request to the model: sent, read as it arrives, and charged however it ends.

use std::future::Future;
use std::time::Instant;

use llm::{CompletionStream, ModelClient, ModelError};
use slack::MarkdownSanitizer;

use crate::budget::{Allowance, Charge};
use crate::prompt::Prompt;

/// The longest answer in bytes; a model that writes more is cut off.
const MAX_ANSWER_BYTES: usize = 400_000;

/// The place where an answer is shown while the model writes it.
pub trait AnswerSink {
    /// The reason why an answer ends early: an interrupt, or an error of the place or of the model.
    type End: From<ModelError>;

    /// Shows the text so far, of which `added` is new. `is_last` is true for the piece at which a too long
    /// answer is cut off.
    fn show(
        &mut self,
        text: &str,
        added: &str,
        is_last: bool,
    ) -> impl Future<Output = Result<(), Self::End>> + Send;

    /// Waits for an interrupt. It is called again after each piece of text, and must be cancel safe.
    fn interrupted(&mut self, phase: CallPhase) -> impl Future<Output = Self::End> + Send;

    /// Returns whether nothing will be appended to the answer after this interrupt. Then the text that the
    /// sanitizer still holds back belongs to it.
    fn is_final(interrupt: &Self::End) -> bool;

    /// Returns the reason for a model that finished without any text.
    fn empty() -> Self::End;
}

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallPhase {
    /// The model has not accepted it yet.
    Opening,
    /// The model is writing.
    Reading,
}

/// The request to send.
pub struct ModelCall<'a> {
    /// The client of the model's server.
    pub model: &'a ModelClient,
    /// The models that may be used, and the maximum length.
    pub allowance: &'a Allowance,
    /// The time at which the message arrived.
    pub received_at: Instant,
    /// The kind of arrival, a label of the metric: `event` from Slack or `request` to `/api/chat`.
    pub source: &'static str,
}

/// The text of an answer so far.
#[derive(Default)]
pub struct PartialAnswer {
    text: String,
    /// The bytes that earlier requests wrote.
    resumed_bytes: usize,
    sanitizer: Option<MarkdownSanitizer>,
    first_token_at: Option<Instant>,
}

/// The result of a request.
pub struct CallResult<E> {
    /// The answer's text, including what earlier requests wrote.
    pub text: String,
    /// The time at which this request's first text arrived.
    pub first_token_at: Option<Instant>,
    /// The charge; `None` if no model accepted the request.
    pub charge: Option<Charge>,
    /// The model's own end, or the reason why the answer ended early.
    pub end: Result<FinishedAnswer, E>,
}

/// The end of an answer that the model finished, or that was cut off at the maximum size.
pub struct FinishedAnswer {
    /// True if the model ended by itself, with everything it wanted to write.
    pub is_whole: bool,
    /// The remark for the person if it did not.
    pub notice: Option<&'static str>,
}

impl PartialAnswer {
    /// Continues this text, which may be empty, and sanitizes what is added.
    pub fn sanitized(text_so_far: String) -> Self {
        let mut sanitizer = MarkdownSanitizer::default();
        // The text so far decides how the rest reads: it may end inside a code block.
        sanitizer.push(&text_so_far);
        sanitizer.finish();
        Self {
            resumed_bytes: text_so_far.len(),
            text: text_so_far,
            sanitizer: Some(sanitizer),
            first_token_at: None,
        }
    }

    /// Appends the model's words. Returns the text that was added.
    fn push(&mut self, mut words: String) -> String {
        if self.first_token_at.is_none() {
            self.first_token_at = Some(Instant::now());
            if self.text.ends_with([' ', '\n']) {
                words = words.trim_start_matches(' ').to_owned();
            }
        }
        let added = match &mut self.sanitizer {
            Some(sanitizer) => sanitizer.push(&words),
            None => words,
        };
        self.text.push_str(&added);
        added
    }

    /// Appends the text that the sanitizer holds back.
    fn flush(&mut self) {
        if let Some(sanitizer) = &mut self.sanitizer {
            self.text.push_str(&sanitizer.finish());
        }
    }
}

/// Sends the request and shows the answer as it arrives. The returned charge is to be stored by the caller.
pub async fn complete<S: AnswerSink>(
    call: ModelCall<'_>,
    prompt: &mut Prompt,
    mut answer: PartialAnswer,
    sink: &mut S,
) -> CallResult<S::End> {
    let requested_at = Instant::now();
    // An interrupt that is already there prevents the request; a response that is there is charged.
    let early = tokio::select! {
        biased;
        interrupt = sink.interrupted(CallPhase::Opening) => Some(interrupt),
        () = std::future::ready(()) => None,
    };
    let opened = match early {
        Some(interrupt) => Err(interrupt),
        None => tokio::select! {
            biased;
            opened = open_stream(&call, prompt) => opened.map_err(S::End::from),
            interrupt = sink.interrupted(CallPhase::Opening) => Err(interrupt),
        },
    };
    let (charge, end) = match opened {
        Ok(mut stream) => {
            let end = read_stream(&mut stream, &mut answer, sink).await;
            let written = &answer.text[answer.resumed_bytes..];
            let charge = call.allowance.charge_for(stream.usage(), &prompt.messages, written);
            call.model.count_tokens(&charge.usage);
            (Some(charge), end)
        }
        Err(end) => (None, Err(end)),
    };
    if let Some(at) = answer.first_token_at {
        metrics::histogram!("enablebot_reply_first_token_seconds").record((at - requested_at).as_secs_f64());
        metrics::histogram!("enablebot_time_to_first_token_seconds", "from" => call.source)
            .record((at - call.received_at).as_secs_f64());
    }
    CallResult { text: answer.text, first_token_at: answer.first_token_at, charge, end }
}

/// Sends the request, without images if the model does not accept them.
async fn open_stream(call: &ModelCall<'_>, prompt: &mut Prompt) -> Result<CompletionStream, ModelError> {
    let selection = &call.allowance.selection;
    match call.model.stream_completion(selection, &prompt.messages).await {
        Err(ModelError::InvalidRequest(_)) if prompt.has_images() => {
            prompt.drop_images();
            call.model.stream_completion(selection, &prompt.messages).await
        }
        opened => opened,
    }
}

async fn read_stream<S: AnswerSink>(
    stream: &mut CompletionStream,
    answer: &mut PartialAnswer,
    sink: &mut S,
) -> Result<FinishedAnswer, S::End> {
    let mut is_cut = false;
    while !is_cut {
        let words = tokio::select! {
            words = stream.next() => words?,
            interrupt = sink.interrupted(CallPhase::Reading) => {
                if S::is_final(&interrupt) {
                    answer.flush();
                }
                return Err(interrupt);
            }
        };
        let Some(words) = words else { break };
        let added = answer.push(words);
        is_cut = answer.text.len() > MAX_ANSWER_BYTES;
        sink.show(&answer.text, &added, is_cut).await?;
    }
    answer.flush();
    if answer.text.trim().is_empty() {
        return Err(S::empty());
    }
    let notice = stream.finish_notice();
    Ok(FinishedAnswer { is_whole: !is_cut && notice.is_none(), notice })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continued_answer_has_no_double_space() {
        let mut answer = PartialAnswer::sanitized("One ".to_owned());
        assert_eq!(answer.push(" two".to_owned()), "two");
        assert_eq!(answer.push(" three".to_owned()), " three");
        answer.flush();
        assert_eq!((answer.text.as_str(), answer.resumed_bytes), ("One two three", 4));
    }

    #[test]
    fn sanitizer_holds_back_incomplete_link() {
        let mut sanitized = PartialAnswer::sanitized(String::new());
        let mut plain = PartialAnswer::default();
        for words in ["See [bank.example](", "https://evil.example)."] {
            sanitized.push(words.to_owned());
            assert_eq!(plain.push(words.to_owned()), words);
        }
        sanitized.flush();
        assert_eq!(plain.text, "See [bank.example](https://evil.example).");
        assert!(sanitized.text.contains("bank.example (https://evil.example)"), "{}", sanitized.text);
    }
}
