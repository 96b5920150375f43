//! What each fuzz target does with its bytes. `bgp-core/tests/corpus.rs` runs the same over `fuzz/corpus`.

use bgp_core::attributes::NextHop;
use bgp_core::bmp::{self, Down, DownReason, Message};
use bgp_core::family::PerFamily;
use bgp_core::header::{MAX, MAX_EXTENDED};
use bgp_core::update::{self, DecodeContext, Nlri};
use bgp_core::{
    Attributes, Ipv4Prefix, Ipv6Prefix, Kind, Notification, Open, RouteRefresh, next_frame,
};

/// A stream of messages. The first octet is the context of its UPDATEs.
pub fn message(data: &[u8]) {
    let Some((&bits, mut stream)) = data.split_first() else {
        return;
    };
    let max = if bits & 0x80 == 0 { MAX } else { MAX_EXTENDED };
    while let Ok(Some(frame)) = next_frame(stream, max) {
        assert!(frame.len >= 19 && frame.len <= max && frame.body.len() == frame.len - 19);
        stream = &stream[frame.len..];
        match frame.kind {
            Kind::Open => open(frame.body),
            Kind::Update => decode_update(frame.body, &context(bits)),
            Kind::Notification => {
                let notification = Notification::decode(frame.body).expect("21 octets");
                let text = notification.to_string();
                assert!(!text.chars().any(char::is_control));
                let again = notification.encode();
                assert_eq!(&again[19..], frame.body);
            }
            Kind::Keepalive => assert!(frame.body.is_empty()),
            Kind::RouteRefresh => {
                if let Ok(refresh) = RouteRefresh::decode(frame.body) {
                    assert_eq!(&refresh.encode()[19..], frame.body);
                }
            }
        }
    }
}

/// An UPDATE's body. The first octet is its context.
pub fn update(data: &[u8]) {
    if let Some((&bits, body)) = data.split_first() {
        decode_update(body, &context(bits));
    }
}

/// An OPEN's body: what is read can be written, and then reads the same.
pub fn open(data: &[u8]) {
    if let Ok(open) = Open::decode(data) {
        let again = open.encode();
        // Capabilities beyond 4096 octets only come to be where a body is longer than a message.
        if let Ok(Some(frame)) = next_frame(&again, MAX) {
            assert_eq!(Open::decode(frame.body), Ok(open));
        }
    }
}

/// A stream of BMP, as a station reads it: what is read can be written, and then reads the same.
pub fn bmp(data: &[u8]) {
    let mut stream = data;
    while let Ok(Some(len)) = bmp::next_message(stream) {
        assert!((bmp::HEADER..=stream.len().min(bmp::MESSAGE_MAX)).contains(&len));
        if let Ok(message) = Message::decode(&stream[..len]) {
            bmp_again(&message);
        }
        stream = &stream[len..];
    }
}

fn bmp_again(message: &Message<'_>) {
    let mut out = bytes::BytesMut::new();
    let peer = match message {
        Message::Initiation(_) | Message::Termination(_) | Message::RouteMirroring { .. } => return,
        Message::RouteMonitoring { peer, update } => {
            bmp::route_monitoring(peer, update, &mut out);
            peer
        }
        Message::Statistics { peer, statistics } => {
            bmp::statistics(peer, statistics, &mut out);
            peer
        }
        Message::PeerDown { peer, reason } => {
            let copy = bytes::Bytes::copy_from_slice;
            let reason = match reason {
                Down::LocalNotification(told) => DownReason::LocalNotification(copy(told)),
                Down::LocalEvent(event) => DownReason::LocalEvent(*event),
                Down::RemoteNotification(told) => DownReason::RemoteNotification(copy(told)),
                Down::Remote => DownReason::Remote,
                Down::DeConfigured => DownReason::DeConfigured,
                Down::LocRib(_) => return,
            };
            bmp::peer_down(peer, &reason, &mut out);
            peer
        }
        Message::PeerUp { peer, up } => {
            if !up.information.is_empty() || peer.rib == bmp::Rib::LocRib {
                return;
            }
            let local = std::net::SocketAddr::new(up.local, up.local_port);
            bmp::peer_up(
                peer,
                local,
                up.remote_port,
                (up.sent, up.received),
                &mut out,
            );
            peer
        }
    };
    // Microseconds beyond a second count as seconds, of which there may then be too many.
    if u32::try_from(peer.timestamp.as_secs()).is_ok() {
        assert_eq!(Message::decode(&out).as_ref(), Ok(message));
    }
}

/// Attributes as a table keeps them.
pub fn attributes_roundtrip(data: &[u8]) {
    let next_hop = NextHop::V4([192, 0, 2, 1].into());
    if let Ok(attributes) = update::decode_attributes(data, next_hop) {
        again(&attributes);
    }
}

fn context(bits: u8) -> DecodeContext {
    let bit = |n: u8| bits & 1 << n != 0;
    DecodeContext {
        four_octet_as: bit(0),
        external: bit(1),
        confederation: bit(2),
        aigp: bit(3),
        families: PerFamily {
            ipv4: true,
            ipv6: !bit(4),
        },
        add_path: PerFamily {
            ipv4: bit(5),
            ipv6: bit(5),
        },
        extended_next_hop: bit(6),
        first_as: bit(7).then_some(65001),
        no_sets: bit(7),
    }
}

fn decode_update(body: &[u8], context: &DecodeContext) {
    let Ok(update) = update::decode(body, context) else {
        return;
    };
    assert_eq!(update.attributes.is_some(), !update.announced.is_empty());
    assert!(!update.treat_as_withdraw || update.announced.is_empty());
    assert!(!update.treat_as_withdraw || !update.faults.is_empty());
    let announced = update.announced.iter().map(|(_, nlri)| nlri);
    for nlri in announced.chain(&update.withdrawn) {
        assert!(*context.families.get(nlri.family));
        assert!((1..=body.len()).contains(&count(*nlri)));
    }
    if let Some(attributes) = update.attributes {
        again(&attributes);
    }
}

fn count(nlri: Nlri<'_>) -> usize {
    nlri.iter::<Ipv4Prefix>().count() + nlri.iter::<Ipv6Prefix>().count()
}

/// What was read can be written, reads the same, and is spelled so that it can be parsed.
fn again(attributes: &Attributes) {
    let mut block = Vec::new();
    update::encode_attributes(attributes, true, &mut block);
    let read = update::decode_attributes(&block, attributes.next_hop);
    assert_eq!(read.as_ref(), Ok(attributes));
    let path = attributes.as_path.to_string();
    let parsed = path.parse::<bgp_core::attributes::AsPath>();
    assert_eq!(parsed.map(|parsed| parsed.to_string()), Ok(path));
    for community in &attributes.ext_communities {
        assert_eq!(community.to_string().parse(), Ok(*community));
    }
}
