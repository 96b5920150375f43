//! The planner against devices that take, refuse, forget, vanish and are changed by others.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks for one thing")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use smallvec::SmallVec;

use super::*;
use crate::fact::{KernelNexthop, KernelRoute, NexthopKind, RouteKind, RouteVia};
use crate::op::{Op, Path, Target};

const OURS: u8 = 186;
const WG0: u32 = 7;
const ETH0: u32 = 2;
/// Next hops: peers 1 to 3 of wg0 have 10.255.0.PEER, eth0 has 192.0.2.0/24.
const ELSEWHERE: u8 = 4;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn key(peer: u8) -> PeerKey {
    PeerKey([peer; 32])
}

fn path(hop: u8) -> Path {
    let (gateway, interface) = match hop {
        ELSEWHERE => ([192, 0, 2, 1], ETH0),
        peer => ([10, 255, 0, peer], WG0),
    };
    Path {
        gateway: Some(gateway.into()),
        interface,
        onlink: false,
    }
}

fn put(prefix: IpNet, id: u32, replace: bool) -> Op {
    Op::PutRoute {
        prefix,
        table: 254,
        metric: 20,
        prefsrc: None,
        target: Target::Nexthop(id),
        replace,
    }
}

fn remove(prefix: IpNet) -> Op {
    Op::RemoveRoute {
        prefix,
        table: 254,
        metric: 20,
        tos: 0,
    }
}

fn put_path(hop: u8) -> Op {
    Op::PutPath {
        id: u32::from(hop),
        path: path(hop),
        replace: false,
    }
}

fn route(prefix: IpNet, id: u32) -> Fact {
    Fact::Route(KernelRoute {
        prefix,
        table: 254,
        metric: 20,
        protocol: OURS,
        tos: 0,
        kind: RouteKind::Unicast(RouteVia::Nexthop(id)),
        prefsrc: None,
    })
}

fn nexthop(hop: u8) -> Fact {
    Fact::Nexthop(KernelNexthop {
        id: u32::from(hop),
        protocol: OURS,
        kind: NexthopKind::Path(path(hop)),
    })
}

fn link(index: u32, name: &str) -> Fact {
    Fact::Link {
        index,
        name: name.to_owned(),
        up: true,
    }
}

/// wg0, as WireGuard has it: a prefix has one peer, and who is given one takes it from another.
#[derive(Debug, Default)]
struct Device {
    peers: BTreeMap<PeerKey, BTreeSet<IpNet>>,
    /// Changes are refused, or accepted and forgotten.
    refuses: Option<i32>,
    forgets: bool,
    cannot_remove: bool,
    unreadable: Option<i32>,
    changes: Vec<Change>,
}

impl Device {
    fn holder(&self, prefix: IpNet) -> Option<PeerKey> {
        let mut peers = self.peers.iter();
        let (key, _) = peers.find(|(_, nets)| nets.contains(&prefix))?;
        Some(*key)
    }

    fn give(&mut self, peer: PeerKey, prefix: IpNet) {
        if !self.peers.contains_key(&peer) {
            return;
        }
        for (other, nets) in &mut self.peers {
            if *other == peer {
                nets.insert(prefix);
            } else {
                nets.remove(&prefix);
            }
        }
    }

    fn change(&mut self, change: &Change) -> Result<(), i32> {
        self.changes.push(change.clone());
        if let Some(errno) = self.refuses {
            return Err(errno);
        }
        if change.remove && self.cannot_remove {
            return Err(libc::EINVAL);
        }
        if self.forgets {
            return Ok(());
        }
        for prefix in &change.prefixes {
            if !change.remove {
                self.give(change.peer, *prefix);
            } else if let Some(nets) = self.peers.get_mut(&change.peer) {
                nets.remove(prefix);
            }
        }
        Ok(())
    }

    fn read(&self) -> Result<Option<Vec<Peer>>, i32> {
        if let Some(errno) = self.unreadable {
            return Err(errno);
        }
        let peer = |(key, nets): (&PeerKey, &BTreeSet<IpNet>)| Peer {
            allowed_ips: nets.iter().copied().collect(),
            ..Peer::new(*key)
        };
        Ok(Some(self.peers.iter().map(peer).collect()))
    }
}

