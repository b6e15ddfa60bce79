//! The messages of a day: time, workspace and duration of the reply. They are drawn from a seed, so a day can
//! be repeated.

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, LogNormal, Normal, Uniform, Zipf};

use super::SimulationOptions;
use super::queue::MICROS_PER_SECOND;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// The busiest second, and the share of messages that is spread over the whole day.
const PEAK_SECOND: f64 = SECONDS_PER_DAY as f64 / 2.0;
const UNIFORM_SHARE: f64 = 0.1;

/// The skew between workspaces: the second largest sends 2^-0.7 of what the largest does.
const ZIPF_EXPONENT: f64 = 0.7;

/// The skew between replies: one in a hundred takes about three times the mean.
const LOG_NORMAL_SIGMA: f64 = 0.6;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SimulatedMessage {
    /// Its arrival in microseconds.
    pub(super) arrives_at: u64,
    pub(super) workspace: u32,
    /// The duration of its reply in microseconds.
    pub(super) service_time: u64,
}

/// All messages of a day in the order of their arrival.
#[derive(Clone, Debug)]
pub struct SimulatedDay {
    pub(super) messages: Vec<SimulatedMessage>,
    pub(super) workspaces: u32,
    busy_at_peak: f64,
}

impl SimulatedDay {
    /// Generates a day with one busy time, as steep as the options' peak requires. Fails if the options are
    /// invalid.
    pub fn generate(options: &SimulationOptions, workspaces: u32) -> Result<Self> {
        let &SimulationOptions { seed, messages_per_day, peak, answer_seconds, .. } = options;
        let count = f64::from(workspaces) * messages_per_day;
        ensure!((1.0..1e8).contains(&count), "--messages-per-day makes {count} messages a day");
        ensure!((1.0..=100.0).contains(&peak), "--peak is not from 1 to 100");
        ensure!((0.01..=600.0).contains(&answer_seconds), "--answer-seconds is not from 0.01 to 600");
        let mut random = StdRng::seed_from_u64(seed);
        // A bell curve whose height above the mean is the peak.
        let width = (1.0 - UNIFORM_SHARE) * SECONDS_PER_DAY as f64
            / ((peak - UNIFORM_SHARE) * (2.0 * std::f64::consts::PI).sqrt());
        let (bell, any, share) = (
            Normal::new(PEAK_SECOND, width)?,
            Uniform::new(0.0, SECONDS_PER_DAY as f64)?,
            Uniform::new(0.0, 1.0)?,
        );
        let which = Zipf::new(f64::from(workspaces), ZIPF_EXPONENT).context("no workspaces")?;
        let takes = LogNormal::new(
            answer_seconds.ln() - LOG_NORMAL_SIGMA * LOG_NORMAL_SIGMA / 2.0,
            LOG_NORMAL_SIGMA,
        )?;
        let mut questions = Vec::with_capacity(count as usize);
        for _ in 0..count as usize {
            let at = match share.sample(&mut random) < UNIFORM_SHARE {
                true => any.sample(&mut random),
                false => bell.sample(&mut random).clamp(0.0, SECONDS_PER_DAY as f64),
            };
            questions.push(SimulatedMessage {
                arrives_at: micros(at),
                workspace: which.sample(&mut random) as u32 - 1,
                service_time: micros(takes.sample(&mut random)),
            });
        }
        questions.sort_unstable();
        let busy_at_peak = count / SECONDS_PER_DAY as f64 * peak * answer_seconds;
        Ok(Self { messages: questions, workspaces, busy_at_peak })
    }

    /// A day of `count` messages in the first moment, by these workspaces in turn, whose replies all take
    /// equally long.
    pub fn burst(count: u32, workspaces: u32, answer_seconds: f64) -> Self {
        let question = |number| SimulatedMessage {
            arrives_at: 0,
            workspace: number % workspaces,
            service_time: micros(answer_seconds),
        };
        Self { messages: (0..count).map(question).collect(), workspaces, busy_at_peak: f64::from(count) }
    }

    /// Adds a message of this workspace after so many microseconds. Its reply takes as long as the first.
    pub fn add_message(&mut self, workspace: u32, after: u64) {
        let takes = self.messages.first().map_or(MICROS_PER_SECOND, |first| first.service_time);
        self.messages.push(SimulatedMessage { arrives_at: after, workspace, service_time: takes });
        self.messages.sort_unstable();
        self.workspaces = self.workspaces.max(workspace + 1);
    }

    /// Returns the replies in progress at the peak, by Little's law.
    pub fn busy_at_peak(&self) -> f64 {
        self.busy_at_peak
    }

    /// Returns the time of the peak.
    pub(super) fn peak_time(&self) -> u64 {
        micros(PEAK_SECOND)
    }
}

fn micros(seconds: f64) -> u64 {
    (seconds * MICROS_PER_SECOND as f64) as u64
}
