//! Peers that break the rules, each in its own way: the answer that the RFCs ask for, and nobody else
//! notices.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use conformance::lab::raw::{RawPeer, message, open, update};
use conformance::lab::{Bird, Since, Windrosed, run};

use crate::star::{ROUTER, SOON, Star, bird, peer};

const BAD: Ipv4Addr = Ipv4Addr::new(192, 0, 1, 2);
const HUB: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 1, 1));
const BAD_AS: u32 = 65002;
/// 10.50.0.0/16 and 10.51.0.0/16 as NLRI.
const PREFIX: [u8; 3] = [16, 10, 50];
const MARK: [u8; 3] = [16, 10, 51];

/// windrosed, a good peer with a route, and a place for a bad one.
struct Scene {
    star: Star,
    windrosed: Windrosed,
    bird: Bird,
    since: Since,
}

impl Scene {
    fn new(bad: &str) -> Result<Option<Self>> {
        let Some(star) = Star::new(&["bird"], 2)? else {
            return Ok(None);
        };
        let bad =
            format!("passive = true\nidle-hold = \"100ms\"\nidle-hold-max = \"200ms\"\n{bad}");
        let config = [
            ROUTER.to_owned(),
            peer("192.0.1.2", BAD_AS, &bad),
            peer("192.0.2.2", 65003, ""),
        ];
        let windrosed = star.windrosed(&config.concat())?;
        let config = bird(2, 65003, "", &["10.3.0.0/16"]);
        let bird = Bird::start(&star.lab, &star.spokes[1], &config)?;
        star.soon("the good route", || windrosed.path("10.3.0.0/16"))?;
        let since = bird.since("w")?;
        Ok(Some(Self {
            star,
            windrosed,
            bird,
            since,
        }))
    }

    /// A connection that windrosed has answered with its OPEN: after an error it refuses for a moment.
    fn connect(&self) -> Result<RawPeer> {
        let spoke = &self.star.spokes[0];
        self.star.soon("a connection", || {
            let mut peer = RawPeer::connect(spoke, HUB)?;
            let (kind, _) = peer.next(SOON)?;
            ensure!(kind == 1, "message type {kind}");
            Ok(peer)
        })
    }

    fn establish(&self) -> Result<RawPeer> {
        let spoke = &self.star.spokes[0];
        self.star
            .soon("a session", || RawPeer::establish(spoke, HUB, BAD_AS, BAD))
    }

    /// The good session has not even flapped: BIRD prints the time since when it is up.
    fn untouched(&self) -> Result<()> {
        let now = self.bird.since("w")?;
        ensure!(now.is(self.since), "was {:?}, is {now:?}", self.since);
        self.windrosed.path("10.3.0.0/16").map(drop)
    }
}

/// A message with its header changed (the marker, the length, the type), its body as long as it says.
fn header(marker: u8, length: u16, kind: u8) -> Vec<u8> {
    let mut bytes = vec![marker; 16];
    bytes.extend(length.to_be_bytes());
    bytes.push(kind);
    bytes.resize(bytes.len().max(length.into()), 0);
    bytes
}

/// An OPEN with one byte of its body changed.
fn open_with(at: usize, value: u8) -> Vec<u8> {
    let mut bytes = open(BAD_AS, BAD, 90);
    bytes[19 + at] = value;
    bytes
}

/// RFC 4271 §6.1 and §6.2: each with its Error Code and Error Subcode.
#[test]
fn each_bad_open_hears_its_notification() -> Result<()> {
    let Some(scene) = Scene::new("")? else {
        return Ok(());
    };
    let cases = [
        ("a marker of zeros", header(0, 19, 4), (1, 1)),
        ("a length below the header's", header(0xFF, 18, 4), (1, 2)),
        ("a length above 4096", header(0xFF, 5000, 4), (1, 2)),
        ("an OPEN too short", header(0xFF, 28, 1), (1, 2)),
        ("a KEEPALIVE with a body", header(0xFF, 20, 4), (1, 2)),
        ("an unknown type", header(0xFF, 19, 9), (1, 3)),
        ("version 3", open_with(0, 3), (2, 1)),
        ("the AS of another", open(65077, BAD, 90), (2, 2)),
        (
            "the identifier 0.0.0.0",
            open(BAD_AS, Ipv4Addr::UNSPECIFIED, 90),
            (2, 3),
        ),
        ("a hold time of 2 s", open(BAD_AS, BAD, 2), (2, 6)),
    ];
    for (what, bytes, expected) in cases {
        let mut peer = scene.connect()?;
        peer.send(&bytes)?;
        match peer.notification(SOON) {
            Ok(told) => assert_eq!(told, expected, "{what}"),
            Err(e) => bail!("{what}: {e:#}"),
        }
        scene.untouched()?;
    }
    Ok(())
}