struct World {
    now: Instant,
    planner: AllowedIps,
    device: Device,
    batches: u64,
    notices: Vec<Notice>,
}

impl World {
    /// Three peers with their tunnel addresses, and nothing routed yet.
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn new() -> Self {
        let mut world = Self {
            now: Instant::now(),
            planner: AllowedIps::new(OURS, Earlier::new()),
            device: Device::default(),
            batches: 0,
            notices: Vec::new(),
        };
        for peer in 1..=3 {
            world.add_peer(peer);
        }
        world
    }

    fn started() -> Self {
        let mut world = Self::new();
        world.dump(&[]);
        let hops: Vec<Op> = (1..=ELSEWHERE).map(put_path).collect();
        world.carry(&hops, &[]);
        world
    }

    fn add_peer(&mut self, peer: u8) {
        let address = net(&format!("10.255.0.{peer}/32"));
        self.device.peers.insert(key(peer), [address].into());
    }

    fn dump(&mut self, facts: &[Fact]) {
        let mut all = vec![Fact::DumpBegin, link(ETH0, "eth0"), link(WG0, "wg0")];
        all.extend_from_slice(facts);
        all.push(Fact::DumpEnd);
        self.tell(&Input::Facts(&all));
    }

    fn tell(&mut self, input: &Input<'_>) {
        let mut outputs = Vec::new();
        self.planner.handle(self.now, input, &mut outputs);
        let mut waiting: VecDeque<Output> = outputs.drain(..).collect();
        while let Some(output) = waiting.pop_front() {
            let answer = match output {
                Output::Read { interface, .. } => {
                    let is_wireguard = interface == WG0;
                    let peers = if is_wireguard {
                        self.device.read()
                    } else {
                        Ok(None)
                    };
                    Input::Read { interface, peers }
                }
                Output::Change(change) => match self.device.change(&change) {
                    Ok(()) => continue,
                    Err(errno) => Input::Refused { change, errno },
                },
                Output::Notice(notice) => {
                    self.notices.push(notice);
                    continue;
                }
            };
            self.planner.handle(self.now, &answer, &mut outputs);
            waiting.extend(outputs.drain(..));
        }
    }

    fn before(&mut self, ops: &[Op]) -> Batch {
        self.batches += 1;
        let batch = Batch {
            id: self.batches,
            protocol: OURS,
            ops: ops.to_vec(),
        };
        self.tell(&Input::Before(&batch));
        batch
    }

    fn after(&mut self, batch: &Batch, failures: &[(u32, i32)]) {
        let failure = |&(index, errno): &(u32, i32)| Failure { index, errno };
        let failures: Vec<Failure> = failures.iter().map(failure).collect();
        self.tell(&Input::After {
            batch: batch.id,
            failures: &failures,
        });
    }

    fn carry(&mut self, ops: &[Op], failures: &[(u32, i32)]) {
        let batch = self.before(ops);
        self.after(&batch, failures);
    }

    /// Lets time pass, and wakes the planner when it wants to be.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.planner.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.tell(&Input::Timeout);
        }
        self.now = end;
    }

    fn said(&self, what: impl Fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|notice| what(notice)).count()
    }
}

#[test]
fn a_prefix_is_given_to_the_peer_before_its_route_is_made_and_taken_after_it_has_gone() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    let batch = world.before(&[put(p, 1, false)]);
    assert_eq!(world.device.holder(p), Some(key(1)), "before the route");
    world.after(&batch, &[]);
    let batch = world.before(&[remove(p)]);
    assert_eq!(
        world.device.holder(p),
        Some(key(1)),
        "the route is still there"
    );
    world.after(&batch, &[]);
    assert_eq!(world.device.holder(p), None);
}

#[test]
fn a_route_that_moves_takes_its_prefix_along_in_one_step() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[]);
    let before = world.device.changes.len();
    world.carry(&[put(p, 2, true)], &[]);
    assert_eq!(world.device.holder(p), Some(key(2)));
    let changes = &world.device.changes[before..];
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(!changes[0].remove && changes[0].peer == key(2));
}

