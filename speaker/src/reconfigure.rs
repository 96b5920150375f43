//! A new configuration takes the place of the old one: all of it or nothing, and only what changed is touched.

use std::time::Instant;

use bgp_core::refresh::Subtype;
use bgp_core::{Family, RouteRefresh};
use bgp_fsm::{Input, PeerAs, Stop};
use rib::PeerId;

use crate::Speaker;
use crate::command::{PeerCommand, PeerName, Refusal};
use crate::config::{self, Config, PeerOptions, Router};
use crate::event::{Auth, Effect, ListenKey};
use crate::notice::{Notice, PeerChange};
use crate::peer::Peer;
use crate::restart::Restart;
use crate::speaker::{check, fib_chain, rib_config};

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

impl Speaker {
    /// Puts `config` in force.
    ///
    /// # Errors
    /// [`Refusal::Precondition`]: it changes what cannot be changed while running, or what [`Speaker::new`] refuses.
    /// Then nothing has changed.
    pub fn configure(
        &mut self,
        now: Instant,
        config: Config,
        out: &mut Vec<Effect>,
    ) -> Result<Changes, Refusal> {
        if config.fib.protocol != self.config.fib.protocol {
            let why = "[fib] protocol changes only with a restart of windrosed: it says which routes are ours";
            return Err(Refusal::Precondition(why.to_owned()));
        }
        self.refuse_at_end()?;
        let policies = check(&config).map_err(Refusal::Precondition)?;
        let chain = |config, policies| fib_chain(config, policies).ok();
        let another_fib = config.fib != self.config.fib
            || chain(&config, &policies) != chain(&self.config, &self.policies);
        if another_fib {
            self.feed_fib_all(now, out);
        }
        let old = std::mem::replace(&mut self.config, config);
        self.policies = policies.into();
        self.rib.set_policies(self.policies.clone());
        self.use_fib_policy();
        self.rib.set_config(rib_config(&self.config, self.seed));
        if another_fib {
            self.reconfigure_fib(now, &old.fib, out);
        }
        if old.probe != self.config.probe {
            out.push(Effect::Probe(self.config.probe));
        }
        let mut changes = Changes::default();
        self.remove_peers(now, &mut changes, out);
        self.touch_peers(now, &old.router, &mut changes, out);
        self.add_peers(now, &mut changes, out);
        self.watches.mark_stale();
        self.configure_stations(now, Some(&old), out);
        self.tell_listen_keys(out);
        self.environment_changed();
        self.redistribute_anew(now, out);
        self.set_aggregates();
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
        let id = self.known(name)?;
        self.refuse_at_end()?;
        self.watches.mark_stale();
        let Some(peer) = self.peers.get_mut(id) else {
            return Ok(());
        };
        match command {
            PeerCommand::Enable => {
                peer.enabled = true;
                self.drive(now, id, Input::Start, out);
            }
            PeerCommand::Disable(message) => {
                peer.enabled = false;
                self.drive(now, id, Input::Stop(Stop::Shutdown { message }), out);
                self.drop_held(id);
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

    /// Tells the driver which keys of TCP the listening sockets need.
    pub(crate) fn tell_listen_keys(&self, out: &mut Vec<Effect>) {
        let of_peers = self
            .peers
            .by_name()
            .filter(|peer| peer.range.is_none())
            .filter_map(|peer| {
                Some(ListenKey {
                    remote: peer.name.address.into(),
                    interface: peer.name.interface.clone(),
                    key: auth(&peer.options)?,
                })
            });
        let of_ranges = self.config.ranges.iter().filter_map(|range| {
            Some(ListenKey {
                remote: range.prefix,
                interface: None,
                key: auth(&range.options)?,
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
            self.end_peer(now, id, out);
            changes.removed += 1;
        }
    }

    /// Ends a peer that the configuration no longer has.
    fn end_peer(&mut self, now: Instant, id: PeerId, out: &mut Vec<Effect>) {
        self.drive(now, id, Input::Stop(Stop::DeConfigured), out);
        self.drop_held(id);
        self.peers.remove(id);
    }

    fn touch_peers(
        &mut self,
        now: Instant,
        old: &Router,
        changes: &mut Changes,
        out: &mut Vec<Effect>,
    ) {
        for id in self.peers.ids() {
            self.touch_peer(now, id, old, changes, out);
        }
    }

    /// Brings one peer up to what the configuration says of it. `old` is the router as it was.
    fn touch_peer(
        &mut self,
        now: Instant,
        id: PeerId,
        old: &Router,
        changes: &mut Changes,
        out: &mut Vec<Effect>,
    ) {
        let peer = self.peers.get(id);
        let Some((asn, options, range)) = peer.and_then(|peer| self.options_of(peer)) else {
            return;
        };
        let router = &self.config.router;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let before = (peer.asn.clone(), peer.options.clone());
        let agreed = agreed_on(peer, old);
        if peer.options.local_as != options.local_as {
            peer.as_router = false;
        }
        (peer.asn, peer.options, peer.range) = (asn, options, range);
        let config = peer.fsm_config(router, self.restart);
        peer.fsm.set_config(config);
        let anew = agreed != agreed_on(peer, router);
        let enable = peer.options.enabled != before.1.enabled;
        if anew {
            changes.restarted += 1;
            if peer.enabled {
                self.drive(now, id, Input::Stop(Stop::ConfigChange), out);
            }
        } else if before != (peer.asn.clone(), peer.options.clone()) {
            changes.updated += 1;
            // A peer that is passive no longer is called now.
            self.drive(now, id, Input::Timeout, out);
        }
        // Policies may have changed behind the same names.
        self.locate(id);
        self.update_rib_session(id);
        if enable {
            self.follow_enabled(now, id, out);
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
            self.drop_held(id);
            Input::Stop(Stop::Shutdown { message: None })
        };
        self.drive(now, id, input, out);
    }

    /// Puts one peer in force, new or in the place of the one of its name. Nobody else's session notices; `by` is who
    /// wants it, for the record.
    ///
    /// # Errors
    /// [`Refusal::Precondition`]: it names a policy that there is not, or we are shutting down.
    pub fn put_peer(
        &mut self,
        now: Instant,
        peer: config::Peer,
        by: &str,
        out: &mut Vec<Effect>,
    ) -> Result<PeerChange, Refusal> {
        self.refuse_at_end()?;
        for names in peer.options.import.iter().chain(&peer.options.export) {
            let known = self.policies.chain(names);
            known.map_err(|error| Refusal::Precondition(error.to_string()))?;
        }
        let name = peer.name();
        let peers = &mut self.config.peers;
        let known = peers.iter().position(|known| known.name() == name);
        let after = || peers.iter().take_while(|other| other.name() < name).count();
        let index = known.unwrap_or_else(after);
        let change = match peers.get_mut(index).filter(|_| known.is_some()) {
            Some(known) => {
                *known = peer;
                PeerChange::Updated
            }
            None => {
                peers.insert(index, peer);
                PeerChange::Added
            }
        };
        let router = self.config.router.clone();
        match self.peers.id_of(&name) {
            Some(id) => self.touch_peer(now, id, &router, &mut Changes::default(), out),
            None => self.add_configured(now, index, out),
        }
        self.peer_changed(now, name, change, by, out);
        Ok(change)
    }

    /// Takes one peer out of the configuration.
    ///
    /// # Errors
    /// [`Refusal::NotFound`]: the configuration has none of this name; [`Refusal::Precondition`]: we are shutting down.
    pub fn take_peer(
        &mut self,
        now: Instant,
        name: &PeerName,
        by: &str,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.refuse_at_end()?;
        let known = self.config.peers.len();
        self.config.peers.retain(|peer| peer.name() != *name);
        if self.config.peers.len() == known {
            return Err(Refusal::NotFound(format!("peer {name}")));
        }
        if let Some(id) = self.peers.id_of(name) {
            self.end_peer(now, id, out);
        }
        self.peer_changed(now, name.clone(), PeerChange::Removed, by, out);
        Ok(())
    }

    fn peer_changed(
        &mut self,
        now: Instant,
        peer: PeerName,
        change: PeerChange,
        by: &str,
        out: &mut Vec<Effect>,
    ) {
        self.tell_listen_keys(out);
        out.push(Effect::Notice(Notice::PeerChanged {
            peer,
            change,
            by: by.to_owned(),
        }));
        self.watches.mark_stale();
        self.settle(now, out);
    }

    fn add_peers(&mut self, now: Instant, changes: &mut Changes, out: &mut Vec<Effect>) {
        for index in 0..self.config.peers.len() {
            let Some(peer) = self.config.peers.get(index) else {
                continue;
            };
            if self.peers.id_of(&peer.name()).is_none() {
                self.add_configured(now, index, out);
                changes.added += 1;
            }
        }
    }

    /// What the configuration says of a peer now; `None`: nothing any more.
    fn options_of(&self, peer: &Peer) -> Option<(PeerAs, PeerOptions, Option<usize>)> {
        let mut named = self.config.peers.iter();
        if let Some(found) = named.find(|named| named.name() == peer.name) {
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
        for each in Family::ALL {
            if family.is_none_or(|family| family == each) && *session.families.get(each) {
                self.rib
                    .refresh_requested(id, each, session.enhanced_refresh);
            }
        }
        self.request_refresh(id, family, out);
        Ok(())
    }

    /// Asks a peer for its routes again, if that was agreed on (RFC 2918 §3).
    pub(crate) fn request_refresh(
        &self,
        id: PeerId,
        family: Option<Family>,
        out: &mut Vec<Effect>,
    ) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let (Some(session), Some(conn)) = (peer.fsm.session(), peer.session_conn()) else {
            return;
        };
        for each in Family::ALL {
            let wanted = family.is_none_or(|family| family == each);
            if wanted && *session.families.get(each) && session.route_refresh {
                let request = RouteRefresh {
                    family: each.into(),
                    subtype: Subtype::Request,
                };
                out.push(Effect::Send {
                    conn: conn.id,
                    bytes: request.encode(),
                });
            }
        }
    }
}

fn auth(options: &PeerOptions) -> Option<Auth> {
    let md5 = options.password.clone().map(Auth::Md5);
    md5.or_else(|| options.tcp_ao.clone().map(Auth::Ao))
}

/// What a session is built upon: what OPENs said, the socket's options, and what the RIB judged routes by and cannot
/// judge again without hearing them again. Timers and policies are not among it.
fn agreed_on(peer: &Peer, router: &Router) -> impl PartialEq + use<> {
    let options = &peer.options;
    let fsm = peer.fsm_config(router, Restart::default());
    let open = (
        fsm.local_asn,
        fsm.identifier,
        fsm.peer_asn,
        fsm.hold_time,
        fsm.capabilities,
        fsm.strict_role,
    );
    let socket = (peer.gate(router), peer.remote(), options.local_address);
    let reflection = (router.cluster_id, options.rr_client, options.rs_client);
    let reading = (
        options.aigp,
        options.allow_as_sets,
        options.enforce_first_as,
        options.local_as,
    );
    (open, socket, reflection, reading)
}
