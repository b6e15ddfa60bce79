//! One question of a program, from its turn to the end that is kept. It runs in a task of its own: whoever asked may leave at
//! any moment, and what the model was asked for is paid all the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cache::Turn;
use models::{ApiScope, Usage};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use super::asker::Asker;
use super::caller::Caller;
use super::conversation::{Conversation, Deed, new_id};
use super::problem::{Kind, Problem, seconds};
use super::wire::{ChatEnd, ChatRequest, ChatUsage};
use super::{Desk, Said};
use crate::measure::count_put_off;
use crate::money::{Purse, Taken};
use crate::reply::asking::MAX_ANSWER_BYTES;

/// The longest that an answer may take.
const LONGEST: Duration = Duration::from_secs(300);

/// A question in work.
pub(super) struct Inquiry {
    pub(super) desk: Arc<Desk>,
    pub(super) caller: Caller,
    pub(super) request: ChatRequest,
    pub(super) say: UnboundedSender<Said>,
}

/// An answer as far as it has come.
#[derive(Default)]
struct Spoken {
    text: String,
    usage: Usage,
    first_word_at: Option<Instant>,
    /// Whether the model came to its own end.
    complete: bool,
}

impl Inquiry {
    pub(super) async fn run(self) {
        let last = match self.answer().await {
            Ok(end) => Said::End(end),
            Err(problem) => {
                problem.log();
                Said::Problem(problem)
            }
        };
        // Nobody may be there any more.
        let _ = self.say.send(last);
    }

    async fn answer(&self) -> Result<ChatEnd, Problem> {
        self.caller.may(ApiScope::Chat)?;
        let _slot = self.desk.slots.try_acquire().map_err(|_| {
            Problem::new(Kind::Unavailable, "This server begins no more answers just now. Ask again.")
        })?;
        let app = &self.desk.app;
        let asker = Asker::find(app, &self.caller, self.request.user_id.as_deref()).await?;
        let named = self.request.conversation_id.as_deref();
        let conversation = Conversation::open(app, &self.caller, asker, named).await?;
        let answered = self.answer_in(&conversation).await;
        if answered.is_err() {
            conversation.let_go().await;
        }
        answered
    }

    async fn answer_in(&self, conversation: &Conversation<'_>) -> Result<ChatEnd, Problem> {
        self.take_turn().await?;
        let begun = Instant::now();
        let prompt = conversation.prompt(&self.request.message);
        let (purse, seq) = conversation.reserve(&prompt).await?;
        let (mut spoken, message_id) = (Spoken::default(), new_id("m_"));
        let read = tokio::select! {
            read = self.read(&purse, &prompt, &mut spoken) => read,
            problem = self.interrupted(conversation) => Err(problem),
        };
        let taken = match spoken.usage.model.as_str() {
            "" => Taken::default(),
            _ => purse.taken(&spoken.usage, &prompt, &spoken.text),
        };
        self.measure(begun, &spoken, &taken);
        let (first_word_at, asked_at) = (spoken.first_word_at, begun);
        let deed = |broke_off| Deed {
            message_id: &message_id,
            seq,
            taken: &taken,
            asked_at,
            first_word_at,
            broke_off,
        };
        let kept = match read {
            Ok(()) => conversation.keep(&self.request.message, &spoken.text, &deed(false)).await,
            Err(problem) => Err(problem),
        };
        match kept {
            Ok(is_ending) => {
                if is_ending {
                    conversation.tell_of_budget(&self.desk);
                }
                metrics::histogram!("enablebot_reply_seconds").record(begun.elapsed().as_secs_f64());
                Ok(spoken.end(conversation.id(), message_id, taken.usage))
            }
            Err(problem) => {
                self.settle(conversation, &deed(true)).await?;
                Err(problem)
            }
        }
    }

    /// A model that took the question is paid for it; where none did, others may have what was held.
    async fn settle(&self, conversation: &Conversation<'_>, deed: &Deed<'_>) -> Result<(), Problem> {
        if !deed.taken.usage.model.is_empty() {
            if conversation.book(deed).await? {
                conversation.tell_of_budget(&self.desk);
            }
        } else if let Some(seq) = deed.seq {
            conversation.give_back(seq).await;
        }
        Ok(())
    }

    fn measure(&self, begun: Instant, spoken: &Spoken, taken: &Taken) {
        if !taken.usage.model.is_empty() {
            self.desk.app.model.count(&taken.usage);
        }
        if let Some(at) = spoken.first_word_at {
            metrics::histogram!("enablebot_reply_first_token_seconds").record((at - begun).as_secs_f64());
            metrics::histogram!("enablebot_first_word_seconds").record((at - begun).as_secs_f64());
        }
    }

    /// Above a limit nothing is done, and no turn is kept.
    async fn take_turn(&self) -> Result<(), Problem> {
        let turn = self.desk.app.limits.take_turn_now(&self.caller.tenant_id).await;
        let (pause, whose) = match turn {
            Turn::Now => return Ok(()),
            Turn::At(after) => (after, "The workspace's limit"),
            Turn::Later(after) => (after, "The limit of this server"),
        };
        count_put_off(turn);
        let detail = format!("{whose} is used up. Ask again in {} seconds.", seconds(pause));
        Err(Problem::new(Kind::OverLimit, detail).after(pause))
    }

    /// Asks the model and passes on its words as they come.
    async fn read(&self, purse: &Purse, prompt: &[Value], spoken: &mut Spoken) -> Result<(), Problem> {
        let mut answer = self.desk.app.model.ask(&purse.choice, prompt).await?;
        spoken.usage.clone_from(answer.usage());
        let mut is_cut = false;
        while let Some(words) = answer.next().await? {
            spoken.first_word_at.get_or_insert_with(Instant::now);
            spoken.text.push_str(&words);
            spoken.usage.clone_from(answer.usage());
            let _ = self.say.send(Said::Words(words));
            is_cut = spoken.text.len() > MAX_ANSWER_BYTES;
            if is_cut {
                break;
            }
        }
        spoken.usage.clone_from(answer.usage());
        spoken.complete = !is_cut && answer.closing_remark().is_none();
        if spoken.text.trim().is_empty() {
            return Err(Problem::new(
                Kind::ModelFailed,
                "The model had nothing to say to this. Ask in other words.",
            ));
        }
        Ok(())
    }

    /// What may end an answer from outside.
    async fn interrupted(&self, conversation: &Conversation<'_>) -> Problem {
        tokio::select! {
            () = self.say.closed() => Problem::new(Kind::Unavailable, "Whoever asked has left."),
            () = self.desk.closing.cancelled() => Problem::stopping(),
            () = sleep(LONGEST) => Problem::new(
                Kind::TooSlow,
                format!("The answer took longer than {} seconds. Ask for less.", LONGEST.as_secs()),
            ),
            problem = conversation.hold() => problem,
        }
    }
}

impl Spoken {
    fn end(self, conversation_id: &str, message_id: String, usage: Usage) -> ChatEnd {
        let Usage { model, prompt_tokens, completion_tokens } = usage;
        ChatEnd {
            conversation_id: conversation_id.to_owned(),
            message_id,
            model,
            complete: self.complete,
            usage: ChatUsage { prompt_tokens, completion_tokens },
        }
    }
}