#[test]
fn a_nexthop_object_that_changes_moves_the_prefixes_of_all_routes_behind_it() {
    let mut world = World::started();
    let prefixes = [net("10.101.0.0/16"), net("2001:db8::/48")];
    world.carry(
        &[put(prefixes[0], 1, false), put(prefixes[1], 1, false)],
        &[],
    );
    let moved = Op::PutPath {
        id: 1,
        path: path(3),
        replace: true,
    };
    world.before(&[moved]);
    for p in prefixes {
        assert_eq!(world.device.holder(p), Some(key(3)));
    }
}

#[test]
fn a_route_that_leaves_the_device_keeps_its_prefix_until_it_has_left() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[]);
    let batch = world.before(&[put(p, u32::from(ELSEWHERE), true)]);
    assert_eq!(world.device.holder(p), Some(key(1)));
    world.after(&batch, &[]);
    assert_eq!(world.device.holder(p), None);
}

#[test]
fn a_route_that_the_kernel_refuses_leaves_no_prefix_behind() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[(0, libc::EEXIST)]);
    assert_eq!(world.device.holder(p), None);
}

#[test]
fn a_route_that_is_swept_and_made_in_one_batch_keeps_its_prefix() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[]);
    world.carry(&[remove(p), put(p, 1, false)], &[(0, libc::ESRCH)]);
    assert_eq!(world.device.holder(p), Some(key(1)));
    assert!(world.device.changes.iter().all(|change| !change.remove));
}

#[test]
fn what_others_gave_to_a_peer_is_never_moved_nor_taken() {
    let mut world = World::new();
    let p = net("10.101.0.0/16");
    world.device.give(key(3), p);
    world.dump(&[nexthop(1)]);
    world.carry(&[put_path(1), put(p, 1, false)], &[]);
    world.carry(&[remove(p)], &[]);
    assert_eq!(world.device.holder(p), Some(key(3)));
    assert!(
        world.device.changes.is_empty(),
        "{:?}",
        world.device.changes
    );
    assert_eq!(world.said(|n| matches!(n, Notice::Foreign { .. })), 1);
    // Once its owner gives it up, it is ours to give.
    world.carry(&[put(p, 1, false)], &[]);
    world.device.peers.get_mut(&key(3)).unwrap().remove(&p);
    world.pass(READ_EVERY);
    assert_eq!(world.device.holder(p), Some(key(1)));
}

#[test]
fn what_others_gave_to_the_right_peer_is_good_and_stays() {
    let mut world = World::new();
    let p = net("10.101.0.0/16");
    world.device.give(key(1), p);
    world.dump(&[]);
    world.carry(&[put_path(1), put(p, 1, false)], &[]);
    world.carry(&[remove(p)], &[]);
    assert_eq!(world.device.holder(p), Some(key(1)));
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

#[test]
fn after_a_restart_what_an_earlier_life_gave_is_ours_and_what_others_gave_is_not() {
    let mut world = World::new();
    let (p, q) = (net("10.101.0.0/16"), net("10.102.0.0/16"));
    world.device.give(key(1), p);
    world.device.give(key(1), q);
    let earlier = [p, net("10.103.0.0/16")].into();
    world.planner = AllowedIps::new(OURS, [((WG0, "wg0".to_owned()), earlier)].into());
    // There is a route of ours to both: that says nothing of who gave them.
    world.dump(&[nexthop(1), route(p, 1), route(q, 1)]);
    assert_eq!(
        world.said(|n| matches!(n, Notice::Adopted { prefixes: 1, .. })),
        1
    );
    // They are as BGP wants them: nothing to do, and nobody loses a packet.
    assert!(world.device.changes.is_empty());
    world.carry(&[remove(p), remove(q)], &[]);
    assert_eq!(world.device.holder(p), None);
    assert_eq!(world.device.holder(q), Some(key(1)));
}

#[test]
fn where_a_prefix_cannot_be_taken_alone_it_stays_until_it_moves() {
    let mut world = World::started();
    world.device.cannot_remove = true;
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[]);
    world.carry(&[remove(p)], &[]);
    world.pass(READ_EVERY * 3);
    assert_eq!(world.device.holder(p), Some(key(1)));
    assert_eq!(world.said(|n| matches!(n, Notice::CannotRemove { .. })), 1);
    let removals = world.device.changes.iter().filter(|change| change.remove);
    assert_eq!(removals.count(), 1, "it is not tried again and again");
    world.carry(&[put(p, 2, false)], &[]);
    assert_eq!(world.device.holder(p), Some(key(2)));
}

