//! Ids and the nouns of the field: what every other crate speaks of. No I/O.

mod api_key;
mod body;
mod event;
mod file;
mod ids;
mod installation;
mod outcome;
mod person;
mod redact;
mod settings;
mod turn;

pub use api_key::ApiScope;
pub use body::{EventBody, Message};
pub use event::{IgnoredEvent, InboundEvent, Relevance, ThreadKey};
pub use file::FileRef;
pub use ids::{AppId, ChannelId, EnterpriseId, EventId, MessageTs, TeamId, TenantId, UserId};
pub use installation::Installation;
pub use outcome::Outcome;
pub use person::{Origin, Person, Profile};
pub use redact::redact;
pub use settings::{Length, Settings, Tone};
pub use turn::{Role, Turn, Usage};
