//! A new configuration takes the place of the old one: all of it or nothing, and only what changed is touched.

use std::time::Instant;

use bgp_core::refresh::Subtype;
use bgp_core::{Family, RouteRefresh};
use bgp_fsm::{Input, PeerAs, Stop};
use rib::PeerId;

use crate::Speaker;
use crate::command::{PeerCommand, PeerName, Refusal};
use crate::config::{Config, PeerOptions, Router};
use crate::event::{Effect, ListenKey};
use crate::notice::Notice;
use crate::peer::{Peer, fsm_config, name_of};
use crate::speaker::{compile, rib_config};

/// What a new configuration did to peers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Peers that are new.
    pub added: usize,
    /// Peers whose session starts anew.
    pub restarted: usize,
    /// Peers that changed without their session noticing.
    pub updated: usize,
    /// Peers that are gone.
    pub removed: usize,
}

/// What a change of a peer's options takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Touch {
    Nothing,
    InPlace,
    Restart,
}

impl Speaker {
    /// Puts `config` in force.
    ///
    /// # Errors
    /// What cannot be changed while running, or policies that do not compile; then nothing has changed.
    pub fn configure(
        &mut self,
        now: Instant,
        config: Config,
        out: &mut Vec<Effect>,
    ) -> Result<Changes, Refusal> {
        if config.fib != self.config.fib {
            let why =
                "[fib] changes only with a restart of windrosed: its routes would change owners";
            return Err(Refusal::Precondition(why.to_owned()));
        }
        let policies = compile(&config).map_err(|why| Refusal::Invalid {
            field: "policy".to_owned(),
            why,
        })?;
        let old = std::mem::replace(&mut self.config, config);
        self.policies = policies.into();
        self.rib.set_policies(self.policies.clone());
        self.rib.set_config(rib_config(&self.config, self.seed));
        let mut changes = Changes::default();
        self.remove_peers(now, &mut changes, out);
        self.touch_peers(now, &old.router, &mut changes, out);
        self.add_peers(now, &mut changes, out);
        self.tell_listen_keys(out);
        self.announce_configured();
        out.push(Effect::Notice(Notice::Configured {
            peers: [
                changes.added,
                changes.restarted,
                changes.updated,
                changes.removed,
            ],
        }));
        self.settle(now, out);
        Ok(changes)
    }

    /// Carries out an order about a peer.
    ///
    /// # Errors
    /// [`Refusal::NotFound`], or [`Refusal::Precondition`] where it makes no sense now.
    pub fn peer_command(
        &mut self,
        now: Instant,
        name: &PeerName,
        command: PeerCommand,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let id = self
            .peers
            .id_of(name)
            .ok_or_else(|| Refusal::NotFound(format!("peer {}", name.address)))?;
        let peer = self
            .peers
            .get_mut(id)
            .ok_or_else(|| Refusal::NotFound(format!("peer {}", name.address)))?;
        match command {
            PeerCommand::Enable => {
                peer.enabled = true;
                self.drive(now, id, Input::Start, out);
            }
            PeerCommand::Disable(message) => {
                peer.enabled = false;
                self.drive(now, id, Input::Stop(Stop::Shutdown { message }), out);
            }
            PeerCommand::Reset(message) => {
                if !peer.enabled {
                    return Err(Refusal::Precondition(
                        "the peer is disabled: enable it first".to_owned(),
                    ));
                }
                self.drive(now, id, Input::Stop(Stop::Reset { message }), out);
            }
            PeerCommand::Refresh(family) => self.refresh_peer(id, family, out)?,
        }
        self.settle(now, out);
        Ok(())
    }

    /// Tells the driver which TCP MD5 keys the listening sockets need.
    pub(crate) fn tell_listen_keys(&self, out: &mut Vec<Effect>) {
        let of_peers = self
            .peers
            .by_name()
            .filter(|peer| peer.range.is_none())
            .filter_map(|peer| {
                Some(ListenKey {
                    remote: peer.name.address.into(),
                    interface: peer.name.interface.clone(),
                    key: peer.options.password.clone()?,
                })
            });
        let of_ranges = self.config.ranges.iter().filter_map(|range| {
            Some(ListenKey {
                remote: range.prefix,
                interface: None,
                key: range.options.password.clone()?,
            })
        });
        let keys: Vec<_> = of_peers.chain(of_ranges).collect();
        out.push(Effect::ListenKeys(keys));
    }

    fn remove_peers(&mut self, now: Instant, changes: &mut Changes, out: &mut Vec<Effect>) {
        for id in self.peers.ids() {
            if self
                .peers
                .get(id)
                .is_none_or(|peer| self.options_of(peer).is_some())
            {
                continue;
            }
            self.drive(now, id, Input::Stop(Stop::DeConfigured), out);
            self.rib.peer_down(id);
            self.peers.remove(id);
            changes.removed += 1;
        }
    }

