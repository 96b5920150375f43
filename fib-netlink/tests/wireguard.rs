//! WireGuard's devices in the kernel, read and changed over generic netlink, alone and with routes. Each test has a network
//! namespace of its own. `cargo xtask lab kernels` runs them in virtual machines with an old kernel and a new one.
#![allow(
    clippy::disallowed_methods,
    reason = "these tests drive the real kernel, which has a clock"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fib_netlink::kernel::{
    self, AllowedIpsConfig, Board, Handle, KernelConfig, Manages, Wireguard,
};
use fib_netlink::wireguard::{self, CHANGE_MAX, Change, Peer, PeerKey};
use fib_netlink::{Fib, FibConfig, Input, Notice, Output, Placement};
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use tokio::sync::mpsc::Receiver;

use common::{ip, net, run, via};

/// Longer than anything here takes, also where a program plays the processor.
const PATIENCE: Duration = Duration::from_secs(30);
/// Set where tests must not be skipped, to what the kernel is: `old` or `new`.
const GUEST: &str = "WINDROSE_GUEST";
/// From this version on the kernel takes a single prefix from a peer (`WGALLOWEDIP_F_REMOVE_ME`).
const REMOVES_SINCE: (u32, u32) = (6, 16);

const NYC: PeerKey = PeerKey([2; 32]);
const FRA: PeerKey = PeerKey([3; 32]);
const NOBODY: PeerKey = PeerKey([9; 32]);

/// Runs a test in a thread with a network namespace of its own and a device `wg0`; both go with it.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let skip = |why: &str| {
        assert!(std::env::var_os(GUEST).is_none(), "{why}");
        println!("SKIPPED: {why}");
    };
    if !nix::unistd::geteuid().is_root() {
        return skip("needs root");
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        if !succeeds("ip", "link add wg0 type wireguard") {
            return false;
        }
        test();
        true
    });
    match thread.join() {
        Ok(true) => {}
        Ok(false) => skip("this kernel has no WireGuard"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn succeeds(program: &str, arguments: &str) -> bool {
    let mut command = Command::new(program);
    let output = command.args(arguments.split_whitespace()).output();
    output.expect(program).status.success()
}

fn wg(arguments: &str) -> String {
    run("wg", arguments)
}

/// Whether the kernel is one that takes a single prefix from a peer, by its version.
fn removes() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map(|part| part.parse::<u32>());
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        panic!("Linux {release}?");
    };
    let removes = (major, minor) >= REMOVES_SINCE;
    let word = if removes { "takes" } else { "does not take" };
    println!(
        "Linux {} {word} a single prefix from a peer",
        release.trim()
    );
    removes
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| net(text)).collect()
}

/// No sockets of programs: the kernel's devices only.
fn devices() -> Wireguard {
    Wireguard::new(PathBuf::from("/nowhere"))
}

fn read(device: &str) -> Vec<Peer> {
    let peers = devices().read(device).expect("read");
    peers.expect("a WireGuard device")
}

/// The prefixes of each peer of `wg0`.
fn lists() -> BTreeMap<PeerKey, BTreeSet<IpNet>> {
    let peers = read("wg0").into_iter();
    peers
        .map(|peer| (peer.key, peer.allowed_ips.into_iter().collect()))
        .collect()
}

/// What `wg` says about it: another reader than ours.
fn lists_by_wg() -> BTreeMap<String, BTreeSet<IpNet>> {
    let said = wg("show wg0 allowed-ips");
    let peers = said.lines().map(|line| {
        let (key, nets) = line.split_once('\t').unwrap();
        let nets = nets.split_whitespace().filter(|net| *net != "(none)");
        (key.to_owned(), nets.map(net).collect())
    });
    peers.collect()
}

/// What each peer of `wg0` is to have, and no more, is what both readers see.
#[track_caller]
fn expect(peers: &[(PeerKey, &[&str])]) {
    let expected = |nets: &[&str]| nets.iter().map(|text| net(text)).collect();
    let ours = peers.iter().map(|(key, nets)| (*key, expected(nets)));
    assert_eq!(lists(), ours.collect());
    let theirs = peers
        .iter()
        .map(|(key, nets)| (key.to_string(), expected(nets)));
    assert_eq!(lists_by_wg(), theirs.collect());
}

