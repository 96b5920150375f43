//! A full table through the RIB: 1,000,000 prefixes of 167,000 attribute sets in from one peer and out to another.
//! Prints nanoseconds and octets a route. `cargo run --release -p rib --example load [PREFIXES] [SENDERS] [RECEIVERS]`

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bgp_core::attributes::{AsPath, NextHop, Origin};
use bgp_core::family::PerFamily;
use bgp_core::update::{DecodeContext, EncodeContext, announce, encode_attributes};
use bgp_core::{Attributes, Ipv4Prefix, Reset};
use bytes::{Bytes, BytesMut};
use rib::peer::{LocalAddresses, NextHopRule};
use rib::policy::Chain;
use rib::{Config, Drain, Multipath, PeerId, PeerSession, Rib};

/// Prefixes that share an attribute set.
const SHARING: usize = 6;
/// UPDATEs of a sender in one turn.
const TURN: usize = 1000;

fn session(number: u32) -> PeerSession {
    let address = Ipv4Addr::from(0x0a00_0000 + number);
    PeerSession {
        asn: 65000 + number,
        identifier: address,
        address: address.into(),
        group: None,
        local_asn: 64999,
        local: LocalAddresses {
            ipv4: Some(Ipv4Addr::new(10, 255, 0, 1)),
            ..LocalAddresses::default()
        },
        interface: None,
        direct: false,
        decode: DecodeContext {
            four_octet_as: true,
            external: true,
            families: PerFamily {
                ipv4: true,
                ipv6: false,
            },
            ..DecodeContext::default()
        },
        four_octet_as: true,
        max_message: 4096,
        add_path_send: PerFamily::default(),
        extended_next_hop: false,
        import: Some(Chain::accept_all()),
        export: Some(Chain::accept_all()),
        next_hop: NextHopRule::Standard,
        rr_client: false,
        rs_client: false,
        allow_local_as: 0,
        as_path: rib::peer::AsPathRules::default(),
        aigp: false,
        link_bandwidth: false,
        role: None,
        drain: Drain::None,
        long_lived: false,
    }
}

/// UPDATE bodies of one sender.
fn updates(sender: u32, prefixes: usize) -> Vec<Bytes> {
    let context = EncodeContext {
        four_octet_as: true,
        add_path: false,
        max_message: 4096,
    };
    let next_hop = NextHop::V4(Ipv4Addr::from(0x0a00_0000 + sender));
    let mut bodies = Vec::new();
    let mut all = (0..prefixes).map(|n| {
        let n = u32::try_from(n).unwrap_or_default();
        Ipv4Prefix::new(Ipv4Addr::from(0x0100_0000 + (n << 8)), 24)
    });
    for set in 0..prefixes.div_ceil(SHARING) {
        let set = u32::try_from(set).unwrap_or_default();
        let hops = (0..=set % 4).map(|hop| 1000 + (set >> hop) % 60_000);
        let path = AsPath::sequence(std::iter::once(65000 + sender).chain(hops));
        let attributes = Attributes {
            med: Some(set),
            communities: [bgp_core::attributes::Community(set)].into_iter().collect(),
            ..Attributes::new(Origin::Igp, path, next_hop)
        };
        let mut block = Vec::new();
        encode_attributes(&attributes, true, &mut block);
        let shared = all.by_ref().take(SHARING).flatten().map(|p| (0, p));
        let mut out = BytesMut::new();
        if announce(&block, next_hop, shared, &context, &mut out).is_ok() {
            let message = out.freeze();
            bodies.push(message.slice(19..));
        }
    }
    bodies
}

fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// What it took.
#[derive(Default)]
struct Took {
    hearing: Duration,
    saying: Duration,
    octets: usize,
    segments: usize,
}

/// Feeds all tables in turns, and takes what there is to say after each.
#[expect(clippy::disallowed_methods, reason = "a benchmark has a clock")]
fn run(rib: &mut Rib, tables: &[Vec<Bytes>], peers: u32) -> Result<Took, Reset> {
    let mut took = Took::default();
    let mut out = Vec::new();
    for part in 0..tables.first().map_or(0, Vec::len).div_ceil(TURN) {
        let start = Instant::now();
        for (sender, table) in (0..).zip(tables) {
            for body in table.iter().skip(part * TURN).take(TURN) {
                rib.receive(PeerId(sender), body)?;
            }
        }
        took.hearing += start.elapsed();
        let start = Instant::now();
        for peer in 0..peers {
            while rib.transmit(PeerId(peer), 1 << 18, &mut out) {}
            took.octets += out.iter().map(Bytes::len).sum::<usize>();
            took.segments += out.len();
            out.clear();
        }
        took.saying += start.elapsed();
    }
    Ok(took)
}

#[expect(clippy::print_stdout, reason = "it is what it is for")]
#[expect(clippy::disallowed_methods, reason = "a benchmark has a clock")]
fn main() -> Result<(), String> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse::<u32>().ok());
    let prefixes = arguments.next().unwrap_or(1_000_000);
    let senders = arguments.next().unwrap_or(1);
    let receivers = arguments.next().unwrap_or(1);
    let tables: Vec<_> = (0..senders)
        .map(|s| updates(s, prefixes as usize))
        .collect();
    let mut rib = Rib::new(Config {
        local_asn: 64999,
        identifier: Ipv4Addr::new(10, 255, 0, 1),
        cluster_id: Ipv4Addr::new(10, 255, 0, 1),
        client_to_client: true,
        multipath: Multipath::NONE,
        seed: 1,
        assume_reachable: true,
        fib: false,
    });
    for peer in 0..senders + receivers {
        rib.peer_up(PeerId(peer), session(peer));
    }
    let before = memory("VmRSS");
    let took = run(&mut rib, &tables, senders + receivers).map_err(|e| format!("{e:?}"))?;
    let routes = u64::from(prefixes) * u64::from(senders);
    let each = |time: Duration| time.as_nanos() / u128::from(routes);
    println!(
        "receive  {:>6} ns/route  {:?}",
        each(took.hearing),
        took.hearing
    );
    println!(
        "transmit {:>6} ns/route  {:?}",
        each(took.saying),
        took.saying
    );
    println!(
        "said     {} octets in {} segments",
        took.octets, took.segments
    );
    let more = memory("VmRSS").saturating_sub(before);
    println!(
        "memory   {more} KiB more ({} octets/route)",
        more * 1024 / routes
    );
    println!("{:?}", rib.counts());
    let start = Instant::now();
    for peer in 0..senders {
        rib.peer_down(PeerId(peer));
    }
    let mut out = Vec::new();
    while rib.transmit(PeerId(senders), 1 << 18, &mut out) {
        out.clear();
    }
    println!(
        "teardown {:>6} ns/route  {:?}",
        each(start.elapsed()),
        start.elapsed()
    );
    Ok(())
}