/// RFC 4271 §8.2.2: a message that is no OPEN, or an OPEN that is cut off, brings no session and no harm.
#[test]
fn half_an_open_is_no_harm() -> Result<()> {
    let Some(scene) = Scene::new("")? else {
        return Ok(());
    };
    let whole = open(BAD_AS, BAD, 90);
    for cut in [1, 18, 19, 20, whole.len() - 1] {
        scene.connect()?.send(&whole[..cut])?;
        scene.untouched()?;
    }
    scene.establish()?.stays(Duration::from_millis(200))
}

/// A peer that sends a byte at a time, with pauses, still gets its session.
#[test]
fn a_peer_may_take_its_time() -> Result<()> {
    let Some(scene) = Scene::new("")? else {
        return Ok(());
    };
    let mut peer = scene.connect()?;
    for byte in open(BAD_AS, BAD, 90) {
        peer.send(&[byte])?;
        std::thread::sleep(Duration::from_millis(100));
        scene.untouched()?;
    }
    for byte in message(4, &[]) {
        peer.send(&[byte])?;
    }
    scene
        .star
        .soon("the session", || scene.windrosed.established("192.0.1.2"))?;
    for byte in update(&[ORIGIN, AS_PATH, NEXT_HOP].concat(), &PREFIX) {
        peer.send(&[byte])?;
    }
    scene
        .star
        .soon("the route", || scene.windrosed.path("10.50.0.0/16"))?;
    scene.untouched()
}

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xEA];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 1, 2];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// RFC 7606 §2: "treat-as-withdraw".
    Withdraw,
    /// RFC 7606 §2: "attribute discard".
    Discard,
    /// RFC 7606 §2: "session reset", with the subcode of the UPDATE Message Error.
    Reset(u8),
}
use Answer::{Discard, Reset, Withdraw};

