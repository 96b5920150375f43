//! Packets at a measured link that are none of its neighbor's, or lies of the neighbor's: nothing moves, and what is refused
//! is counted.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Host, Windrosed};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::star::{ROUTER, Star, bird, peer};

const PEER: &str = "192.0.1.2";
/// A stranger on the same link.
const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 1, 66);
const HUB: Ipv4Addr = Ipv4Addr::new(192, 0, 1, 1);

const IPPROTO_ICMP: i32 = 1;
/// What is sent has its own header.
const IPPROTO_RAW: i32 = 255;

/// A source of octets that is the same each time.
struct Chance(u32);

impl Chance {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn octets(&mut self, len: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.next().to_le_bytes()[0])
            .take(len)
            .collect()
    }
}

fn link(windrosed: &Windrosed) -> Result<Value> {
    let rows = windrosed.rows("link list")?;
    rows.into_iter().next().context("no link")
}

/// Succeeds while the link is good and has lost nothing, and the session is the first one.
fn is_well(windrosed: &Windrosed, probe: &str) -> Result<Value> {
    let row = link(windrosed)?;
    ensure!(row["state"] == "good" && row["probe"] == probe, "{row}");
    let cost = row["cost"].as_u64().unwrap_or_default();
    ensure!((1..20_000).contains(&cost), "{row}");
    for way in ["loss_out_60s", "loss_in_60s"] {
        ensure!(row[way].as_f64() < Some(0.01), "{row}");
    }
    let session = windrosed.peer(PEER)?;
    ensure!(
        session["established_count"] == 1 && session["state"] == "Established",
        "{session}"
    );
    Ok(row)
}

fn rejected(row: &Value) -> u64 {
    row["rejected"].as_u64().unwrap_or_default()
}

/// Changes of the link's cost, either way.
fn changes(windrosed: &Windrosed) -> Result<usize> {
    Ok(windrosed.rows(&format!("link history {PEER}"))?.len())
}

/// Sends what `next` makes for so long, from within a host: four packets a millisecond at most. What the kernel drops
/// for want of room is lost to everybody.
fn flood(
    host: &Host,
    time: Duration,
    mut next: impl FnMut(usize) -> Result<()> + Send + 'static,
) -> Result<()> {
    host.within(move || {
        let start = Instant::now();
        for round in 0.. {
            next(round)?;
            if round % 2 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            if start.elapsed() > time {
                break;
            }
        }
        Ok(())
    })
}

/// UDP from an address and a port that are not ours, as far as the kernel lets it: header and all.
fn datagram(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let udp = u16::try_from(8 + payload.len()).unwrap_or_default();
    let mut packet = vec![0x45, 0];
    packet.extend((20 + udp).to_be_bytes());
    packet.extend([0, 0, 0, 0, 255, 17, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(udp.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

fn raw(protocol: i32) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(protocol)))?;
    Ok(socket)
}

/// What the link's own socket is bound to at the hub: the one whose other end is the reflector's port.
fn probe_port(hub: &Host) -> Result<u16> {
    let sockets = hub.run("cat /proc/net/udp")?;
    let port = sockets.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, remote) = (words.next()?, words.next()?);
        let port = u16::from_str_radix(local.split(':').nth(1)?, 16).ok()?;
        (remote.ends_with(":035E")).then_some(port)
    });
    port.with_context(|| format!("no probe among {sockets}"))
}

/// Strangers' probes and noise at the reflector's port; answers from the neighbor's very address and port that are short,
/// corrupt, of other sessions, or of probes that were never sent.
#[test]
fn spoofed_and_malformed_stamp_moves_nothing() -> Result<()> {
    let Some(star) = Star::new(&[], 1)? else {
        return Ok(());
    };
    let (hub, spoke) = (&star.hub, &star.spokes[0]);
    let other = "[router]\nasn = 65002\nrouter-id = \"192.0.1.2\"\n".to_owned()
        + &peer("192.0.1.1", 65001, "probe = true");
    let _other = Windrosed::start(&star.lab, spoke, &other)?;
    let windrosed = star.windrosed(&(ROUTER.to_owned() + &peer(PEER, 65002, "probe = true")))?;
    star.soon("a good link", || is_well(&windrosed, "stamp"))?;
    spoke.address("eth0", &format!("{STRANGER}/24"))?;
    let (before, moves) = (link(&windrosed)?, changes(&windrosed)?);

    let port = probe_port(hub)?;
    let mut chance = Chance(0x9E37_79B9);
    let stranger = spoke.within(|| Ok(UdpSocket::bind((STRANGER, 0))?))?;
    let forger = spoke.within(|| raw(IPPROTO_RAW))?;
    flood(spoke, Duration::from_secs(5), move |round| {
        // A probe that is one but for who sends it, and noise.
        let mut probe = vec![0; 44];
        probe[12..14].copy_from_slice(&[0x80, 1]);
        stranger.send_to(&probe, (HUB, 862))?;
        stranger.send_to(&chance.octets(round % 120), (HUB, 862))?;
        // An answer to a probe far from those under way, or of another session, or that is none.
        let mut answer = chance.octets(44);
        answer[24..26].fill(0x7f);
        match round % 4 {
            0 => answer.truncate(round / 4 % 44),
            1 => answer[12..14].fill(0),
            2 => answer[14..16].fill(0),
            _ => {}
        }
        let from = SocketAddrV4::new(Ipv4Addr::new(192, 0, 1, 2), 862);
        let to = SocketAddrV4::new(HUB, port);
        let packet = datagram(from, to, &answer);
        forger.send_to(&packet, &SocketAddr::from(to).into())?;
        Ok(())
    })?;
    let row = is_well(&windrosed, "stamp")?;
    ensure!(
        rejected(&row) > rejected(&before) + 1_000,
        "{before} and then {row}"
    );
    ensure!(changes(&windrosed)? == moves, "its cost changed");
    Ok(())
}