#[test]
fn a_change_that_is_accepted_and_forgotten_is_seen_and_made_again() {
    let mut world = World::started();
    world.device.forgets = true;
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[]);
    world.pass(Duration::from_secs(5));
    assert_eq!(
        world.said(|n| matches!(n, Notice::NotTaken { errno: None, .. })),
        1
    );
    world.device.forgets = false;
    world.pass(READ_EVERY * 2);
    assert_eq!(world.device.holder(p), Some(key(1)));
}

#[test]
fn a_peer_that_comes_late_gets_its_prefixes() {
    let mut world = World::new();
    world.device.peers.clear();
    world.dump(&[]);
    let p = net("10.101.0.0/16");
    world.carry(&[put_path(2), put(p, 2, false)], &[]);
    let gateway = path(2).gateway;
    let no_peer = |n: &Notice| matches!(n, Notice::NoPeer { gateway: it, .. } if *it == gateway);
    assert_eq!(world.said(no_peer), 1);
    world.add_peer(1);
    world.add_peer(2);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.device.holder(p), Some(key(2)));
    assert_eq!(world.said(no_peer), 1);
}

#[test]
fn what_others_took_away_is_put_back() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[]);
    world.pass(READ_EVERY);
    world.device.give(key(3), p);
    world.pass(READ_EVERY);
    assert_eq!(world.device.holder(p), Some(key(1)));
    world.device.peers.get_mut(&key(1)).unwrap().remove(&p);
    world.pass(READ_EVERY * 2);
    assert_eq!(world.device.holder(p), Some(key(1)));
    assert!(world.said(|n| matches!(n, Notice::Contested { prefixes: 1, .. })) >= 1);
}

#[test]
fn a_device_that_goes_and_returns_gets_its_prefixes_again() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 1, false)], &[]);
    world.tell(&Input::Facts(&[Fact::LinkGone { index: WG0 }]));
    assert_eq!(
        world.said(|n| matches!(n, Notice::Gone { prefixes: 1, .. })),
        1
    );
    world.device.peers.get_mut(&key(1)).unwrap().remove(&p);
    world.tell(&Input::Facts(&[link(WG0, "wg0")]));
    assert_eq!(world.device.holder(p), Some(key(1)));
}

#[test]
fn a_device_that_does_not_answer_is_asked_until_it_does() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.device.unreadable = Some(libc::ECONNREFUSED);
    world.carry(&[put(p, 1, false)], &[]);
    world.pass(READ_EVERY * 2);
    let unreadable = |n: &Notice| matches!(n, Notice::Unreadable { .. });
    assert_eq!(world.said(unreadable), 1);
    world.device.unreadable = None;
    world.pass(READ_EVERY);
    assert_eq!(world.device.holder(p), Some(key(1)));
    assert_eq!(world.said(|n| matches!(n, Notice::Readable { .. })), 1);
}

#[test]
fn of_several_peers_that_shall_share_a_prefix_the_one_that_has_it_keeps_it() {
    let mut world = World::started();
    let p = net("10.101.0.0/16");
    world.carry(&[put(p, 2, false)], &[]);
    let members = SmallVec::from_slice(&[(1, 1), (2, 1)]);
    let group = Op::PutGroup {
        id: 9,
        members,
        replace: false,
    };
    world.carry(&[group, put(p, 9, true)], &[]);
    assert_eq!(world.device.holder(p), Some(key(2)));
    assert_eq!(world.said(|n| matches!(n, Notice::SeveralPeers { .. })), 1);
}

#[test]
fn the_only_peer_of_a_device_that_has_everything_needs_nothing() {
    let mut world = World::new();
    world.device.peers.clear();
    let all = [net("0.0.0.0/0"), net("::/0")];
    world.device.peers.insert(key(1), all.into());
    world.dump(&[]);
    world.carry(&[put_path(1), put(net("10.101.0.0/16"), 1, false)], &[]);
    world.pass(READ_EVERY);
    assert!(world.device.changes.is_empty() && world.notices.is_empty());
}