    fn touch_peers(
        &mut self,
        now: Instant,
        old: &Router,
        changes: &mut Changes,
        out: &mut Vec<Effect>,
    ) {
        for id in self.peers.ids() {
            let Some((asn, options, range)) =
                self.peers.get(id).and_then(|peer| self.options_of(peer))
            else {
                continue;
            };
            let router = self.config.router.clone();
            let Some(peer) = self.peers.get_mut(id) else {
                continue;
            };
            let touch = touch(peer, &asn, &options, old, &router);
            let enable = options.enabled != peer.options.enabled;
            peer.asn = asn;
            peer.options = options;
            peer.range = range;
            peer.fsm
                .set_config(fsm_config(&peer.asn, &peer.options, &router));
            match touch {
                Touch::Nothing => {}
                Touch::InPlace => {
                    changes.updated += 1;
                    // A peer that is passive no longer is called now.
                    self.drive(now, id, Input::Timeout, out);
                }
                Touch::Restart => {
                    changes.restarted += 1;
                    if peer.enabled {
                        self.drive(now, id, Input::Stop(Stop::ConfigChange), out);
                    }
                }
            }
            // Policies may have changed behind the same names.
            self.update_rib_session(id);
            if enable {
                self.follow_enabled(now, id, out);
            }
        }
    }

    /// `enabled` changed in the file: that is an order like any other.
    fn follow_enabled(&mut self, now: Instant, id: PeerId, out: &mut Vec<Effect>) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        peer.enabled = peer.options.enabled;
        let input = if peer.enabled {
            Input::Start
        } else {
            Input::Stop(Stop::Shutdown { message: None })
        };
        self.drive(now, id, input, out);
    }

    fn add_peers(&mut self, now: Instant, changes: &mut Changes, out: &mut Vec<Effect>) {
        for index in 0..self.config.peers.len() {
            let Some(peer) = self.config.peers.get(index) else {
                continue;
            };
            let name = name_of(peer.address, peer.options.interface.as_deref());
            if self.peers.id_of(&name).is_none() {
                self.add_configured(now, index, out);
                changes.added += 1;
            }
        }
    }

    /// What the configuration says of a peer now; `None`: nothing any more.
    fn options_of(&self, peer: &Peer) -> Option<(PeerAs, PeerOptions, Option<usize>)> {
        let named = |p: &&crate::config::Peer| {
            name_of(p.address, p.options.interface.as_deref()) == peer.name
        };
        if let Some(found) = self.config.peers.iter().find(named) {
            return Some((PeerAs::Exactly(found.asn), found.options.clone(), None));
        }
        // A peer that was named and now is only in a range must connect again to become one of it.
        peer.range?;
        let (index, range) = self.range_of(peer.name.address)?;
        Some((range.peer_as(), range.peer_options(), Some(index)))
    }

    fn refresh_peer(
        &mut self,
        id: PeerId,
        family: Option<Family>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let peer = self.peers.get(id);
        let session = peer.and_then(|peer| peer.fsm.session()).cloned();
        let session =
            session.ok_or_else(|| Refusal::Precondition("the session is not up".to_owned()))?;
        let conn = peer.and_then(Peer::session_conn).map(|conn| conn.id);
        for each in Family::ALL {
            if family.is_some_and(|family| family != each) || !*session.families.get(each) {
                continue;
            }
            self.rib
                .refresh_requested(id, each, session.enhanced_refresh);
            if let (true, Some(conn)) = (session.route_refresh, conn) {
                let request = RouteRefresh {
                    family: each.into(),
                    subtype: Subtype::Request,
                };
                out.push(Effect::Send {
                    conn,
                    bytes: request.encode(),
                });
            }
        }
        Ok(())
    }
}

fn touch(peer: &Peer, asn: &PeerAs, options: &PeerOptions, old: &Router, new: &Router) -> Touch {
    if peer.options == *options && peer.asn == *asn && old == new {
        return Touch::Nothing;
    }
    let session = |router: &Router, asn: &PeerAs, options: &PeerOptions| {
        let fsm = fsm_config(asn, options, router);
        // Timers are taken up by the running session; the rest was agreed on at its start.
        (
            fsm.local_asn,
            fsm.identifier,
            fsm.peer_asn,
            fsm.hold_time,
            fsm.capabilities,
            fsm.families,
        )
    };
    let socket = |options: &PeerOptions| {
        let PeerOptions {
            local_address,
            port,
            multihop,
            gtsm,
            password,
            interface,
            ..
        } = options.clone();
        (local_address, port, multihop, gtsm, password, interface)
    };
    let same_session = session(old, &peer.asn, &peer.options) == session(new, asn, options);
    // What the RIB judged by these cannot be judged again without hearing it again.
    let same_judgement = old.cluster_id == new.cluster_id
        && (
            peer.options.rr_client,
            peer.options.rs_client,
            peer.options.aigp,
        ) == (options.rr_client, options.rs_client, options.aigp);
    if same_session && same_judgement && socket(&peer.options) == socket(options) {
        Touch::InPlace
    } else {
        Touch::Restart
    }
}