fn index_of(device: &str) -> u32 {
    nix::net::if_::if_nametoindex(device).unwrap()
}

fn change(peer: PeerKey, prefixes: Vec<IpNet>, remove: bool) -> Change {
    Change {
        interface: index_of("wg0"),
        device: "wg0".to_owned(),
        peer,
        prefixes,
        remove,
    }
}

fn give(peer: PeerKey, prefixes: &[&str]) -> Result<(), i32> {
    devices().change(&change(peer, nets(prefixes), false))
}

fn take(peer: PeerKey, prefixes: &[&str]) -> Result<(), i32> {
    devices().change(&change(peer, nets(prefixes), true))
}

/// Two peers with their tunnel addresses, as an operator makes them.
fn two_peers() {
    wg(&format!(
        "set wg0 peer {NYC} allowed-ips 10.255.0.2/32,fd00::2/128 \
         peer {FRA} allowed-ips 10.255.0.3/32,fd00::3/128"
    ));
}

#[test]
fn a_device_is_read_as_wg_tells_it() {
    in_namespace(|| {
        assert_eq!(read("wg0"), []);
        wg(&format!(
            "set wg0 peer {NYC} endpoint 198.51.100.7:51820 allowed-ips 10.255.0.2/32,0.0.0.0/0,2001:db8:1::/48"
        ));
        wg(&format!(
            "set wg0 peer {FRA} endpoint [2001:db8::7]:51821 allowed-ips ::/0"
        ));
        wg(&format!("set wg0 peer {NOBODY}"));
        let peers = read("wg0");
        let peer = |key: PeerKey| peers.iter().find(|peer| peer.key == key).unwrap();
        assert_eq!(peers.len(), 3, "{peers:?}");
        assert_eq!(peer(NYC).endpoint, "198.51.100.7:51820".parse().ok());
        assert_eq!(peer(FRA).endpoint, "[2001:db8::7]:51821".parse().ok());
        assert_eq!(*peer(NOBODY), Peer::new(NOBODY));
        assert!(peers.iter().all(|peer| peer.last_handshake.is_none()));
        expect(&[
            (NYC, &["10.255.0.2/32", "0.0.0.0/0", "2001:db8:1::/48"]),
            (FRA, &["::/0"]),
            (NOBODY, &[]),
        ]);
    });
}

#[test]
fn what_is_no_wireguard_device_is_told_from_one_that_must_not_be_read() {
    in_namespace(|| {
        let mut devices = devices();
        assert_eq!(devices.read("lo"), Ok(None));
        assert_eq!(devices.read("wg1"), Ok(None));
        assert_eq!(devices.read("wg0"), Ok(Some(Vec::new())));
        let (effective, capability) = (caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN);
        caps::drop(None, effective, capability).unwrap();
        assert_eq!(devices.read("wg0"), Err(libc::EPERM));
        let refused = devices.change(&change(NYC, nets(&["192.0.2.0/24"]), false));
        assert_eq!(refused, Err(libc::EPERM));
    });
}

#[test]
fn prefixes_are_given_and_move_and_nothing_else_does() {
    in_namespace(|| {
        two_peers();
        give(NYC, &["10.101.0.0/16", "2001:db8:101::/48"]).unwrap();
        give(FRA, &["10.102.0.0/16", "2001:db8:102::/48"]).unwrap();
        let nyc = &["10.255.0.2/32", "fd00::2/128"];
        let fra = &["10.255.0.3/32", "fd00::3/128"];
        let with = |own: &[&'static str], more: &[&'static str]| [own, more].concat();
        let (ours, theirs) = (
            with(nyc, &["10.101.0.0/16", "2001:db8:101::/48"]),
            with(fra, &["10.102.0.0/16", "2001:db8:102::/48"]),
        );
        expect(&[(NYC, &ours), (FRA, &theirs)]);
        // Given twice is given once.
        give(NYC, &["10.101.0.0/16"]).unwrap();
        expect(&[(NYC, &ours), (FRA, &theirs)]);
        // One moves alone, of either family; more and less specific ones stay.
        give(NYC, &["10.101.5.0/24", "10.0.0.0/8"]).unwrap();
        give(FRA, &["10.101.0.0/16", "2001:db8:101::/48"]).unwrap();
        let ours = with(nyc, &["10.101.5.0/24", "10.0.0.0/8"]);
        let theirs = [&theirs[..], &["10.101.0.0/16", "2001:db8:101::/48"]].concat();
        expect(&[(NYC, &ours), (FRA, &theirs)]);
    });
}

