//! Background jobs that run beside the pages.

pub(crate) mod audit_archive;
pub(crate) mod key_rotation;
