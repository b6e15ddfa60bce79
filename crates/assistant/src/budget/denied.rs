//! The reasons for which a budget denies a request to the model.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};

/// The reason why a request may not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetDenied {
    /// The workspace's monthly budget does not cover another answer.
    Month,
    /// The person's daily budget does not cover another answer.
    PersonDay,
    /// The budget would cover it, but the rest is reserved for answers in progress.
    AllReserved,
}

impl BudgetDenied {
    /// The reason as it is stored and as admins see it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Month => "over budget",
            Self::PersonDay => "over the person's daily budget",
            Self::AllReserved => "the rest of the budget is reserved for answers in progress",
        }
    }

    /// Returns the time until a request may be allowed again.
    pub fn retry_after(self) -> Duration {
        let now = Utc::now();
        let today = now.date_naive();
        match self {
            Self::Month => {
                let first = today.with_day(1);
                duration_until(now, first.and_then(|day| day.checked_add_months(Months::new(1))))
            }
            Self::PersonDay => duration_until(now, today.checked_add_days(Days::new(1))),
            Self::AllReserved => Duration::from_secs(1),
        }
    }
}

fn duration_until(now: DateTime<Utc>, day: Option<NaiveDate>) -> Duration {
    let start = day.map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
    start.and_then(|start| (start - now).to_std().ok()).unwrap_or_default()
}