#[test]
fn a_single_prefix_is_taken_where_the_kernel_can_and_refused_where_not() {
    in_namespace(|| {
        two_peers();
        give(
            NYC,
            &["10.101.0.0/16", "10.103.0.0/16", "2001:db8:101::/48"],
        )
        .unwrap();
        give(FRA, &["10.102.0.0/16"]).unwrap();
        let taken = take(NYC, &["10.101.0.0/16", "2001:db8:101::/48"]);
        let fra: (PeerKey, &[&str]) = (FRA, &["10.255.0.3/32", "fd00::3/128", "10.102.0.0/16"]);
        if removes() {
            let nyc: (PeerKey, &[&str]) = (NYC, &["10.255.0.2/32", "fd00::2/128", "10.103.0.0/16"]);
            assert_eq!(taken, Ok(()));
            expect(&[nyc, fra]);
            // Nobody's, and another's: both stay as they are.
            assert_eq!(take(NYC, &["10.101.0.0/16", "10.102.0.0/16"]), Ok(()));
            expect(&[nyc, fra]);
        } else {
            // It must not be taken for a prefix to give: nothing at all happens.
            assert_eq!(taken, Err(libc::EINVAL));
            assert_eq!(take(NYC, &["10.109.0.0/16"]), Err(libc::EINVAL));
            let nyc = ["10.101.0.0/16", "10.103.0.0/16", "2001:db8:101::/48"];
            let nyc = [&["10.255.0.2/32", "fd00::2/128"], &nyc[..]].concat();
            expect(&[(NYC, &nyc), fra]);
        }
    });
}

#[test]
fn a_change_for_a_peer_that_is_not_there_makes_none_and_is_not_refused() {
    in_namespace(|| {
        two_peers();
        assert_eq!(give(NOBODY, &["10.101.0.0/16"]), Ok(()));
        expect(&[
            (NYC, &["10.255.0.2/32", "fd00::2/128"]),
            (FRA, &["10.255.0.3/32", "fd00::3/128"]),
        ]);
    });
}

#[test]
fn a_device_is_changed_by_its_index_whoever_has_its_name() {
    in_namespace(|| {
        two_peers();
        let meant = change(NYC, nets(&["10.101.0.0/16"]), false);
        ip("link set wg0 name wg7");
        ip("link add wg0 type wireguard");
        two_peers();
        devices().change(&meant).unwrap();
        expect(&[
            (NYC, &["10.255.0.2/32", "fd00::2/128"]),
            (FRA, &["10.255.0.3/32", "fd00::3/128"]),
        ]);
        let renamed = read("wg7");
        let nyc = renamed.iter().find(|peer| peer.key == NYC).unwrap();
        assert!(nyc.allowed_ips.contains(&net("10.101.0.0/16")), "{nyc:?}");
        ip("link del wg7");
        assert_eq!(devices().change(&meant), Err(libc::ENODEV));
    });
}

/// 2,000 of IPv4 and 1,000 of IPv6.
fn three_thousand() -> Vec<IpNet> {
    let four = (0..2000u32).map(|n| format!("10.{}.{}.0/24", 100 + n / 256, n % 256));
    let six = (0..1000u32).map(|n| format!("2001:db8:{n:x}::/48"));
    four.chain(six).map(|text| net(&text)).collect()
}

fn give_all(devices: &mut Wireguard, peer: PeerKey, prefixes: &[IpNet]) {
    for part in prefixes.chunks(CHANGE_MAX) {
        devices.change(&change(peer, part.to_vec(), false)).unwrap();
    }
}

