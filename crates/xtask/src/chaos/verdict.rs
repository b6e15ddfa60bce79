//! What became of every message, by what stands in Slack.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use simulator::{Delivery, Message, Simulator};

use super::people::Asked;
use super::takeovers::Takeover;
use crate::bench::percentile;
use crate::stack::Stack;

/// Within this a dead replica's work is taken over, while there is a Postgres that knows of it.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(15);

/// What the queue knows of a message.
struct Stored {
    seq: u64,
    outcome: String,
    reason: String,
}

/// A message and its reply, in a thread.
struct Place<'a> {
    seq: u64,
    asked: &'a str,
    replied: &'a str,
    what: String,
}

impl Place<'_> {
    /// A message that came to the queue later than the next one may find that one answered.
    fn overtook(&self, other: &Place) -> bool {
        self.asked > other.asked && self.seq > other.seq && self.replied < other.replied
    }
}

/// What the run comes to.
#[derive(Default)]
pub struct Verdict {
    asked: usize,
    answered: usize,
    set_aside: BTreeMap<String, usize>,
    /// Slack gave up before any replica acknowledged them.
    undelivered: usize,
    lost: Vec<String>,
    doubled: Vec<String>,
    out_of_order: Vec<String>,
    takeovers: Vec<Takeover>,
}

impl Verdict {
    pub(super) fn reach(
        stack: &Stack,
        simulator: &Simulator,
        asked: &[Asked],
        takeovers: Vec<Takeover>,
    ) -> Result<Self> {
        let stored = stored(stack)?;
        let deliveries = simulator.deliveries();
        let mut verdict = Self { asked: asked.len(), takeovers, ..Self::default() };
        let mut threads: BTreeMap<_, Vec<&Asked>> = BTreeMap::new();
        for one in asked {
            threads.entry((&one.team, &one.channel, &one.thread_ts)).or_default().push(one);
        }
        for ((team, channel, thread_ts), asked) in threads {
            let mut replies = simulator.thread(team, channel, thread_ts);
            replies.retain(|message| message.bot_id.is_some());
            verdict.judge(&asked, &replies, &stored, &deliveries);
        }
        Ok(verdict)
    }

    /// One thread.
    fn judge(
        &mut self,
        asked: &[&Asked],
        replies: &[Message],
        stored: &BTreeMap<String, Stored>,
        deliveries: &[Delivery],
    ) {
        let is_acknowledged =
            |ts: &str| deliveries.iter().any(|one| one.event_ts == ts && one.status == Some(200));
        let mut order = Vec::new();
        let mut apologies = 0;
        for one in asked {
            let of_it: Vec<&Message> =
                replies.iter().filter(|reply| reply.shown().contains(one.mark())).collect();
            let kept = stored.get(&key(&one.team, &one.channel, &one.ts));
            let what = format!(
                "{} in {} {}: {} ({}){}",
                one.ts,
                one.team,
                one.channel,
                kept.map_or("not stored", |kept| &kept.outcome),
                of_it.iter().map(|reply| reply.shown()).collect::<Vec<_>>().join(" / "),
                deliveries
                    .iter()
                    .filter(|delivery| delivery.event_ts == one.ts)
                    .map(told)
                    .collect::<String>(),
            );
            if let ([first, ..], Some(kept)) = (&of_it[..], kept) {
                order.push(Place { seq: kept.seq, asked: &one.ts, replied: &first.ts, what: what.clone() });
            }
            match (&of_it[..], kept) {
                (_, None) if !is_acknowledged(&one.ts) => self.undelivered += 1,
                (_, Some(kept)) if kept.outcome == "set_aside" => {
                    *self.set_aside.entry(kept.reason.clone()).or_default() += 1;
                    apologies += 1;
                }
                ([reply], Some(_)) if reply.shown() == one.answer && !reply.streaming => self.answered += 1,
                ([_, _, ..], _) => self.doubled.push(what),
                _ => self.lost.push(what),
            }
        }
        // A message that is nobody's answer is one too many, unless it is an apology.
        let strangers = replies.iter().filter(|reply| {
            let shown = reply.shown();
            !asked.iter().any(|one| shown.contains(one.mark()))
        });
        self.doubled.extend(strangers.skip(apologies).map(|reply| format!("{} {}", reply.ts, reply.shown())));
        let overtaken = order.iter().filter(|one| order.iter().any(|other| other.overtook(one)));
        self.out_of_order.extend(overtaken.map(|one| one.what.clone()));
    }

    /// Takeovers by their length, of which `part` counts.
    fn takeovers(&self, part: fn(&Takeover) -> Duration) -> Vec<Duration> {
        let mut times: Vec<Duration> = self.takeovers.iter().map(part).collect();
        times.sort();
        times
    }

    /// Whether nothing was lost, doubled or out of order, and all was taken over in time.
    pub fn is_good(&self) -> bool {
        let faults = [&self.lost, &self.doubled, &self.out_of_order];
        faults.iter().all(|faults| faults.is_empty())
            && percentile(&self.takeovers(|one| one.reachable), 0.99) < TAKEOVER_LIMIT
    }

    pub(super) fn print(&self) {
        let faults = [("lost", &self.lost), ("doubled", &self.doubled), ("out of order", &self.out_of_order)];
        println!("\n{:28} {:7}", "messages", self.asked);
        println!("{:28} {:7}", "answered", self.answered);
        println!("{:28} {:7}", "never delivered by Slack", self.undelivered);
        println!("{:28} {:7}", "set aside", self.set_aside.values().sum::<usize>());
        for (reason, count) in &self.set_aside {
            println!("{count:8}  {reason}");
        }
        for (name, found) in faults {
            println!("{name:28} {:7}", found.len());
        }
        println!("{:28} {:7}", "takeovers", self.takeovers.len());
        self.print_takeovers("while Postgres was there", |one| one.reachable);
        self.print_takeovers("with its outages", |one| one.all);
        for (name, found) in faults {
            found.iter().for_each(|what| println!("{name}: {what}"));
        }
    }

    fn print_takeovers(&self, name: &str, part: fn(&Takeover) -> Duration) {
        let times = self.takeovers(part);
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| percentile(&times, share).as_secs_f64());
        println!("  {name:26} p50 {p50:.1} s, p99 {p99:.1} s, max {max:.1} s");
    }
}

/// An attempt of Slack's to deliver, for whoever looks for the cause.
fn told(delivery: &Delivery) -> String {
    let Delivery { event_id, event_type, sent_at, status, .. } = delivery;
    format!("\n    {} {event_type} {event_id} {status:?}", sent_at.format("%T%.3f"))
}

fn key(team: &str, channel: &str, ts: &str) -> String {
    format!("{team} {channel} {ts}")
}

fn stored(stack: &Stack) -> Result<BTreeMap<String, Stored>> {
    let rows = stack.ask(
        "select tenant_id, channel_id, message_ts, seq, coalesce(outcome, ''),
                translate(coalesce(reason, ''), E'|\\n', '  ')
         from events where message_ts is not null",
    )?;
    let read = |row: &str| {
        let columns: Vec<&str> = row.split('|').collect();
        let [team, channel, ts, seq, outcome, reason] = columns[..] else { return None };
        let stored = Stored { seq: seq.parse().ok()?, outcome: outcome.into(), reason: reason.into() };
        Some((key(team, channel, ts), stored))
    };
    Ok(rows.lines().filter_map(read).collect())
}
