//! The result of every message, as Slack shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use simulator::{DeliveryAttempt, Simulator, SlackMessage};

use super::failover::Takeover;
use super::load::SentMessage;
use crate::stack::Stack;
use crate::statistics::percentile;

/// The time limit for taking over a failed replica's work, not counting outages of Postgres.
const MAX_TAKEOVER_TIME: Duration = Duration::from_secs(15);

/// A message as the queue knows it.
struct QueuedMessage {
    seq: u64,
    outcome: String,
    reason: String,
}

/// A message and its reply in a thread.
struct OrderedReply<'a> {
    seq: u64,
    message_ts: &'a str,
    reply_ts: &'a str,
    description: String,
}

impl OrderedReply<'_> {
    /// Returns whether this message was answered before an earlier one. Messages that reached the queue in
    /// another order may be.
    fn overtook(&self, other: &OrderedReply) -> bool {
        self.message_ts > other.message_ts && self.seq > other.seq && self.reply_ts < other.reply_ts
    }
}

/// The result of a run.
#[derive(Default)]
pub struct ChaosReport {
    sent: usize,
    answered: usize,
    dead_lettered: BTreeMap<String, usize>,
    /// Messages that Slack gave up before a replica acknowledged them.
    undelivered: usize,
    lost: Vec<String>,
    duplicated: Vec<String>,
    out_of_order: Vec<String>,
    takeovers: Vec<Takeover>,
}

impl ChaosReport {
    pub(super) fn build(
        stack: &Stack,
        simulator: &Simulator,
        sent: &[SentMessage],
        takeovers: Vec<Takeover>,
    ) -> Result<Self> {
        let stored = load_queued_messages(stack)?;
        let deliveries = simulator.deliveries();
        let mut verdict = Self { sent: sent.len(), takeovers, ..Self::default() };
        let mut threads: BTreeMap<_, Vec<&SentMessage>> = BTreeMap::new();
        for one in sent {
            threads.entry((&one.team, &one.channel, &one.thread_ts)).or_default().push(one);
        }
        for ((team, channel, thread_ts), asked) in threads {
            let mut replies = simulator.thread(team, channel, thread_ts);
            replies.retain(|message| message.bot_id.is_some());
            verdict.check_thread(&asked, &replies, &stored, &deliveries);
        }
        Ok(verdict)
    }

    /// Checks one thread.
    fn check_thread(
        &mut self,
        sent: &[&SentMessage],
        replies: &[SlackMessage],
        stored: &BTreeMap<String, QueuedMessage>,
        deliveries: &[DeliveryAttempt],
    ) {
        let is_acknowledged =
            |ts: &str| deliveries.iter().any(|one| one.event_ts == ts && one.status == Some(200));
        let mut order = Vec::new();
        let mut apologies = 0;
        for one in sent {
            let of_it: Vec<&SlackMessage> =
                replies.iter().filter(|reply| reply.visible_text().contains(one.unique_prefix())).collect();
            let kept = stored.get(&message_key(&one.team, &one.channel, &one.ts));
            let what = format!(
                "{} in {} {}: {} ({}){}",
                one.ts,
                one.team,
                one.channel,
                kept.map_or("not stored", |kept| &kept.outcome),
                of_it.iter().map(|reply| reply.visible_text()).collect::<Vec<_>>().join(" / "),
                deliveries
                    .iter()
                    .filter(|delivery| delivery.event_ts == one.ts)
                    .map(format_delivery)
                    .collect::<String>(),
            );
            if let ([first, ..], Some(kept)) = (&of_it[..], kept) {
                order.push(OrderedReply {
                    seq: kept.seq,
                    message_ts: &one.ts,
                    reply_ts: &first.ts,
                    description: what.clone(),
                });
            }
            match (&of_it[..], kept) {
                (_, None) if !is_acknowledged(&one.ts) => self.undelivered += 1,
                (_, Some(kept)) if kept.outcome == "set_aside" => {
                    *self.dead_lettered.entry(kept.reason.clone()).or_default() += 1;
                    apologies += 1;
                }
                ([reply], Some(_)) if reply.visible_text() == one.expected_reply && !reply.is_streaming => {
                    self.answered += 1
                }
                ([_, _, ..], _) => self.duplicated.push(what),
                _ => self.lost.push(what),
            }
        }
        // A bot message that answers nothing is a duplicate, unless it is an error notice.
        let strangers = replies.iter().filter(|reply| {
            let shown = reply.visible_text();
            !sent.iter().any(|one| shown.contains(one.unique_prefix()))
        });
        self.duplicated
            .extend(strangers.skip(apologies).map(|reply| format!("{} {}", reply.ts, reply.visible_text())));
        let overtaken = order.iter().filter(|one| order.iter().any(|other| other.overtook(one)));
        self.out_of_order.extend(overtaken.map(|one| one.description.clone()));
    }

