//! The queue as `migrations/0005_threads.sql`, `db::threads::claim` and `api`'s leases have it, event by event: virtual starts,
//! a tenant's share of a replica's slots, and the lease after which the threads of a lost replica are taken over.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::day::{Day, Question};
use crate::bench::percentile;

/// Time is counted in microseconds.
pub(super) const SECOND: u64 = 1_000_000;

/// How long a lease holds, and how long a lost replica is away.
const LEASE: u64 = 6 * SECOND;
pub(super) const AWAY: u64 = 120 * SECOND;

/// Ready threads that one claim looks at, beside those it takes.
const PASSED_OVER: usize = 512;

/// The time over which the busiest is looked for.
const QUARTER: u64 = 15 * 60 * SECOND;

/// Replicas of `api`.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// How many.
    pub replicas: u32,
    /// `MAX_CONCURRENT_REPLIES` of each.
    pub slots: u32,
    /// Whether the first is lost at noon, and comes back empty.
    pub loses_one: bool,
}

/// What a day was like.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Questions that were answered.
    pub answered: usize,
    /// From the first to the last, in seconds.
    pub seconds: f64,
    /// Seconds until an answer began that came to its end, sorted.
    pub waits: Vec<f64>,
    /// The most slots that were busy, in the mean of a quarter of an hour.
    pub busiest: f64,
    /// Slots that were busy, in the mean of all.
    pub mean_busy: f64,
    /// Questions that waited or were answered, in the mean of all.
    pub mean_inside: f64,
    /// Seconds from a question to the end of its answer, in the mean.
    pub mean_stay: f64,
    by_workspace: Vec<(u32, f64)>,
}

impl Outcome {
    /// The wait that this share of the questions does not exceed, in seconds.
    pub fn wait(&self, share: f64) -> f64 {
        percentile(&self.waits, share)
    }

    /// The waits of one workspace.
    pub fn waits_by_workspace(&self, workspace: u32) -> Vec<f64> {
        let own = self.by_workspace.iter().filter(|(one, _)| *one == workspace);
        own.map(|(_, wait)| *wait).collect()
    }
}

/// What happens next, beside a question's coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// An answer ends, unless its replica was lost since.
    Ends { replica: usize, life: u32, question: usize },
    /// A replica is gone, and what it worked on.
    Lost { replica: usize },
    /// The lease of a lost one ends.
    Free { question: usize, start: u64 },
    /// It is there again.
    Back { replica: usize },
}

struct Replica {
    is_there: bool,
    life: u32,
    held: HashMap<u32, usize>,
    /// The questions in work, each with its virtual start.
    work: HashMap<usize, u64>,
}

/// A day under way.
struct Run<'a> {
    day: &'a Day,
    slots: usize,
    replicas: Vec<Replica>,
    happenings: BinaryHeap<Reverse<(u64, Happening)>>,
    /// By virtual start, then by coming.
    ready: BinaryHeap<Reverse<(u64, usize)>>,
    clock: u64,
    last_start: Vec<u64>,
    now: u64,
    inside: u64,
    busy: u64,
    sums: Sums,
    begun_at: Vec<u64>,
    stays: u64,
    ended: Vec<usize>,
}

/// Integrals over time, in microseconds.
#[derive(Default)]
struct Sums {
    inside: u128,
    busy: u128,
    quarters: HashMap<u64, u128>,
}

impl Fleet {
    /// Lets the replicas answer all of a day.
    pub fn serve(&self, day: &Day) -> Outcome {
        let replica = || Replica { is_there: true, life: 0, held: HashMap::new(), work: HashMap::new() };
        let mut run = Run {
            day,
            slots: self.slots as usize,
            replicas: (0..self.replicas).map(|_| replica()).collect(),
            happenings: BinaryHeap::new(),
            ready: BinaryHeap::new(),
            clock: 0,
            last_start: vec![0; day.workspaces as usize],
            now: 0,
            inside: 0,
            busy: 0,
            sums: Sums::default(),
            begun_at: vec![0; day.questions.len()],
            stays: 0,
            ended: Vec::with_capacity(day.questions.len()),
        };
        if self.loses_one {
            run.happenings.push(Reverse((day.noon(), Happening::Lost { replica: 0 })));
        }
        run.all();
        run.outcome()
    }
}

