//! An AS with route reflectors, as RFC 4456 has it: clients, and others that are none, in one cluster or in two.

use std::collections::BTreeSet;

use crate::sim::net::Chance;

/// Who is linked with whom in and around the AS.
#[derive(Debug)]
pub(super) struct Plan {
    /// Hosts of the AS; those after them have ASes of their own.
    pub(super) inside: usize,
    /// All hosts.
    pub(super) count: usize,
    reflectors: usize,
    links: BTreeSet<(usize, usize)>,
    clients: BTreeSet<(usize, usize)>,
    one_cluster: bool,
    pub(super) client_to_client: bool,
}

impl Plan {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let reflectors = 1 + chance.below(2);
        let clients = 1 + chance.below(2);
        let others = 1 + chance.below(if reflectors + clients > 3 { 1 } else { 2 });
        let inside = reflectors + clients + others;
        let mut plan = Self {
            inside,
            count: inside + 1,
            reflectors,
            links: BTreeSet::new(),
            clients: BTreeSet::new(),
            one_cluster: chance.one_in(2),
            client_to_client: !chance.one_in(3),
        };
        let is_client = |host: usize| (reflectors..reflectors + clients).contains(&host);
        for a in 0..inside {
            for b in a + 1..inside {
                if a < reflectors && is_client(b) {
                    // Of two reflectors, a client may have one only.
                    let other = reflectors > 1 && a == 0 && chance.one_in(3);
                    if !other {
                        plan.links.insert((a, b));
                        plan.clients.insert((a, b));
                    }
                } else if is_client(a) == is_client(b) || !is_client(a) && !is_client(b) {
                    // RFC 4456 §6: clients that are not reflected to each other are fully meshed, as all others are.
                    if !is_client(a) || !plan.client_to_client {
                        plan.links.insert((a, b));
                    }
                }
            }
        }
        for _ in 0..2 {
            plan.links.insert((chance.below(inside), inside));
        }
        plan
    }

    pub(super) fn linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    /// Whether `host` reflects to `other`.
    pub(super) fn reflects_to(&self, host: usize, other: usize) -> bool {
        self.clients.contains(&(host, other))
    }

    /// The last octet of a host's cluster.
    pub(super) const fn cluster(&self, host: usize, last: u8) -> u8 {
        if self.one_cluster && host < self.reflectors {
            1
        } else {
            last
        }
    }
}