    /// Returns the sorted durations of takeovers, as selected by `part`.
    fn takeover_times(&self, part: fn(&Takeover) -> Duration) -> Vec<Duration> {
        let mut times: Vec<Duration> = self.takeovers.iter().map(part).collect();
        times.sort();
        times
    }

    /// Returns whether nothing was lost, duplicated or out of order, and all takeovers were in time.
    pub fn has_passed(&self) -> bool {
        let faults = [&self.lost, &self.duplicated, &self.out_of_order];
        faults.iter().all(|faults| faults.is_empty())
            && percentile(&self.takeover_times(|one| one.while_reachable), 0.99) < MAX_TAKEOVER_TIME
    }

    pub(super) fn print(&self) {
        let faults =
            [("lost", &self.lost), ("doubled", &self.duplicated), ("out of order", &self.out_of_order)];
        println!("\n{:28} {:7}", "messages", self.sent);
        println!("{:28} {:7}", "answered", self.answered);
        println!("{:28} {:7}", "not delivered by Slack", self.undelivered);
        println!("{:28} {:7}", "set aside", self.dead_lettered.values().sum::<usize>());
        for (reason, count) in &self.dead_lettered {
            println!("{count:8}  {reason}");
        }
        for (name, found) in faults {
            println!("{name:28} {:7}", found.len());
        }
        println!("{:28} {:7}", "takeovers", self.takeovers.len());
        self.print_takeovers("without outages of Postgres", |one| one.while_reachable);
        self.print_takeovers("with outages of Postgres", |one| one.total);
        for (name, found) in faults {
            found.iter().for_each(|what| println!("{name}: {what}"));
        }
    }

    fn print_takeovers(&self, name: &str, part: fn(&Takeover) -> Duration) {
        let times = self.takeover_times(part);
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| percentile(&times, share).as_secs_f64());
        println!("  {name:26} p50 {p50:.1} s, p99 {p99:.1} s, max {max:.1} s");
    }
}

/// Formats a delivery attempt of Slack, to help find the cause.
fn format_delivery(delivery: &DeliveryAttempt) -> String {
    let DeliveryAttempt { event_id, event_type, sent_at, status, .. } = delivery;
    format!("\n    {} {event_type} {event_id} {status:?}", sent_at.format("%T%.3f"))
}

fn message_key(team: &str, channel: &str, ts: &str) -> String {
    format!("{team} {channel} {ts}")
}

fn load_queued_messages(stack: &Stack) -> Result<BTreeMap<String, QueuedMessage>> {
    let rows = stack.query(
        "select tenant_id, channel_id, message_ts, seq, coalesce(outcome, ''),
                translate(coalesce(reason, ''), E'|\\n', '  ')
         from events where message_ts is not null",
    )?;
    let read = |row: &str| {
        let columns: Vec<&str> = row.split('|').collect();
        let [team, channel, ts, seq, outcome, reason] = columns[..] else { return None };
        let stored = QueuedMessage { seq: seq.parse().ok()?, outcome: outcome.into(), reason: reason.into() };
        Some((message_key(team, channel, ts), stored))
    };
    Ok(rows.lines().filter_map(read).collect())
}
