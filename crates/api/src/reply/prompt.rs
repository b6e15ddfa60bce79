//! What the model is asked: who it is, what was said in the thread, and the question.

use models::Role;
use serde_json::{Value, json};

use super::{Question, Reply};
use crate::failure::Failure;

/// Turns that are remembered, at most; a question and its answer are two.
const MAX_TURNS: i64 = 40;

/// Bytes of earlier turns, at most: the oldest go first.
const MAX_HISTORY_BYTES: usize = 48_000;

impl Reply<'_> {
    pub(super) async fn prompt(&self, question: &Question) -> Result<Vec<Value>, Failure> {
        let mut tx = self.app.db.begin().await?;
        let turns = db::turns::list(&mut tx, &self.job.tenant_id, &self.job.thread, MAX_TURNS).await?;
        drop(tx);
        let mut budget = MAX_HISTORY_BYTES;
        let mut recent: Vec<Value> = turns
            .iter()
            .rev()
            .take_while(|turn| {
                let fits = turn.text.len() <= budget;
                budget = budget.saturating_sub(turn.text.len());
                fits
            })
            .map(|turn| json!({ "role": turn.role.as_str(), "content": turn.text }))
            .collect();
        recent.push(json!({ "role": "system", "content": self.instructions(question) }));
        recent.reverse();
        recent.push(json!({ "role": Role::User.as_str(), "content": self.readable(&question.text) }));
        Ok(recent)
    }

    fn instructions(&self, question: &Question) -> String {
        let place = if question.is_dm { "a direct message" } else { "a thread of a channel" };
        format!(
            "You are EnableBot, an assistant in the Slack workspace \"{}\". You answer in {place}. Today is {}. \
             Answer in the language of the question, to the point, and in Markdown. Say so when you do not know. \
             You cannot see other channels or files, nor act outside this conversation.",
            self.installation.name,
            chrono::Utc::now().format("%A, %d %B %Y"),
        )
    }
}
