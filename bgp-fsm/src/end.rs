//! Why a session ended, or is to end.

use std::fmt;
use std::time::Duration;

use bgp_core::capability::Afi;
use bgp_core::{Code, Family, Notification, Reset};
use bytes::{BufMut as _, Bytes, BytesMut};

/// Why a session ended, or an attempt at one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// We found a fault, and said so.
    Fault(Reset),
    /// The peer sent a NOTIFICATION.
    Told(Notification),
    /// TCP went away.
    Lost,
    /// We were told to end it, and said so.
    Stopped(Reset),
}

/// An order to end a session (RFC 4486, RFC 9003).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// Down until the next start. The peer is told the message.
    Shutdown {
        /// At most 255 octets of it are sent.
        message: Option<String>,
    },
    /// Down, and up again at once.
    Reset {
        /// At most 255 octets of it are sent.
        message: Option<String>,
    },
    /// The peer is no longer configured.
    DeConfigured,
    /// Something changed that only a new session takes up; it comes at once.
    ConfigChange,
    /// The peer sent more prefixes than it may.
    MaximumPrefixes {
        /// Of this family.
        family: Family,
        /// It may send so many.
        limit: u32,
        /// It may come back after this time; `None`: after the next start.
        restart: Option<Duration>,
    },
    /// BFD found the path to the peer dead (RFC 9384).
    BfdDown,
    /// We end, and come back: the peer is told of an Administrative Shutdown that it may take for a restart.
    Restart,
}

/// When a session comes back that was stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Back {
    /// After the next start.
    Started,
    /// As soon as it can.
    Soon,
    /// Not before that time.
    After(Duration),
}

impl Stop {
    /// The NOTIFICATION that tells the peer.
    pub(crate) fn reset(&self) -> Reset {
        match self {
            Self::Shutdown { message } => told(Code::AdministrativeShutdown, message.as_deref()),
            Self::Reset { message } => told(Code::AdministrativeReset, message.as_deref()),
            Self::DeConfigured => Code::PeerDeConfigured.into(),
            Self::ConfigChange => Code::OtherConfigurationChange.into(),
            Self::BfdDown => Code::BfdDown.into(),
            Self::Restart => Code::AdministrativeShutdown.into(),
            Self::MaximumPrefixes { family, limit, .. } => {
                // RFC 4486 §4: AFI, SAFI and the upper bound.
                let Afi { afi, safi } = (*family).into();
                let mut data = BytesMut::with_capacity(7);
                data.put_u16(afi);
                data.put_u8(safi);
                data.put_u32(*limit);
                Reset {
                    code: Code::MaximumPrefixes,
                    data: data.freeze(),
                }
            }
        }
    }

    /// Whether it is to be a Hard Reset where NOTIFICATIONs else keep the routes (RFC 8538 §4).
    pub(crate) const fn is_hard(&self) -> bool {
        match self {
            Self::Shutdown { .. }
            | Self::DeConfigured
            | Self::MaximumPrefixes { .. }
            | Self::BfdDown => true,
            Self::Reset { .. } | Self::ConfigChange | Self::Restart => false,
        }
    }

    pub(crate) const fn back(&self) -> Back {
        match self {
            Self::Shutdown { .. } | Self::DeConfigured | Self::Restart => Back::Started,
            Self::Reset { .. } | Self::ConfigChange | Self::BfdDown => Back::Soon,
            Self::MaximumPrefixes { restart, .. } => match restart {
                Some(after) => Back::After(*after),
                None => Back::Started,
            },
        }
    }
}

fn told(code: Code, message: Option<&str>) -> Reset {
    match message {
        Some(message) => Reset::with_communication(code, message),
        None => Reset {
            code,
            data: Bytes::new(),
        },
    }
}

/// The Hard Reset that carries a NOTIFICATION (RFC 8538 §3.1).
pub(crate) fn hard_reset(reset: &Reset) -> Reset {
    let (code, subcode) = reset.code.numbers();
    let mut data = BytesMut::with_capacity(2 + reset.data.len());
    data.put_slice(&[code, subcode]);
    data.put_slice(&reset.data);
    Reset {
        code: Code::HardReset,
        data: data.freeze(),
    }
}

impl End {
    /// Whether the peer's routes may be kept for its restart: the connection was lost without a word (RFC 4724 §4.2);
    /// or, where `notification` was agreed on, after any word but those of a full reset (RFC 8538 §4).
    #[must_use]
    pub fn keeps_routes(&self, notification: bool) -> bool {
        let (code, subcode) = match self {
            Self::Lost => return true,
            Self::Told(told) => {
                return notification && told.meaning() != Some(Code::HardReset);
            }
            Self::Fault(reset) | Self::Stopped(reset) => reset.code.numbers(),
        };
        let ended_for_good = matches!(
            Code::from_numbers(code, subcode),
            Some(
                Code::MaximumPrefixes
                    | Code::AdministrativeShutdown
                    | Code::PeerDeConfigured
                    | Code::HardReset
                    | Code::BfdDown
            )
        );
        notification && !ended_for_good
    }

    /// Whether to wait for IdleHoldTime before the next attempt: somebody made an error, and may well make it again
    /// at once. Of timers that expired and of orders to end a session there cannot be many in a short time.
    pub(crate) fn is_error(&self) -> bool {
        let (code, subcode) = match self {
            Self::Fault(reset) => reset.code.numbers(),
            Self::Told(told) => (told.code, told.subcode),
            Self::Lost | Self::Stopped(_) => return false,
        };
        !matches!(
            Code::from_numbers(code, subcode),
            Some(
                Code::HoldTimerExpired
                    | Code::SendHoldTimerExpired
                    | Code::AdministrativeShutdown
                    | Code::PeerDeConfigured
                    | Code::AdministrativeReset
                    | Code::ConnectionRejected
                    | Code::OtherConfigurationChange
                    | Code::ConnectionCollisionResolution
                    | Code::HardReset
                    | Code::BfdDown
            )
        )
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(reset) => write!(f, "we found: {}", name(reset.code.numbers())),
            Self::Stopped(reset) => write!(f, "we ended it: {}", name(reset.code.numbers())),
            Self::Lost => f.write_str("the connection was lost"),
            Self::Told(told) => {
                write!(f, "the peer said: {}", name((told.code, told.subcode)))?;
                match told.shutdown_communication() {
                    Some(text) if !text.is_empty() => write!(f, ": {text:?}"),
                    Some(_) | None => Ok(()),
                }
            }
        }
    }
}

/// `UPDATE Message Error/Malformed AS_PATH (3/11)`, as far as an RFC has words for it.
fn name((code, subcode): (u8, u8)) -> String {
    let class = match code {
        1 => "Message Header Error",
        2 => "OPEN Message Error",
        3 => "UPDATE Message Error",
        4 => "Hold Timer Expired",
        5 => "Finite State Machine Error",
        6 => "Cease",
        7 => "ROUTE-REFRESH Message Error",
        8 => "Send Hold Timer Expired",
        _ => "unknown error",
    };
    match Code::from_numbers(code, subcode) {
        Some(known) if known.name() != class => {
            format!("{class}/{} ({code}/{subcode})", known.name())
        }
        Some(_) | None => format!("{class} ({code}/{subcode})"),
    }
}

#[cfg(test)]
mod tests;