#[test]
fn a_route_of_a_stranger_with_our_number_is_none_of_ours() {
    let mut world = World::new();
    let p = net("10.101.0.0/16");
    world.device.give(key(1), p);
    let Fact::Nexthop(mut theirs) = nexthop(1) else {
        unreachable!()
    };
    theirs.protocol = 196;
    world.dump(&[Fact::Nexthop(theirs), route(p, 1)]);
    world.tell(&Input::Facts(&[Fact::NexthopGone { id: 1 }]));
    assert!(world.device.changes.is_empty() && world.notices.is_empty());
}

#[test]
fn many_prefixes_go_in_changes_of_bounded_size() {
    let mut world = World::started();
    let prefix = |i: u32| IpNet::new(std::net::Ipv4Addr::from(0x0A65_0000 + (i << 8)).into(), 24);
    let ops: Vec<Op> = (0..600)
        .map(|i| put(prefix(i).unwrap(), 1, false))
        .collect();
    world.before(&ops);
    let sizes: Vec<usize> = world
        .device
        .changes
        .iter()
        .map(|change| change.prefixes.len())
        .collect();
    assert_eq!(sizes, [250, 250, 100]);
}

#[test]
fn keys_are_shown_as_wg_shows_them() {
    let mut octets = [0; 32];
    octets[0] = 0xFF;
    octets[31] = 0x01;
    assert_eq!(
        PeerKey(octets).to_string(),
        "/wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
    );
}

#[test]
fn the_peer_for_an_address_is_that_with_the_longest_prefix() {
    let peer = |number: u8, nets: &[&str]| Peer {
        allowed_ips: nets.iter().map(|text| net(text)).collect(),
        ..Peer::new(key(number))
    };
    let peers = [
        peer(1, &["0.0.0.0/0", "10.1.0.0/16"]),
        peer(2, &["10.0.0.0/8"]),
    ];
    let behind = |text: &str| peer_for(&peers, text.parse().unwrap()).map(|peer| peer.key);
    assert_eq!(behind("10.1.2.3"), Some(key(1)));
    assert_eq!(behind("10.2.0.1"), Some(key(2)));
    assert_eq!(behind("192.0.2.1"), Some(key(1)));
    assert_eq!(behind("2001:db8::1"), None);
}

/// What happens in the property test.
#[derive(Clone, Debug)]
enum Step {
    Put {
        prefix: u8,
        hop: u8,
        refused: bool,
    },
    Remove {
        prefix: u8,
    },
    /// The object of a next hop points to another one.
    Turn {
        object: u8,
        hop: u8,
    },
    /// An operator gives a prefix to a peer, or takes one away.
    Give {
        prefix: u8,
        peer: u8,
    },
    Take {
        prefix: u8,
    },
    PeerGone {
        peer: u8,
    },
    PeerBack {
        peer: u8,
    },
    Refuse(bool),
    Forget(bool),
    Silent(bool),
    Bounce,
    Overrun,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let (prefix, hop, peer) = (0..6_u8, 1..=ELSEWHERE, 1..=3_u8);
    prop_oneof![
        6 => (prefix.clone(), hop.clone(), prop::bool::weighted(0.1))
            .prop_map(|(prefix, hop, refused)| Step::Put { prefix, hop, refused }),
        3 => prefix.clone().prop_map(|prefix| Step::Remove { prefix }),
        2 => (hop.clone(), hop).prop_map(|(object, hop)| Step::Turn { object, hop }),
        1 => (prefix.clone(), peer.clone()).prop_map(|(prefix, peer)| Step::Give { prefix, peer }),
        1 => prefix.prop_map(|prefix| Step::Take { prefix }),
        1 => peer.clone().prop_map(|peer| Step::PeerGone { peer }),
        2 => peer.prop_map(|peer| Step::PeerBack { peer }),
        1 => any::<bool>().prop_map(Step::Refuse),
        1 => any::<bool>().prop_map(Step::Forget),
        1 => any::<bool>().prop_map(Step::Silent),
        1 => Just(Step::Bounce),
        1 => Just(Step::Overrun),
        2 => (0..20_000_u16).prop_map(Step::Pass),
    ]
}

