//! A model of the queue as in `migrations/0003_queue.sql`, `db::threads::claim` and `api`'s leases: virtual
//! start times, a tenant's share of a replica's slots, and the lease after which a lost replica's threads are
//! taken over.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::workload::{SimulatedDay, SimulatedMessage};
use crate::statistics::percentile;

/// The unit of time is a microsecond.
pub(super) const MICROS_PER_SECOND: u64 = 1_000_000;

/// The duration of a lease, and of a replica's absence.
const SIMULATED_LEASE: u64 = 6 * MICROS_PER_SECOND;
pub(super) const REPLICA_OUTAGE: u64 = 120 * MICROS_PER_SECOND;

/// Ready threads that a claim may skip, in addition to those it takes.
const MAX_SKIPPED_THREADS: usize = 512;

/// The window for the busiest time.
const QUARTER_HOUR: u64 = 15 * 60 * MICROS_PER_SECOND;

/// The replicas of `api`.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedFleet {
    /// The number of replicas.
    pub replicas: u32,
    /// `MAX_CONCURRENT_REPLIES` of each.
    pub slots: u32,
    /// If true, the first replica is lost at noon and returns empty.
    pub has_replica_loss: bool,
}

/// The result of a day.
#[derive(Clone, Debug)]
pub struct SimulationResult {
    /// The number of answered messages.
    pub answered: usize,
    /// Seconds from the first message to the last reply.
    pub seconds: f64,
    /// Seconds until the successful reply began, sorted.
    pub wait_seconds: Vec<f64>,
    /// The highest mean number of busy slots over a quarter of an hour.
    pub busiest_slots: f64,
    /// The mean number of busy slots.
    pub mean_busy_slots: f64,
    /// The mean number of messages waiting or in progress.
    pub mean_in_system: f64,
    /// The mean seconds from a message to the end of its reply.
    pub mean_time_in_system: f64,
    waits_with_workspace: Vec<(u32, f64)>,
}

impl SimulationResult {
    /// Returns the wait in seconds that this share of the messages does not exceed.
    pub fn wait_percentile(&self, quantile: f64) -> f64 {
        percentile(&self.wait_seconds, quantile)
    }

    /// Returns the waits of one workspace.
    pub fn list_workspace_waits(&self, workspace: u32) -> Vec<f64> {
        let own = self.waits_with_workspace.iter().filter(|(one, _)| *one == workspace);
        own.map(|(_, wait)| *wait).collect()
    }
}

/// A future event, apart from the arrival of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SimulationEvent {
    /// A reply ends, unless its replica was lost in the meantime.
    ReplyFinished { replica: usize, generation: u32, message: usize },
    /// A replica is lost with all its work.
    ReplicaLost { replica: usize },
    /// The lease of a lost replica's thread ends.
    LeaseExpired { message: usize, start: u64 },
    /// The replica is back.
    ReplicaReturned { replica: usize },
}

struct SimulatedReplica {
    is_up: bool,
    generation: u32,
    slots_by_workspace: HashMap<u32, usize>,
    /// Messages in progress, each with its virtual start.
    replies_in_progress: HashMap<usize, u64>,
}

/// The state of a day.
struct Simulation<'a> {
    day: &'a SimulatedDay,
    slots: usize,
    replicas: Vec<SimulatedReplica>,
    events: BinaryHeap<Reverse<(u64, SimulationEvent)>>,
    /// Ordered by virtual start, then by arrival.
    ready: BinaryHeap<Reverse<(u64, usize)>>,
    virtual_clock: u64,
    last_virtual_start: Vec<u64>,
    now: u64,
    in_system: u64,
    busy_slots: u64,
    integrals: TimeIntegrals,
    started_at: Vec<u64>,
    total_time_in_system: u64,
    finished: Vec<usize>,
}

/// Integrals over time, in microseconds.
#[derive(Default)]
struct TimeIntegrals {
    in_system: u128,
    busy_slots: u128,
    busy_by_quarter_hour: HashMap<u64, u128>,
}