#[test]
fn a_list_of_three_thousand_is_told_in_several_messages_and_read_whole() {
    in_namespace(|| {
        two_peers();
        let (all, mut devices) = (three_thousand(), devices());
        let with = |own: &[&str], more: &[IpNet]| -> BTreeSet<IpNet> {
            nets(own).into_iter().chain(more.iter().copied()).collect()
        };
        let (nyc, fra) = (
            ["10.255.0.2/32", "fd00::2/128"],
            ["10.255.0.3/32", "fd00::3/128"],
        );
        give_all(&mut devices, NYC, &all);
        assert_eq!(lists()[&NYC], with(&nyc, &all));
        assert_eq!(lists()[&FRA], with(&fra, &[]));
        // Half of them move.
        let (stay, go) = all.split_at(1500);
        give_all(&mut devices, FRA, go);
        assert_eq!(lists()[&NYC], with(&nyc, stay));
        assert_eq!(lists()[&FRA], with(&fra, go));
        // A peer appears once, in however many messages it is told.
        assert_eq!(read("wg0").len(), 2);
    });
}

/// The kernel ends a list that changed since its last message, and says so.
#[test]
fn a_list_that_changes_while_it_is_read_is_not_read_in_part() {
    in_namespace(|| {
        two_peers();
        let (all, mut devices) = (three_thousand(), devices());
        give_all(&mut devices, NYC, &all);
        let start = Instant::now();
        read("wg0");
        // About every third read is disturbed, however fast this is.
        let pause = start.elapsed() * 3;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        // In the same namespace, as a thread that is made here.
        let other = std::thread::spawn(move || {
            let mut changes = 0;
            while !stopped.load(Ordering::Relaxed) {
                let to = if changes % 2 == 0 { FRA } else { NYC };
                give(to, &["192.0.2.0/24"]).unwrap();
                changes += 1;
                std::thread::sleep(pause);
            }
            changes
        });
        let (mut whole, mut disturbed, start) = (0, 0, Instant::now());
        while start.elapsed() < Duration::from_secs(3) {
            match devices.read("wg0") {
                Ok(peers) => {
                    let peers = peers.expect("a WireGuard device").into_iter();
                    let held: BTreeSet<IpNet> = peers.flat_map(|peer| peer.allowed_ips).collect();
                    let missing = all.iter().filter(|net| !held.contains(net)).count();
                    assert_eq!(missing, 0, "after {whole} whole reads");
                    whole += 1;
                }
                Err(errno) => {
                    assert_eq!(errno, libc::EINTR);
                    disturbed += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        let changes = other.join().unwrap();
        println!("{whole} lists were read whole and {disturbed} given up, with {changes} changes");
        assert!(changes > 3 && whole > 3, "{changes} {whole}");
    });
}

/// What is at the other end of a tunnel: a device in a namespace of its own, and which numbered packets came.
struct FarEnd {
    /// A thread in its namespace, by which that is named.
    thread: nix::unistd::Pid,
    /// The device is in it.
    ready: mpsc::Sender<()>,
    came: mpsc::Receiver<u32>,
    ended: std::thread::JoinHandle<()>,
}

/// So a packet says that it does not count.
const UNCOUNTED: u32 = u32::MAX;
const SERVICE: &str = "10.101.0.1:7000";

impl FarEnd {
    /// Everyone there has the same address beside that of the tunnel.
    fn start(device: &'static str, address: &'static str, stop: &Arc<AtomicBool>) -> Self {
        let (named, name) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let (tell, came) = mpsc::channel();
        let stop = Arc::clone(stop);
        let ended = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            named.send(nix::unistd::gettid()).unwrap();
            is_ready.recv().unwrap();
            ip(&format!("addr add {address}/24 dev {device}"));
            ip(&format!("addr add 10.101.0.1/32 dev {device}"));
            ip(&format!("link set {device} up"));
            let socket = UdpSocket::bind(SERVICE).unwrap();
            let patience = Some(Duration::from_millis(50));
            socket.set_read_timeout(patience).unwrap();
            let mut number = [0; 4];
            while !stop.load(Ordering::Relaxed) {
                if socket.recv(&mut number).is_ok() {
                    tell.send(u32::from_be_bytes(number)).unwrap();
                }
            }
        });
        let thread = name.recv().unwrap();
        Self {
            thread,
            ready,
            came,
            ended,
        }
    }
}

/// A private key and a port for a device; says its public key.
fn set_up(device: &str, key: u8, port: u16) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    // Any 32 octets will do: WireGuard sets the bits that must be set.
    std::fs::write(&file, PeerKey([key; 32]).to_string()).unwrap();
    let file = file.path().display();
    wg(&format!(
        "set {device} listen-port {port} private-key {file}"
    ));
    wg(&format!("show {device} public-key")).trim().to_owned()
}