/// Attributes broken in each way that RFC 7606 §7 (and RFC 8092 §6) names.
fn broken_attributes() -> Vec<(&'static str, Vec<u8>, Answer)> {
    let good = [ORIGIN, AS_PATH, NEXT_HOP].concat();
    let with = |more: &[u8]| [&good, more].concat();
    vec![
        (
            "ORIGIN of two octets",
            [&[0x40, 1, 2, 0, 0], AS_PATH, NEXT_HOP].concat(),
            Withdraw,
        ),
        (
            "ORIGIN 3",
            [&[0x40, 1, 1, 3], AS_PATH, NEXT_HOP].concat(),
            Withdraw,
        ),
        (
            "ORIGIN flagged optional",
            [&[0xC0, 1, 1, 0], AS_PATH, NEXT_HOP].concat(),
            Withdraw,
        ),
        ("no ORIGIN", [AS_PATH, NEXT_HOP].concat(), Withdraw),
        ("no AS_PATH", [ORIGIN, NEXT_HOP].concat(), Withdraw),
        ("no NEXT_HOP", [ORIGIN, AS_PATH].concat(), Withdraw),
        (
            "AS_PATH with a segment of type 9",
            [ORIGIN, &[0x40, 2, 6, 9, 1, 0, 0, 0xFD, 0xEA], NEXT_HOP].concat(),
            Withdraw,
        ),
        (
            "AS_PATH overrun",
            [ORIGIN, &[0x40, 2, 6, 2, 2, 0, 0, 0xFD, 0xEA], NEXT_HOP].concat(),
            Withdraw,
        ),
        (
            "AS_PATH with an empty segment",
            [ORIGIN, &[0x40, 2, 2, 2, 0], NEXT_HOP].concat(),
            Withdraw,
        ),
        (
            "NEXT_HOP of three octets",
            [ORIGIN, AS_PATH, &[0x40, 3, 3, 192, 0, 1]].concat(),
            Withdraw,
        ),
        (
            "MULTI_EXIT_DISC of three octets",
            with(&[0x80, 4, 3, 0, 0, 1]),
            Withdraw,
        ),
        (
            "LOCAL_PREF from outside, three octets",
            with(&[0x40, 5, 3, 0, 0, 1]),
            Discard,
        ),
        (
            "ATOMIC_AGGREGATE of one octet",
            with(&[0x40, 6, 1, 0]),
            Discard,
        ),
        (
            "AGGREGATOR of seven octets",
            with(&[0xC0, 7, 7, 0, 0, 0, 1, 1, 1, 1]),
            Discard,
        ),
        (
            "COMMUNITIES of three octets",
            with(&[0xC0, 8, 3, 0, 1, 2]),
            Withdraw,
        ),
        (
            "ORIGINATOR_ID from outside",
            with(&[0x80, 9, 3, 1, 1, 1]),
            Discard,
        ),
        (
            "CLUSTER_LIST from outside",
            with(&[0x80, 10, 3, 1, 1, 1]),
            Discard,
        ),
        (
            "EXTENDED COMMUNITIES of seven octets",
            with(&[0xC0, 16, 7, 0, 2, 0, 1, 0, 0, 0]),
            Withdraw,
        ),
        (
            "LARGE_COMMUNITY of five octets",
            with(&[0xC0, 32, 5, 0, 0, 0, 1, 0]),
            Withdraw,
        ),
        (
            "an attribute longer than what is left",
            with(&[0xC0, 8, 200, 0, 1]),
            Withdraw,
        ),
        (
            "the same attribute twice",
            with(&[0x80, 4, 4, 0, 0, 0, 1, 0x80, 4, 4, 0, 0, 0, 2]),
            Discard,
        ),
        (
            "MP_REACH_NLRI twice",
            [&good, MP_REACH, MP_REACH].concat(),
            Reset(1),
        ),
    ]
}

/// MP_REACH_NLRI of 2001:db8:50::/48.
const MP_REACH: &[u8] = &[
    0x80, 14, 28, 0, 2, 1, 16, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 48, 0x20,
    1, 0xd, 0xb8, 0, 0x50,
];

#[test]
fn each_broken_attribute_gets_its_remedy() -> Result<()> {
    let Some(scene) = Scene::new("")? else {
        return Ok(());
    };
    let good = [ORIGIN, AS_PATH, NEXT_HOP].concat();
    let mut peer = scene.establish()?;
    for (what, attributes, expected) in broken_attributes() {
        peer.update(&good, &PREFIX)?;
        let arrive = || scene.windrosed.path("10.50.0.0/16");
        scene.star.soon("the good route", arrive)?;
        peer.update(&attributes, &PREFIX)?;
        if let Reset(subcode) = expected {
            assert_eq!(peer.notification(SOON)?, (3, subcode), "{what}");
            peer = scene.establish()?;
        } else {
            judge(&scene, &mut peer, expected).map_err(|e| e.context(what))?;
        }
        scene.untouched()?;
    }
    Ok(())
}

/// A second prefix shows when the broken UPDATE has been dealt with.
fn judge(scene: &Scene, peer: &mut RawPeer, expected: Answer) -> Result<()> {
    let good = [ORIGIN, AS_PATH, NEXT_HOP].concat();
    peer.update(&good, &MARK)?;
    let mark = || scene.windrosed.path("10.51.0.0/16");
    scene.star.soon("the session to go on", mark)?;
    let left = scene.windrosed.paths("10.50.0.0/16")?.len();
    ensure!(
        (left == 0) == (expected == Withdraw),
        "{left} paths, {expected:?} expected"
    );
    peer.send(&message(
        2,
        &[&[0, MARK.len() as u8][..], &MARK, &[0, 0]].concat(),
    ))?;
    scene.star.soon("the withdrawal", || {
        ensure!(scene.windrosed.paths("10.51.0.0/16")?.is_empty());
        Ok(())
    })
}

