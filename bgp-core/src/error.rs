//! What a peer can do wrong, and what the RFCs have us answer.

use bytes::Bytes;

/// A fault that ends the session. It *is* the NOTIFICATION we send (RFC 4271 §4.5).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reset {
    /// What went wrong.
    pub code: Code,
    /// The bytes that show it, as the code asks for.
    pub data: Bytes,
}

impl From<Code> for Reset {
    fn from(code: Code) -> Self {
        Self {
            code,
            data: Bytes::new(),
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $subcode:literal, $text:literal;)*) => {
        /// NOTIFICATION codes with their subcodes (RFC 4271 §6, RFC 4486, and those noted).
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in the order of its numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code and the subcode.
            #[must_use]
            pub const fn numbers(self) -> (u8, u8) {
                match self { $(Self::$name => ($code, $subcode),)* }
            }

            /// The code of these numbers, if an RFC gives them a meaning.
            #[must_use]
            pub const fn from_numbers(code: u8, subcode: u8) -> Option<Self> {
                match (code, subcode) { $(($code, $subcode) => Some(Self::$name),)* _ => None }
            }

            /// The name as the RFC spells it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// §6.1: the marker was not all ones.
    ConnectionNotSynchronized = 1, 1, "Connection Not Synchronized";
    /// §6.1: the length is out of bounds for the type.
    BadMessageLength = 1, 2, "Bad Message Length";
    /// §6.1: no such message type.
    BadMessageType = 1, 3, "Bad Message Type";
    /// §6.2: the OPEN was cut short, or an optional parameter is malformed.
    OpenUnspecific = 2, 0, "OPEN Message Error";
    /// §6.2: not version 4.
    UnsupportedVersion = 2, 1, "Unsupported Version Number";
    /// §6.2: not the AS number that is configured.
    BadPeerAs = 2, 2, "Bad Peer AS";
    /// §6.2, RFC 6286: zero, or our own on an internal session.
    BadBgpIdentifier = 2, 3, "Bad BGP Identifier";
    /// §6.2: an optional parameter nobody knows.
    UnsupportedOptionalParameter = 2, 4, "Unsupported Optional Parameter";
    /// §6.2: a hold time of one or two seconds, or one we do not take.
    UnacceptableHoldTime = 2, 6, "Unacceptable Hold Time";
    /// RFC 5492 §5: a capability we insist on is missing.
    UnsupportedCapability = 2, 7, "Unsupported Capability";
    /// RFC 9234 §4.2: the roles do not fit.
    RoleMismatch = 2, 11, "Role Mismatch";
    /// §6.3: the lengths inside the UPDATE do not fit.
    MalformedAttributeList = 3, 1, "Malformed Attribute List";
    /// §6.3: a well-known attribute we do not know.
    UnrecognizedWellKnownAttribute = 3, 2, "Unrecognized Well-known Attribute";
    /// §6.3: a mandatory attribute is missing.
    MissingWellKnownAttribute = 3, 3, "Missing Well-known Attribute";
    /// §6.3: the attribute's flags are wrong.
    AttributeFlagsError = 3, 4, "Attribute Flags Error";
    /// §6.3: the attribute's length is wrong.
    AttributeLengthError = 3, 5, "Attribute Length Error";
    /// §6.3: ORIGIN is none of the three.
    InvalidOrigin = 3, 6, "Invalid ORIGIN Attribute";
    /// §6.3: NEXT_HOP is no host address.
    InvalidNextHop = 3, 8, "Invalid NEXT_HOP Attribute";
    /// §6.3: an optional attribute has a wrong value.
    OptionalAttributeError = 3, 9, "Optional Attribute Error";
    /// §6.3: a prefix is malformed.
    InvalidNetworkField = 3, 10, "Invalid Network Field";
    /// §6.3: AS_PATH is malformed.
    MalformedAsPath = 3, 11, "Malformed AS_PATH";
    /// §6.5: nothing was heard for the hold time.
    HoldTimerExpired = 4, 0, "Hold Timer Expired";
    /// RFC 6608: a message in a state that has no word for it.
    FsmUnspecific = 5, 0, "Finite State Machine Error";
    /// RFC 6608: unexpected message in OpenSent.
    UnexpectedInOpenSent = 5, 1, "Receive Unexpected Message in OpenSent State";
    /// RFC 6608: unexpected message in OpenConfirm.
    UnexpectedInOpenConfirm = 5, 2, "Receive Unexpected Message in OpenConfirm State";
    /// RFC 6608: unexpected message in Established.
    UnexpectedInEstablished = 5, 3, "Receive Unexpected Message in Established State";
    /// RFC 4486 §4: more prefixes than we allow.
    MaximumPrefixes = 6, 1, "Maximum Number of Prefixes Reached";
    /// RFC 4486 §4, RFC 9003: the operator stopped the session.
    AdministrativeShutdown = 6, 2, "Administrative Shutdown";
    /// RFC 4486 §4: the peer is no longer configured.
    PeerDeConfigured = 6, 3, "Peer De-configured";
    /// RFC 4486 §4, RFC 9003: the operator restarts the session.
    AdministrativeReset = 6, 4, "Administrative Reset";
    /// RFC 4486 §4: we do not accept this connection.
    ConnectionRejected = 6, 5, "Connection Rejected";
    /// RFC 4486 §4: a change that only a new session can take up.
    OtherConfigurationChange = 6, 6, "Other Configuration Change";
    /// RFC 4271 §6.8: this connection lost the collision.
    ConnectionCollisionResolution = 6, 7, "Connection Collision Resolution";
    /// RFC 4486 §4: no memory or table space left.
    OutOfResources = 6, 8, "Out of Resources";
    /// RFC 8538 §3: a full reset, graceful restart notwithstanding.
    HardReset = 6, 9, "Hard Reset";
    /// RFC 9384: BFD found the path dead.
    BfdDown = 6, 10, "BFD Down";
    /// RFC 7313 §5: a malformed ROUTE-REFRESH.
    InvalidRouteRefreshLength = 7, 1, "Invalid Message Length";
    /// RFC 9687 §3: the peer's window stayed closed for the send hold time.
    SendHoldTimerExpired = 8, 0, "Send Hold Timer Expired";
}
