//! Ids and domain types that all other crates share. No I/O.

mod api_key;
mod budget_ceiling;
mod chat_message;
mod event;
mod event_payload;
mod file;
mod ids;
mod installation;
mod outcome;
mod person;
mod personal_data;
mod redact;
mod settings;

pub use api_key::ApiScope;
pub use budget_ceiling::BudgetCeiling;
pub use chat_message::{ChatMessage, Role, Usage};
pub use event::{IgnoredEvent, InboundEvent, Relevance, ThreadKey};
pub use event_payload::{EventPayload, InboundMessage};
pub use file::FileRef;
pub use ids::{AppId, ChannelId, EnterpriseId, EventId, MessageTs, TeamId, TenantId, UserId};
pub use installation::Installation;
pub use outcome::EventOutcome;
pub use person::{Affiliation, EmployeeProfile, Person};
pub use redact::redact;
pub use settings::{ReplyLength, Tone, WorkspaceSettings};