/// The world, and what should be in it.
struct Model {
    world: World,
    routes: BTreeMap<IpNet, u8>,
    objects: BTreeMap<u8, u8>,
    /// What an operator gave, and to whom.
    foreign: BTreeMap<IpNet, PeerKey>,
}

impl Model {
    fn new(cannot_remove: bool) -> Self {
        let mut world = World::started();
        world.device.cannot_remove = cannot_remove;
        Self {
            world,
            routes: BTreeMap::new(),
            objects: (1..=ELSEWHERE).map(|hop| (hop, hop)).collect(),
            foreign: BTreeMap::new(),
        }
    }

    fn prefix(number: u8) -> IpNet {
        net(&format!("10.10{number}.0.0/16"))
    }

    /// The peer to which a prefix must belong, if it leads to one.
    fn wanted(&self, prefix: IpNet) -> Option<PeerKey> {
        let hop = self.objects[self.routes.get(&prefix)?];
        let there = hop != ELSEWHERE && self.world.device.peers.contains_key(&key(hop));
        there.then_some(key(hop))
    }

    fn take(&mut self, step: &Step) {
        let world = &mut self.world;
        match *step {
            Step::Put {
                prefix,
                hop,
                refused,
            } => {
                let prefix = Self::prefix(prefix);
                let replace = self.routes.contains_key(&prefix);
                let failures: &[_] = if refused { &[(0, libc::EEXIST)] } else { &[] };
                world.carry(&[put(prefix, u32::from(hop), replace)], failures);
                // A replacement that fails is made again until it succeeds.
                if refused && replace {
                    world.carry(&[put(prefix, u32::from(hop), true)], &[]);
                }
                if replace || !refused {
                    self.routes.insert(prefix, hop);
                }
            }
            Step::Remove { prefix } => {
                let prefix = Self::prefix(prefix);
                if self.routes.remove(&prefix).is_some() {
                    world.carry(&[remove(prefix)], &[]);
                }
            }
            Step::Turn { object, hop } => {
                self.objects.insert(object, hop);
                let turned = Op::PutPath {
                    id: u32::from(object),
                    path: path(hop),
                    replace: true,
                };
                world.carry(&[turned], &[]);
            }
            Step::Give { prefix, peer } => self.give(Self::prefix(prefix), key(peer)),
            Step::Take { prefix } => {
                let prefix = Self::prefix(prefix);
                if let Some(peer) = self.foreign.remove(&prefix)
                    && let Some(nets) = world.device.peers.get_mut(&peer)
                {
                    nets.remove(&prefix);
                }
                world.pass(READ_EVERY);
            }
            Step::PeerGone { peer } => {
                world.device.peers.remove(&key(peer));
                self.foreign.retain(|_, holder| *holder != key(peer));
            }
            Step::PeerBack { peer } => {
                if !world.device.peers.contains_key(&key(peer)) {
                    world.add_peer(peer);
                }
            }
            Step::Refuse(refuses) => world.device.refuses = refuses.then_some(libc::EBUSY),
            Step::Forget(forgets) => world.device.forgets = forgets,
            Step::Silent(silent) => {
                world.device.unreadable = silent.then_some(libc::ECONNREFUSED);
            }
            Step::Bounce => self.bounce(),
            Step::Overrun => self.overrun(),
            Step::Pass(ms) => world.pass(Duration::from_millis(ms.into())),
        }
    }

    /// The device goes and returns, with what the operator gave.
    fn bounce(&mut self) {
        let world = &mut self.world;
        world.tell(&Input::Facts(&[Fact::LinkGone { index: WG0 }]));
        for (peer, nets) in &mut world.device.peers {
            let foreign = |net: &IpNet| self.foreign.get(net) == Some(peer);
            nets.retain(|net| net.prefix_len() == 32 || foreign(net));
        }
        world.tell(&Input::Facts(&[link(WG0, "wg0")]));
    }

