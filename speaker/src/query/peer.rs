//! What there is to say of a peer.

use bgp_core::Family;
use bgp_core::capability::Capability;
use bgp_core::family::PerFamily;
use bgp_fsm::Session;

use super::view_counts;
use crate::Speaker;
use crate::config::{MaxPrefixes, MaxPrefixesAction};
use crate::peer::Peer;
use crate::view::{LimitView, MessageCounts, PeerView, SessionView, TimersView};

impl Speaker {
    pub(super) fn view_peer(&self, peer: &Peer) -> PeerView {
        let session = peer.fsm.session();
        let counts = self.rib.peer_counts(peer.id);
        let messages = peer.fsm.counters();
        let router = &self.config.router;
        let (config, gate) = (peer.fsm_config(router, self.restart), peer.gate(router));
        let words = Capability::to_string;
        let offered = session.map_or(peer.options.families, |session| session.families);
        PeerView {
            address: peer.name.address,
            interface: peer.interface().map(str::to_owned),
            asn: peer.asn(),
            description: peer.options.description.clone(),
            birdc_name: peer.options.birdc_name.clone(),
            group: peer.options.group.clone(),
            dynamic: peer.range.is_some(),
            enabled: peer.enabled,
            state: peer.fsm.state(),
            since: peer.since,
            prefixes: PerFamily {
                ipv4: view_counts(counts.ipv4),
                ipv6: view_counts(counts.ipv6),
            },
            held: peer.held_view(),
            awaited: self.awaits(peer),
            last_error: peer.last_error.as_ref().map(|(why, _)| why.clone()),
            last_error_at: peer.last_error.as_ref().map(|(_, at)| *at),
            families: Family::ALL
                .into_iter()
                .filter(|family| *offered.get(*family))
                .collect(),
            session: session.map(|session| view_session(peer, session)),
            local_asn: peer.local_asn(router),
            offered: config.capabilities.iter().map(words).collect(),
            timers: TimersView {
                hold_time: config.hold_time,
                keepalive: config.keepalive,
                connect_retry: config.connect_retry,
                idle_hold: (config.idle_hold, config.idle_hold_max),
                send_hold: config.send_hold,
            },
            limit: peer.options.max_prefixes.map(view_limit),
            ttl: gate.ttl,
            min_ttl: gate.min_ttl,
            authentication: gate.authentication(),
            established_count: peer.established_count,
            messages: MessageCounts {
                received: messages.received,
                sent: messages.sent + peer.updates_sent,
                updates_received: messages.updates_received,
                updates_sent: peer.updates_sent,
            },
            malformed: peer.malformed,
            probed: peer.options.probe,
            bfd: self.bfd_state(peer),
            import: peer.options.import.clone(),
            export: peer.options.export.clone(),
        }
    }
}

fn view_session(peer: &Peer, session: &Session) -> SessionView {
    let local = peer.session_conn().and_then(|conn| conn.local);
    let capabilities = session.capabilities.iter();
    SessionView {
        identifier: session.identifier,
        local_address: local.map(|local| local.ip()),
        hold_time: session.hold_time,
        capabilities: capabilities.map(Capability::to_string).collect(),
        four_octet_as: session.four_octet_as,
        agreed: agreed(peer, session),
        keepalive: session.keepalive,
    }
}

/// What holds on the session, in the words of what was offered.
fn agreed(peer: &Peer, session: &Session) -> Vec<String> {
    let mut all = Vec::new();
    let both = Family::ALL.into_iter();
    for family in both.filter(|family| *session.families.get(*family)) {
        all.push(family.to_string());
        if *session.add_path_receive.get(family) {
            all.push(format!("add-path receive {family}"));
        }
        if *session.add_path_send.get(family) {
            let limit = peer.options.add_path_limit;
            all.push(format!("add-path send {family}, up to {limit}"));
        }
    }
    for (there, what) in [
        (session.route_refresh, "route refresh"),
        (session.enhanced_refresh, "enhanced route refresh"),
        (session.extended_next_hop, "extended next hop"),
        (session.extended_message, "extended message"),
        (session.four_octet_as, "4-octet AS"),
    ] {
        all.extend(there.then(|| what.to_owned()));
    }
    let restart = session.graceful_restart.as_ref();
    all.extend(restart.map(|restart| format!("graceful restart {} s", restart.restart_time)));
    all.extend(
        session
            .role
            .map(|role| format!("role of the peer {role:?}")),
    );
    all
}

fn view_limit(max: MaxPrefixes) -> LimitView {
    let warn_at = u64::from(max.limit) * u64::from(max.warn_at) / 100;
    LimitView {
        limit: max.limit,
        warn_at: u32::try_from(warn_at).unwrap_or(max.limit),
        then: match max.then {
            MaxPrefixesAction::Warn => "warn",
            MaxPrefixesAction::Stop => "stop",
            MaxPrefixesAction::Restart(_) => "restart",
        },
    }
}
