//! All peers, by their number and by their name.

use std::collections::{BTreeMap, BTreeSet};

use rib::PeerId;

use crate::command::PeerName;
use crate::inject::{OWNER_FIRST, OWNERS_MAX};
use crate::peer::Peer;

/// Numbers below this are the RIB's own sources; peers begin here.
const FIRST: u32 = OWNER_FIRST + OWNERS_MAX;

/// See the module. A number is given again only after its peer is gone.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    slots: Vec<Option<Peer>>,
    /// Slots that stay empty: their numbers are seats in the RIB, from which stations hear what peers are told.
    seats: BTreeSet<usize>,
    ids: BTreeMap<PeerName, PeerId>,
}

impl Peers {
    /// The number a new peer gets.
    pub(crate) fn next_id(&self) -> PeerId {
        let is_free = |slot: &usize| {
            let taken = self.slots.get(*slot).is_some_and(Option::is_some);
            !taken && !self.seats.contains(slot)
        };
        // There is one within as many as are taken, and one more.
        let slot = (0..=self.slots.len() + self.seats.len()).find(is_free);
        let slot = slot.and_then(|slot| u32::try_from(slot).ok());
        PeerId(FIRST + slot.unwrap_or(u32::MAX - FIRST))
    }

    /// A number that no peer gets until it is given back.
    pub(crate) fn take_seat(&mut self) -> PeerId {
        let id = self.next_id();
        self.seats.insert(slot(id));
        id
    }

    /// Gives it back.
    pub(crate) fn free_seat(&mut self, id: PeerId) {
        self.seats.remove(&slot(id));
    }

    /// Adds a peer whose number is from [`Peers::next_id`].
    pub(crate) fn insert(&mut self, peer: Peer) {
        self.ids.insert(peer.name.clone(), peer.id);
        let slot = slot(peer.id);
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(peer);
        }
    }

    /// Takes a peer out.
    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Peer> {
        let peer = self.slots.get_mut(slot(id))?.take()?;
        self.ids.remove(&peer.name);
        Some(peer)
    }

    /// The peer of this number.
    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.slots.get(slot(id))?.as_ref()
    }

    /// The peer of this number, to change it.
    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.slots.get_mut(slot(id))?.as_mut()
    }

    /// The number of a peer.
    pub(crate) fn id_of(&self, name: &PeerName) -> Option<PeerId> {
        self.ids.get(name).copied()
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.slots.iter().flatten()
    }

    /// All of them, in the order of their names.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = &Peer> {
        self.ids.values().filter_map(|id| self.get(*id))
    }

    /// The numbers of all.
    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.iter().map(|peer| peer.id).collect()
    }
}

fn slot(id: PeerId) -> usize {
    usize::try_from(id.0.wrapping_sub(FIRST)).unwrap_or(usize::MAX)
}