impl SimulatedFleet {
    /// Lets the replicas answer all messages of a day.
    pub fn simulate(&self, day: &SimulatedDay) -> SimulationResult {
        let replica = || SimulatedReplica {
            is_up: true,
            generation: 0,
            slots_by_workspace: HashMap::new(),
            replies_in_progress: HashMap::new(),
        };
        let mut run = Simulation {
            day,
            slots: self.slots as usize,
            replicas: (0..self.replicas).map(|_| replica()).collect(),
            events: BinaryHeap::new(),
            ready: BinaryHeap::new(),
            virtual_clock: 0,
            last_virtual_start: vec![0; day.workspaces as usize],
            now: 0,
            in_system: 0,
            busy_slots: 0,
            integrals: TimeIntegrals::default(),
            started_at: vec![0; day.messages.len()],
            total_time_in_system: 0,
            finished: Vec::with_capacity(day.messages.len()),
        };
        if self.has_replica_loss {
            run.events.push(Reverse((day.peak_time(), SimulationEvent::ReplicaLost { replica: 0 })));
        }
        run.run_to_end();
        run.into_result()
    }
}

impl Simulation<'_> {
    fn run_to_end(&mut self) {
        let mut next = 0;
        loop {
            let comes = self.day.messages.get(next).map(|question| question.arrives_at);
            let happens = self.events.peek().map(|Reverse((at, _))| *at);
            match (comes, happens) {
                (None, None) => return,
                (Some(at), happens) if happens.is_none_or(|happens| at <= happens) => {
                    self.advance_to(at);
                    self.in_system += 1;
                    self.enqueue(next);
                    next += 1;
                }
                _ => {
                    let Some(Reverse((at, happening))) = self.events.pop() else { return };
                    self.advance_to(at);
                    self.handle_event(happening);
                }
            }
            self.claim();
        }
    }

    fn advance_to(&mut self, at: u64) {
        let time = at.saturating_sub(self.now);
        self.integrals.in_system += u128::from(self.in_system) * u128::from(time);
        self.integrals.busy_slots += u128::from(self.busy_slots) * u128::from(time);
        *self.integrals.busy_by_quarter_hour.entry(self.now / QUARTER_HOUR).or_default() +=
            u128::from(self.busy_slots) * u128::from(time);
        self.now = at;
    }

    fn message(&self, number: usize) -> SimulatedMessage {
        self.day.messages[number]
    }

    /// Queues a message with a virtual start after the clock and after the tenant's other ready messages.
    fn enqueue(&mut self, number: usize) {
        let last = &mut self.last_virtual_start[self.day.messages[number].workspace as usize];
        *last = self.virtual_clock.max(*last) + 1;
        self.ready.push(Reverse((*last, number)));
    }

    fn handle_event(&mut self, happening: SimulationEvent) {
        match happening {
            SimulationEvent::ReplyFinished { replica, generation: life, message: question } => {
                self.finish_reply(replica, life, question)
            }
            SimulationEvent::ReplicaLost { replica } => {
                let lost = &mut self.replicas[replica];
                (lost.is_up, lost.generation) = (false, lost.generation + 1);
                lost.slots_by_workspace.clear();
                let mut work: Vec<_> = lost.replies_in_progress.drain().collect();
                work.sort_unstable();
                self.busy_slots -= work.len() as u64;
                let free = |(question, start)| {
                    Reverse((
                        self.now + SIMULATED_LEASE,
                        SimulationEvent::LeaseExpired { message: question, start },
                    ))
                };
                self.events.extend(work.into_iter().map(free));
                self.events
                    .push(Reverse((self.now + REPLICA_OUTAGE, SimulationEvent::ReplicaReturned { replica })));
            }
            SimulationEvent::LeaseExpired { message: question, start } => {
                self.ready.push(Reverse((start, question)))
            }
            SimulationEvent::ReplicaReturned { replica } => self.replicas[replica].is_up = true,
        }
    }

    fn finish_reply(&mut self, replica: usize, life: u32, question: usize) {
        let SimulatedMessage { arrives_at: at, workspace, .. } = self.message(question);
        let holder = &mut self.replicas[replica];
        if holder.generation != life {
            return;
        }
        holder.replies_in_progress.remove(&question);
        if let Some(held) = holder.slots_by_workspace.get_mut(&workspace) {
            *held -= 1;
            if *held == 0 {
                holder.slots_by_workspace.remove(&workspace);
            }
        }
        self.busy_slots -= 1;
        self.in_system -= 1;
        self.total_time_in_system += self.now - at;
        self.finished.push(question);
    }

    /// Fills free slots in queue order, the emptiest replica first. Skips tenants that have used their share.
    fn claim(&mut self) {
        let mut passed = Vec::new();
        while let Some(Reverse((start, number))) = self.ready.pop() {
            let question = self.message(number);
            let fits = |replica: &&mut SimulatedReplica| {
                replica.is_up && replica.has_free_slot(question.workspace, self.slots)
            };
            let taker = self.replicas.iter_mut().enumerate().filter(|(_, replica)| fits(replica));
            let Some((place, replica)) =
                taker.min_by_key(|(place, replica)| (replica.replies_in_progress.len(), *place))
            else {
                passed.push(Reverse((start, number)));
                let is_full =
                    |one: &SimulatedReplica| !one.is_up || one.replies_in_progress.len() >= self.slots;
                if passed.len() > MAX_SKIPPED_THREADS || self.replicas.iter().all(is_full) {
                    break;
                }
                continue;
            };
            replica.replies_in_progress.insert(number, start);
            *replica.slots_by_workspace.entry(question.workspace).or_default() += 1;
            let ends = SimulationEvent::ReplyFinished {
                replica: place,
                generation: replica.generation,
                message: number,
            };
            self.virtual_clock = self.virtual_clock.max(start);
            self.busy_slots += 1;
            self.started_at[number] = self.now;
            self.events.push(Reverse((self.now + question.service_time, ends)));
        }
        self.ready.extend(passed);
    }

    fn into_result(mut self) -> SimulationResult {
        let first = self.day.messages.first().map_or(0, |question| question.arrives_at);
        let time = (self.now - first).max(1) as f64;
        let in_seconds = |micros: u64| micros as f64 / MICROS_PER_SECOND as f64;
        self.finished.sort_unstable();
        let wait = |&number: &usize| {
            let SimulatedMessage { arrives_at: at, workspace, .. } = self.day.messages[number];
            (workspace, in_seconds(self.started_at[number] - at))
        };
        let by_workspace: Vec<(u32, f64)> = self.finished.iter().map(wait).collect();
        let mut waits: Vec<f64> = by_workspace.iter().map(|(_, wait)| *wait).collect();
        waits.sort_by(f64::total_cmp);
        let answered = self.finished.len();
        SimulationResult {
            answered,
            seconds: time / MICROS_PER_SECOND as f64,
            wait_seconds: waits,
            busiest_slots: self
                .integrals
                .busy_by_quarter_hour
                .values()
                .max()
                .map_or(0.0, |busy| *busy as f64 / QUARTER_HOUR as f64),
            mean_busy_slots: self.integrals.busy_slots as f64 / time,
            mean_in_system: self.integrals.in_system as f64 / time,
            mean_time_in_system: in_seconds(self.total_time_in_system) / answered.max(1) as f64,
            waits_with_workspace: by_workspace,
        }
    }
}

impl SimulatedReplica {
    /// Returns whether there is a free slot within the tenant's share, which is seven eighths of what others
    /// do not use.
    fn has_free_slot(&self, workspace: u32, slots: usize) -> bool {
        let own = self.slots_by_workspace.get(&workspace).copied().unwrap_or_default();
        let left = slots.saturating_sub(self.replies_in_progress.len() - own);
        self.replies_in_progress.len() < slots && own < left - left / 8
    }
}