/// Makes `wg0` the near end of two tunnels.
fn two_tunnels(stop: &Arc<AtomicBool>) -> Vec<(PeerKey, FarEnd)> {
    let ours = set_up("wg0", 11, 51820);
    let ends = [
        (12, 51821, "wg-nyc", "10.255.0.2"),
        (13, 51822, "wg-fra", "10.255.0.3"),
    ];
    let mut far = Vec::new();
    for (key, port, device, address) in ends {
        // Its packets go through the namespace in which it is made, wherever it is later.
        ip(&format!("link add {device} type wireguard"));
        let theirs = set_up(device, key, port);
        wg(&format!(
            "set wg0 peer {theirs} endpoint 127.0.0.1:{port} allowed-ips {address}/32"
        ));
        wg(&format!(
            "set {device} peer {ours} endpoint 127.0.0.1:51820 allowed-ips 10.255.0.1/32"
        ));
        let end = FarEnd::start(device, address, stop);
        ip(&format!("link set {device} netns {}", end.thread));
        end.ready.send(()).unwrap();
        let peers = read("wg0");
        let at = |peer: &&Peer| peer.endpoint.is_some_and(|at| at.port() == port);
        far.push((peers.iter().find(at).unwrap().key, end));
    }
    ip("addr add 10.255.0.1/24 dev wg0");
    ip("link set wg0 up");
    ip("route add 10.101.0.0/16 dev wg0");
    far
}

