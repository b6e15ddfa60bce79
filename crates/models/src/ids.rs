//! Slack's ids, each with its own type, so that a channel id is never passed as a tenant id.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps an id from Slack or the database. Nothing is checked: Slack's ids are opaque.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// Returns the id as Slack writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the id as Slack writes it, by value.
            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
    };
}

string_id! {
    /// The owner of data: the enterprise (`E…`) of an org-wide install, else the team (`T…`).
    TenantId
}
string_id! {
    /// A workspace, `T…`.
    TeamId
}
string_id! {
    /// An Enterprise Grid organisation, `E…`.
    EnterpriseId
}
string_id! {
    /// An app, `A…`.
    AppId
}
string_id! {
    /// A channel, DM or group DM: `C…`, `D…`, `G…`.
    ChannelId
}
string_id! {
    /// A person or a bot user, `U…` or `W…`.
    UserId
}
string_id! {
    /// An event of the Events API, `Ev…`; the same for all deliveries of one event.
    EventId
}
string_id! {
    /// A message's `ts`: unique in its channel, stored and compared as text.
    MessageTs
}
