//! The cost of answers. Before each request to a model its worst case is reserved (`db::reservations`): one
//! token for each byte of the prompt, and an answer of the maximum length that is sent with the request. A
//! request that broke off is charged like any other. Workspaces without a budget reserve nothing.

mod alerts;
mod allowance;
mod caps;
mod denied;
mod reservation;

pub(crate) use alerts::mark_threshold_reached;
pub use alerts::send_alerts;
pub use allowance::{Allowance, Charge};
pub use denied::BudgetDenied;
pub use reservation::{ReservationOwner, ReserveRequest, reserve_call};