/// A reflector that answers each probe, and lies in all that it can: its own numbers, times, and answers to probes that
/// were never sent. None of that makes loss.
#[test]
fn a_reflector_that_lies_in_its_numbers_moves_nothing() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let spoke = &star.spokes[0];
    let _bird = Bird::start(&star.lab, spoke, &bird(1, 65002, "", &["10.2.0.0/16"]))?;
    let socket = spoke.within(|| Ok(UdpSocket::bind("192.0.1.2:862")?))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let ends = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ends);
    let liar = std::thread::spawn(move || -> Result<()> {
        let (mut chance, mut octets) = (Chance(7), [0; 128]);
        while !end.load(Ordering::Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut octets) else {
                continue;
            };
            ensure!(len == 44, "a probe of {len} octets");
            let probe = &octets[..len];
            let mut answer = chance.octets(44);
            answer[12..14].copy_from_slice(&[0x80, 1]);
            answer[14..16].copy_from_slice(&probe[14..16]);
            answer[24..38].copy_from_slice(&probe[..14]);
            socket.send_to(&answer, from)?;
            // Once more with another number of its own; to one that comes later; and half of it.
            answer[..4].copy_from_slice(&chance.octets(4));
            socket.send_to(&answer, from)?;
            answer[24] ^= 0x40;
            socket.send_to(&answer, from)?;
            socket.send_to(&answer[..22], from)?;
        }
        Ok(())
    });
    let windrosed = star.windrosed(&(ROUTER.to_owned() + &peer(PEER, 65002, "probe = true")))?;
    star.soon("a good link", || is_well(&windrosed, "stamp"))?;
    let moves = changes(&windrosed)?;
    let well = star
        .lab
        .throughout("peace", Duration::from_secs(8), || {
            is_well(&windrosed, "stamp").map(drop)
        })
        .and_then(|()| {
            let row = is_well(&windrosed, "stamp")?;
            ensure!(rejected(&row) > 300, "{row}");
            ensure!(changes(&windrosed)? == moves, "its cost changed");
            Ok(())
        });
    ends.store(true, Ordering::Relaxed);
    let lied = liar.join();
    well?;
    lied.ok().context("the liar panicked")?
}

/// Echo replies by the thousand, from a stranger and from the neighbor's address, that are short, corrupt or to nothing
/// that was asked: none is taken for an answer, not even when the neighbor gives none.
#[test]
fn spoofed_and_malformed_echo_replies_move_nothing_and_hide_no_loss() -> Result<()> {
    let Some(star) = Star::new(&["bird", "nft"], 1)? else {
        return Ok(());
    };
    let spoke = &star.spokes[0];
    let _bird = Bird::start(&star.lab, spoke, &bird(1, 65002, "", &["10.2.0.0/16"]))?;
    let windrosed = star.windrosed(&(ROUTER.to_owned() + &peer(PEER, 65002, "probe = true")))?;
    star.soon("a good link", || is_well(&windrosed, "icmp"))?;
    spoke.address("eth0", &format!("{STRANGER}/24"))?;
    // What a request looks like, as everybody on the way can see.
    let request = spoke.within(|| {
        let socket = raw(IPPROTO_ICMP)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut octets = [0; 128];
        loop {
            let len = std::io::Read::read(&mut &socket, &mut octets)?;
            let message = octets.get(20..len).context("a short packet")?;
            if message.first() == Some(&8) {
                return Ok(message.to_vec());
            }
        }
    })?;
    let (before, moves) = (link(&windrosed)?, changes(&windrosed)?);
    let forge = |time| -> Result<()> {
        let (mut chance, request) = (Chance(11), request.clone());
        let forger = spoke.within(|| raw(IPPROTO_ICMP))?;
        let stranger = spoke.within(|| {
            let socket = raw(IPPROTO_ICMP)?;
            socket.bind(&SocketAddr::from((STRANGER, 0)).into())?;
            Ok(socket)
        })?;
        flood(spoke, time, move |round| {
            let mut reply = request.clone();
            reply[0] = 0;
            match round % 5 {
                // As it was, long ago; to another one, with the tag of this; and with the tag of none.
                0 => {}
                1 => reply[12..16].copy_from_slice(&chance.octets(4)),
                2 => reply[16..32].copy_from_slice(&chance.octets(16)),
                3 => reply.truncate(8 + round / 5 % 24),
                _ => reply[0] = [3, 4, 11, 12][round / 5 % 4],
            }
            reply[2..4].fill(0);
            let sum = checksum(&reply);
            reply[2..4].copy_from_slice(&sum.to_be_bytes());
            let to = SocketAddr::from((HUB, 0)).into();
            forger.send_to(&reply, &to)?;
            stranger.send_to(&reply, &to)?;
            Ok(())
        })
    };
    forge(Duration::from_secs(5))?;
    let row = is_well(&windrosed, "icmp")?;
    ensure!(
        rejected(&row) > rejected(&before) + 1_000,
        "{before} and then {row}"
    );
    ensure!(changes(&windrosed)? == moves, "its cost changed");

    spoke.run("nft add table inet hole")?;
    spoke.run("nft add chain inet hole in { type filter hook input priority 0; }")?;
    spoke.run("nft add rule inet hole in icmp type echo-request drop")?;
    forge(Duration::from_secs(3))?;
    let row = link(&windrosed)?;
    ensure!(row["state"] == "silent", "{row}");
    ensure!(row["cost"].as_u64() > Some(5_000_000), "{row}");
    windrosed.established(PEER)
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let words = message.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