#[test]
fn no_packet_is_lost_while_its_prefix_moves_from_peer_to_peer() {
    in_namespace(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let far = two_tunnels(&stop);
        let socket = UdpSocket::bind("10.255.0.1:0").unwrap();
        let (mut devices, prefix) = (devices(), net("10.101.0.0/16"));
        let mut move_to = |peer| devices.change(&change(peer, vec![prefix], false)).unwrap();
        for (key, end) in &far {
            move_to(*key);
            let start = Instant::now();
            while end.came.recv_timeout(Duration::from_millis(200)).is_err() {
                // It goes nowhere until the device at the other end is up.
                let _ = socket.send_to(&UNCOUNTED.to_be_bytes(), SERVICE);
                assert!(start.elapsed() < PATIENCE, "no packet arrives");
            }
        }
        let peers = read("wg0");
        assert!(peers.iter().all(|peer| peer.last_handshake.is_some()));

        let sender = std::thread::spawn(move || {
            for number in 0..1000u32 {
                socket.send_to(&number.to_be_bytes(), SERVICE).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut moves = 0;
        while !sender.is_finished() {
            move_to(far[moves % 2].0);
            moves += 1;
            std::thread::sleep(Duration::from_millis(4));
        }
        sender.join().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let mut came = Vec::new();
        for (_, end) in far {
            end.ended.join().unwrap();
            let before = came.len();
            came.extend(end.came.try_iter().filter(|number| *number != UNCOUNTED));
            let here = came.len() - before;
            assert!(here > 50, "{here} of 1,000 packets to one of two peers");
        }
        println!("{moves} moves under 1,000 packets");
        assert!(moves > 50, "{moves}");
        came.sort_unstable();
        assert_eq!(came, Vec::from_iter(0..1000));
    });
}

/// What the daemon does, in small: routes, and AllowedIPs that follow them.
struct Rig {
    fib: Fib,
    handle: Handle,
    inputs: Receiver<Input>,
    board: Arc<Board>,
    told: Vec<wireguard::Notice>,
    _state: tempfile::TempDir,
}

impl Rig {
    /// Two peers, and addresses by which routes reach them.
    fn new() -> Self {
        two_peers();
        ip("addr add 10.255.0.1/24 dev wg0");
        ip("addr add fd00::1/64 dev wg0 nodad");
        ip("link set wg0 up");
        let (config, board) = (FibConfig::default(), Arc::new(Board::default()));
        let state = tempfile::tempdir().unwrap();
        let allowed_ips = AllowedIpsConfig {
            protocol: config.protocol,
            uapi_dir: PathBuf::from("/nowhere"),
            state_dir: state.path().to_owned(),
            manages: Manages(Arc::new(|_| true)),
            clock: Instant::now,
            board: Arc::clone(&board),
        };
        let (handle, inputs) = kernel::start(KernelConfig {
            allowed_ips: Some(allowed_ips),
            ..KernelConfig::default()
        })
        .unwrap();
        let mut rig = Self {
            fib: Fib::new(config),
            handle,
            inputs,
            board,
            told: Vec::new(),
            _state: state,
        };
        rig.until("the first dump", |rig| rig.fib.status().synchronized);
        rig
    }

    fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.fib.handle(Instant::now(), input, &mut out);
        for output in out {
            match output {
                Output::Send(_) | Output::Resync => self.handle.send(output),
                Output::Notice(Notice::AllowedIps(notice)) => self.told.push(notice),
                Output::Notice(_)
                | Output::NextHop { .. }
                | Output::Environment
                | Output::Ended => {}
            }
        }
    }

    /// Through this next hop; `None`: no more.
    fn want(&mut self, prefix: &str, by: Option<&str>) {
        let route = by.and_then(|address| via(&[(address, 1)]));
        let at = Placement::default();
        let prefix = net(prefix);
        self.input(Input::Wanted { prefix, route, at });
    }

    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: {:?} {:?} {:?}",
                self.fib.status(),
                self.told,
                self.board.status()
            );
            if let Some(input) = common::next(&mut self.inputs, self.fib.deadline()) {
                self.input(input);
            }
        }
    }

    /// Waits until the peers have these beside their tunnel addresses.
    #[track_caller]
    fn until_lists(&mut self, what: &str, nyc: &[IpNet], fra: &[IpNet]) {
        let with = |own: [&str; 2], more: &[IpNet]| -> BTreeSet<IpNet> {
            nets(&own).into_iter().chain(more.iter().copied()).collect()
        };
        let expected = BTreeMap::from([
            (NYC, with(["10.255.0.2/32", "fd00::2/128"], nyc)),
            (FRA, with(["10.255.0.3/32", "fd00::3/128"], fra)),
        ]);
        let start = Instant::now();
        let two = || {
            let mut lists = lists();
            lists.retain(|key, _| *key == NYC || *key == FRA);
            lists
        };
        while two() != expected {
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: {:?} {:?}",
                lists(),
                self.told
            );
            let pause = Instant::now() + Duration::from_millis(50);
            self.until("a pause", |_| Instant::now() >= pause);
        }
    }

    /// Lets everything happen that is going to: what was done is read back a tenth of a second later.
    fn quiet(&mut self) {
        let start = Instant::now();
        self.until("a second", |_| start.elapsed() > Duration::from_secs(1));
    }

    fn said(&self, notice: &wireguard::Notice) -> usize {
        self.told.iter().filter(|told| *told == notice).count()
    }
}

#[test]
fn prefixes_follow_their_routes_and_go_with_them_if_they_can() {
    in_namespace(|| {
        let mut rig = Rig::new();
        let (four, six) = ("10.101.0.0/16", "2001:db8:101::/48");
        let both = nets(&[four, six]);
        rig.want(four, Some("10.255.0.2"));
        rig.want(six, Some("fd00::2"));
        rig.until_lists("given", &both, &[]);
        rig.until("installed", |rig| rig.fib.status().installed == 2);
        rig.want(four, Some("10.255.0.3"));
        rig.want(six, Some("fd00::3"));
        rig.until_lists("moved", &[], &both);
        rig.want(four, None);
        rig.want(six, None);
        rig.until("no route", |rig| rig.fib.status().actual == 0);
        let device = "wg0".to_owned();
        let cannot = wireguard::Notice::CannotRemove { device };
        if removes() {
            rig.until_lists("gone", &[], &[]);
            rig.quiet();
            assert_eq!(rig.told, []);
            assert_eq!(rig.board.status()[0].ours, 0);
        } else {
            rig.until("it is found out", |rig| rig.said(&cannot) == 1);
            rig.quiet();
            // It is not tried again, and what stayed is known to be ours, so that it may move.
            let changes = rig.board.status()[0].changes;
            rig.quiet();
            assert_eq!(rig.board.status()[0].changes, changes);
            assert_eq!(rig.told, [cannot]);
            rig.until_lists("it stays", &[], &both);
        }
        rig.want(four, Some("10.255.0.2"));
        rig.want(six, Some("fd00::2"));
        rig.until_lists("there again", &both, &[]);
    });
}