impl Run<'_> {
    fn all(&mut self) {
        let mut next = 0;
        loop {
            let comes = self.day.questions.get(next).map(|question| question.at);
            let happens = self.happenings.peek().map(|Reverse((at, _))| *at);
            match (comes, happens) {
                (None, None) => return,
                (Some(at), happens) if happens.is_none_or(|happens| at <= happens) => {
                    self.move_to(at);
                    self.inside += 1;
                    self.wake(next);
                    next += 1;
                }
                _ => {
                    let Some(Reverse((at, happening))) = self.happenings.pop() else { return };
                    self.move_to(at);
                    self.let_happen(happening);
                }
            }
            self.claim();
        }
    }

    fn move_to(&mut self, at: u64) {
        let time = at.saturating_sub(self.now);
        self.sums.inside += u128::from(self.inside) * u128::from(time);
        self.sums.busy += u128::from(self.busy) * u128::from(time);
        *self.sums.quarters.entry(self.now / QUARTER).or_default() +=
            u128::from(self.busy) * u128::from(time);
        self.now = at;
    }

    fn question(&self, number: usize) -> Question {
        self.day.questions[number]
    }

    /// A place behind the clock, and behind the tenant's own that are ready.
    fn wake(&mut self, number: usize) {
        let last = &mut self.last_start[self.day.questions[number].workspace as usize];
        *last = self.clock.max(*last) + 1;
        self.ready.push(Reverse((*last, number)));
    }

    fn let_happen(&mut self, happening: Happening) {
        match happening {
            Happening::Ends { replica, life, question } => self.end(replica, life, question),
            Happening::Lost { replica } => {
                let lost = &mut self.replicas[replica];
                (lost.is_there, lost.life) = (false, lost.life + 1);
                lost.held.clear();
                let mut work: Vec<_> = lost.work.drain().collect();
                work.sort_unstable();
                self.busy -= work.len() as u64;
                let free =
                    |(question, start)| Reverse((self.now + LEASE, Happening::Free { question, start }));
                self.happenings.extend(work.into_iter().map(free));
                self.happenings.push(Reverse((self.now + AWAY, Happening::Back { replica })));
            }
            Happening::Free { question, start } => self.ready.push(Reverse((start, question))),
            Happening::Back { replica } => self.replicas[replica].is_there = true,
        }
    }

    fn end(&mut self, replica: usize, life: u32, question: usize) {
        let Question { at, workspace, .. } = self.question(question);
        let holder = &mut self.replicas[replica];
        if holder.life != life {
            return;
        }
        holder.work.remove(&question);
        if let Some(held) = holder.held.get_mut(&workspace) {
            *held -= 1;
            if *held == 0 {
                holder.held.remove(&workspace);
            }
        }
        self.busy -= 1;
        self.inside -= 1;
        self.stays += self.now - at;
        self.ended.push(question);
    }

    /// Those with free slots take what is first, the emptiest replica first, and pass over tenants that hold their share.
    fn claim(&mut self) {
        let mut passed = Vec::new();
        while let Some(Reverse((start, number))) = self.ready.pop() {
            let question = self.question(number);
            let fits =
                |replica: &&mut Replica| replica.is_there && replica.has_room(question.workspace, self.slots);
            let taker = self.replicas.iter_mut().enumerate().filter(|(_, replica)| fits(replica));
            let Some((place, replica)) = taker.min_by_key(|(place, replica)| (replica.work.len(), *place))
            else {
                passed.push(Reverse((start, number)));
                let is_full = |one: &Replica| !one.is_there || one.work.len() >= self.slots;
                if passed.len() > PASSED_OVER || self.replicas.iter().all(is_full) {
                    break;
                }
                continue;
            };
            replica.work.insert(number, start);
            *replica.held.entry(question.workspace).or_default() += 1;
            let ends = Happening::Ends { replica: place, life: replica.life, question: number };
            self.clock = self.clock.max(start);
            self.busy += 1;
            self.begun_at[number] = self.now;
            self.happenings.push(Reverse((self.now + question.takes, ends)));
        }
        self.ready.extend(passed);
    }

    fn outcome(mut self) -> Outcome {
        let first = self.day.questions.first().map_or(0, |question| question.at);
        let time = (self.now - first).max(1) as f64;
        let in_seconds = |micros: u64| micros as f64 / SECOND as f64;
        self.ended.sort_unstable();
        let wait = |&number: &usize| {
            let Question { at, workspace, .. } = self.day.questions[number];
            (workspace, in_seconds(self.begun_at[number] - at))
        };
        let by_workspace: Vec<(u32, f64)> = self.ended.iter().map(wait).collect();
        let mut waits: Vec<f64> = by_workspace.iter().map(|(_, wait)| *wait).collect();
        waits.sort_by(f64::total_cmp);
        let answered = self.ended.len();
        Outcome {
            answered,
            seconds: time / SECOND as f64,
            waits,
            busiest: self.sums.quarters.values().max().map_or(0.0, |busy| *busy as f64 / QUARTER as f64),
            mean_busy: self.sums.busy as f64 / time,
            mean_inside: self.sums.inside as f64 / time,
            mean_stay: in_seconds(self.stays) / answered.max(1) as f64,
            by_workspace,
        }
    }
}

impl Replica {
    /// A free slot, and one within the tenant's share: all but an eighth of what others do not hold.
    fn has_room(&self, workspace: u32, slots: usize) -> bool {
        let own = self.held.get(&workspace).copied().unwrap_or_default();
        let left = slots.saturating_sub(self.work.len() - own);
        self.work.len() < slots && own < left - left / 8
    }
}