/// RFC 4271 §6.3 where RFC 7606 leaves it: lengths that do not add up, prefixes longer than addresses.
#[test]
fn an_update_that_cannot_be_read_resets_the_session() -> Result<()> {
    let Some(scene) = Scene::new("")? else {
        return Ok(());
    };
    let good = [ORIGIN, AS_PATH, NEXT_HOP].concat();
    let cases = [
        (
            "withdrawn routes longer than the message",
            message(2, &[0, 200, 0, 0]),
            (3, 1),
        ),
        (
            "attributes longer than the message",
            message(2, &[0, 0, 0, 200]),
            (3, 1),
        ),
        (
            "a prefix of 33 bits",
            update(&good, &[33, 10, 50, 0, 0, 0]),
            (3, 10),
        ),
        (
            "a prefix that is cut off",
            update(&good, &[24, 10]),
            (3, 10),
        ),
        ("an UPDATE too short", header(0xFF, 22, 2), (1, 2)),
        ("an OPEN in mid-session", open(BAD_AS, BAD, 90), (5, 3)),
    ];
    for (what, bytes, expected) in cases {
        let mut peer = scene.establish()?;
        peer.send(&bytes)?;
        match peer.notification(SOON) {
            Ok(told) => assert_eq!(told, expected, "{what}"),
            Err(e) => bail!("{what}: {e:#}"),
        }
        scene.untouched()?;
    }
    Ok(())
}

/// A peer that never reads: what is meant for it waits, and nothing else does.
#[test]
fn a_peer_that_never_reads_holds_up_nobody() -> Result<()> {
    let Some(scene) = Scene::new("")? else {
        return Ok(());
    };
    // Small buffers at both ends, so that much less than a table fills them.
    for (host, buffer) in [
        (&scene.star.hub, "net.ipv4.tcp_wmem=4096 8192 8192"),
        (&scene.star.spokes[0], "net.ipv4.tcp_rmem=4096 8192 8192"),
    ] {
        run(host.command("sysctl").args(["-qw", buffer]))?;
    }
    let deaf = scene.establish()?;
    let many: Vec<String> = (0..20_000u32)
        .map(|i| format!("10.{}.{}.0/24", 128 + i / 256, i % 256))
        .collect();
    let mut routes: Vec<&str> = many.iter().map(String::as_str).collect();
    routes.push("10.3.0.0/16");
    scene.bird.configure(&bird(2, 65003, "", &routes))?;
    scene.star.soon("the last of many", || {
        scene.windrosed.path("10.206.31.0/24")
    })?;
    routes.push("10.4.0.0/16");
    scene.bird.configure(&bird(2, 65003, "", &routes))?;
    scene
        .star
        .soon("one more", || scene.windrosed.path("10.4.0.0/16"))?;
    scene.untouched()?;
    scene.windrosed.established("192.0.1.2")?;
    drop(deaf);
    scene.star.soon("its end to be noticed", || {
        ensure!(
            scene.windrosed.established("192.0.1.2").is_err(),
            "still up"
        );
        Ok(())
    })?;
    scene.untouched()
}

/// A client of the API that goes away in mid-stream.
#[test]
fn a_watcher_that_vanishes_is_forgotten() -> Result<()> {
    let Some(scene) = Scene::new("")? else {
        return Ok(());
    };
    for _ in 0..5 {
        let mut watch = scene.windrosed.command();
        watch.args(["route", "watch", "-o", "ndjson"]);
        let mut watch = scene.star.hub.start("watch", watch)?;
        let mut peer = scene.establish()?;
        peer.update(&[ORIGIN, AS_PATH, NEXT_HOP].concat(), &PREFIX)?;
        scene.star.soon("an event", || {
            watch.check()?;
            ensure!(watch.log()?.contains("10.50.0.0/16"), "{}", watch.log()?);
            Ok(())
        })?;
        watch.kill()?;
        drop(peer);
        scene.star.soon("the route to go", || {
            ensure!(scene.windrosed.paths("10.50.0.0/16")?.is_empty());
            Ok(())
        })?;
    }
    scene.untouched()
}