#[test]
fn prefixes_that_others_gave_stay_where_they_are() {
    in_namespace(|| {
        let mut rig = Rig::new();
        give(FRA, &["10.200.0.0/16", "10.201.0.0/16"]).unwrap();
        let foreign = nets(&["10.200.0.0/16", "10.201.0.0/16"]);
        rig.want("10.101.0.0/16", Some("10.255.0.2"));
        rig.want("10.200.0.0/16", Some("10.255.0.2"));
        rig.want("10.201.0.0/16", Some("10.255.0.3"));
        rig.until_lists("one is ours", &nets(&["10.101.0.0/16"]), &foreign);
        let notice = wireguard::Notice::Foreign {
            device: "wg0".to_owned(),
            prefix: net("10.200.0.0/16"),
        };
        rig.until("it is told", |rig| rig.said(&notice) == 1);
        for prefix in ["10.101.0.0/16", "10.200.0.0/16", "10.201.0.0/16"] {
            rig.want(prefix, None);
        }
        rig.until("no route", |rig| rig.fib.status().actual == 0);
        rig.quiet();
        let stays = nets(&["10.101.0.0/16"]);
        let ours = if removes() { &[][..] } else { &stays };
        rig.until_lists("theirs stay", ours, &foreign);
    });
}

#[test]
fn what_a_peer_that_vanished_did_not_take_is_found_and_given_when_it_is_back() {
    in_namespace(|| {
        let mut rig = Rig::new();
        // To the only peer of a device, all that is routed over it would go.
        wg(&format!("set wg0 peer {NOBODY} allowed-ips 10.255.0.9/32"));
        rig.want("10.102.0.0/16", Some("10.255.0.3"));
        rig.until_lists("given", &[], &nets(&["10.102.0.0/16"]));
        // What was given is read back; for ten seconds after that, nothing is.
        rig.quiet();
        wg(&format!("set wg0 peer {NYC} remove"));
        rig.want("10.101.0.0/16", Some("10.255.0.2"));
        let notice = wireguard::Notice::NoPeer {
            device: "wg0".to_owned(),
            gateway: "10.255.0.2".parse().ok(),
        };
        rig.until("it is found", |rig| {
            rig.said(&notice) == 1 && rig.board.status()[0].missing == 1
        });
        assert_eq!(lists().len(), 2, "no peer is made");
        wg(&format!(
            "set wg0 peer {NYC} allowed-ips 10.255.0.2/32,fd00::2/128"
        ));
        let (nyc, fra) = (nets(&["10.101.0.0/16"]), nets(&["10.102.0.0/16"]));
        rig.until_lists("given after all", &nyc, &fra);
        rig.until("nothing is missing", |rig| {
            rig.board.status()[0].missing == 0
        });
    });
}

#[test]
fn three_thousand_prefixes_follow_their_routes() {
    in_namespace(|| {
        let (mut rig, all) = (Rig::new(), three_thousand());
        let lead = |rig: &mut Rig, to: u8| {
            for prefix in &all {
                let via = match prefix {
                    IpNet::V4(_) => format!("10.255.0.{to}"),
                    IpNet::V6(_) => format!("fd00::{to}"),
                };
                rig.want(&prefix.to_string(), Some(&via));
            }
        };
        lead(&mut rig, 2);
        rig.until("installed", |rig| rig.fib.status().installed == all.len());
        rig.until_lists("given", &all, &[]);
        lead(&mut rig, 3);
        rig.until_lists("moved", &[], &all);
        rig.quiet();
        assert_eq!(rig.told, []);
        assert_eq!(rig.board.status()[0].ours, all.len());
    });
}