    /// All is told anew.
    fn overrun(&mut self) {
        let object = |(id, hop): (&u8, &u8)| {
            Fact::Nexthop(KernelNexthop {
                id: u32::from(*id),
                protocol: OURS,
                kind: NexthopKind::Path(path(*hop)),
            })
        };
        let mut facts: Vec<Fact> = self.objects.iter().map(object).collect();
        let routes = self.routes.iter();
        facts.extend(routes.map(|(p, hop)| route(*p, u32::from(*hop))));
        self.world.dump(&facts);
    }

    /// Only what nobody has, and as operators do it: nothing happens until it was read.
    fn give(&mut self, prefix: IpNet, peer: PeerKey) {
        let device = &mut self.world.device;
        let healthy = device.unreadable.is_none() && device.refuses.is_none() && !device.forgets;
        let free = device.holder(prefix).is_none() && !self.routes.contains_key(&prefix);
        if healthy && free && device.peers.contains_key(&peer) {
            self.world.pass(READ_EVERY);
            self.world.device.give(peer, prefix);
            self.foreign.insert(prefix, peer);
            self.world.pass(READ_EVERY);
        }
    }

    fn check(&self) {
        for (prefix, peer) in &self.foreign {
            assert_eq!(
                self.world.device.holder(*prefix),
                Some(*peer),
                "{prefix} is another's"
            );
        }
        for peer in 1..=3 {
            let tunnel = net(&format!("10.255.0.{peer}/32"));
            if let Some(nets) = self.world.device.peers.get(&key(peer)) {
                assert!(nets.contains(&tunnel), "{tunnel} is the operator's");
            }
        }
    }

    fn check_rest(&self) {
        let cannot_remove = self
            .world
            .said(|n| matches!(n, Notice::CannotRemove { .. }))
            > 0;
        for number in 0..6 {
            let prefix = Self::prefix(number);
            let holder = self.world.device.holder(prefix);
            let expected = match (self.foreign.get(&prefix).copied(), self.wanted(prefix)) {
                (Some(peer), _) | (None, Some(peer)) => Some(peer),
                (None, None) if cannot_remove => holder,
                // What leads to a peer that is not there stays wherever it was.
                (None, None)
                    if self
                        .objects
                        .get(self.routes.get(&prefix).unwrap_or(&ELSEWHERE))
                        != Some(&ELSEWHERE) =>
                {
                    holder
                }
                (None, None) => None,
            };
            assert_eq!(holder, expected, "{prefix}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_happens_others_lose_nothing_and_in_the_end_each_prefix_is_with_its_peer(
        steps in prop::collection::vec(step(), 1..50),
        cannot_remove in any::<bool>(),
    ) {
        let mut model = Model::new(cannot_remove);
        for step in &steps {
            model.take(step);
            model.check();
        }
        let device = &mut model.world.device;
        (device.refuses, device.forgets, device.unreadable) = (None, false, None);
        model.world.pass(READ_EVERY * 4);
        model.check();
        model.check_rest();
        // At rest nothing is changed, only read.
        let changes = model.world.device.changes.len();
        model.world.pass(READ_EVERY * 10);
        prop_assert_eq!(model.world.device.changes.len(), changes);
    }

    #[test]
    fn whatever_a_device_says_and_whenever_nothing_panics(
        peers in prop::collection::vec(
            (any::<u8>(), prop::collection::vec((any::<u32>(), 0..=32_u8), 0..8)), 0..6),
        errno in prop::option::of(any::<i32>()),
    ) {
        let mut world = World::started();
        world.carry(&[put(net("10.101.0.0/16"), 1, false)], &[]);
        let peer = |(number, nets): &(u8, Vec<(u32, u8)>)| Peer {
            allowed_ips: nets
                .iter()
                .map(|(address, length)| {
                    IpNet::new(std::net::Ipv4Addr::from(*address).into(), *length).unwrap()
                })
                .collect(),
            ..Peer::new(key(*number))
        };
        let peers: Vec<Peer> = peers.iter().map(peer).collect();
        let peers = errno.map_or(Ok(Some(peers)), Err);
        let mut out = Vec::new();
        world.planner.handle(world.now, &Input::Read { interface: WG0, peers }, &mut out);
        world.planner.handle(world.now, &Input::Read { interface: 99, peers: Ok(None) }, &mut out);
    }
}
