//! BGP messages: the types, and the bytes they become. No I/O, no clock, no state.

pub mod attributes;
pub mod bmp;
pub mod capability;
pub mod error;
pub mod family;
pub mod header;
pub mod mrt;
pub mod notification;
pub mod open;
pub mod prefix;
pub mod refresh;
pub mod update;
mod wire;

pub use attributes::Attributes;
pub use capability::Capability;
pub use error::{Code, Reset};
pub use family::Family;
pub use header::{Frame, Kind, next_frame};
pub use notification::Notification;
pub use open::Open;
pub use prefix::{Ipv4Prefix, Ipv6Prefix, Prefix};
pub use refresh::RouteRefresh;
