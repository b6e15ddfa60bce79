//! Ids and the nouns of the field: what every other crate speaks of. No I/O.

mod event;
mod file;
mod ids;
mod installation;
mod outcome;
mod turn;

pub use event::{EventBody, InboundEvent, Relevance, ThreadKey};
pub use file::FileRef;
pub use ids::{AppId, ChannelId, EnterpriseId, EventId, MessageTs, TeamId, TenantId, UserId};
pub use installation::Installation;
pub use outcome::Outcome;
pub use turn::{Role, Turn, Usage};
