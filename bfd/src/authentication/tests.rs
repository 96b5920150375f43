//! RFC 5880 §4.2 to §4.4 and §6.7, each by its sentence.

use super::*;
use crate::packet::Packet;

const KEYED: [Kind; 4] = [
    Kind::KeyedMd5,
    Kind::MeticulousKeyedMd5,
    Kind::KeyedSha1,
    Kind::MeticulousKeyedSha1,
];

fn key(kind: Kind) -> Authentication {
    Authentication::new(kind, 7, b"secret").unwrap()
}

fn head() -> [u8; LEN] {
    let mut head = [0; LEN];
    head[..12].copy_from_slice(&[0x20, 0xc4, 3, 24, 0, 0, 0, 1, 0, 0, 0, 2]);
    head
}

fn ends() -> (Sequences, Sequences) {
    (
        Sequences::new(&mut Chance::new(1)),
        Sequences::new(&mut Chance::new(2)),
    )
}

/// §4.2, octet by octet.
#[test]
fn a_simple_password_stands_in_the_packet() {
    let octets = key(Kind::Simple).seal(&head(), 0);
    assert_eq!(octets.as_ref()[3], 33);
    assert_eq!(&octets.as_ref()[LEN..], b"\x01\x09\x07secret");
}

/// §4.3, §4.4: type, length, key identifier, a reserved zero, the sequence number, and the digest of all of the packet
/// with the padded key in the digest's place.
#[test]
fn a_digest_is_of_the_packet_with_the_key_in_its_place() {
    let octets = key(Kind::MeticulousKeyedMd5).seal(&head(), 0x0102_0304);
    let octets = octets.as_ref();
    assert_eq!((octets.len(), octets[3]), (48, 48));
    assert_eq!(octets[LEN..LEN + 8], [3, 24, 7, 0, 1, 2, 3, 4]);
    let mut plain = octets[..LEN + 8].to_vec();
    plain.extend(b"secret\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(octets[LEN + 8..], Md5::digest(&plain)[..]);

    let octets = key(Kind::KeyedSha1).seal(&head(), 0x0102_0304);
    let octets = octets.as_ref();
    assert_eq!((octets.len(), octets[3]), (52, 52));
    assert_eq!(octets[LEN..LEN + 8], [4, 28, 7, 0, 1, 2, 3, 4]);
    let mut plain = octets[..LEN + 8].to_vec();
    plain.extend(b"secret\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert_eq!(octets[LEN + 8..], Sha1::digest(&plain)[..]);
}

#[test]
fn who_has_the_key_is_believed() {
    for kind in [Kind::Simple].into_iter().chain(KEYED) {
        let (mut here, mut there) = ends();
        for news in [true, false, false, true] {
            let octets = here.seal(&key(kind), &head(), news);
            assert!(Packet::decode(octets.as_ref()).is_ok());
            assert_eq!(there.verify(&key(kind), 3, octets.as_ref()), Ok(()));
        }
    }
}

/// §6.7: another key, another identifier, another kind, any other octet: discarded.
#[test]
fn whatever_differs_is_discarded() {
    let all: Vec<_> = [Kind::Simple].into_iter().chain(KEYED).collect();
    for &kind in &all {
        let octets = key(kind).seal(&head(), 5);
        let others = [
            Authentication::new(kind, 7, b"secreT").unwrap(),
            Authentication::new(kind, 8, b"secret").unwrap(),
        ];
        let kinds = all.iter().filter(|other| **other != kind).map(|k| key(*k));
        for other in others.into_iter().chain(kinds) {
            let result = ends().0.verify(&other, 3, octets.as_ref());
            assert_eq!(result, Err(Fault::Unauthenticated));
        }
        if kind != Kind::Simple {
            for at in 4..octets.as_ref().len() {
                let mut changed = octets.as_ref().to_vec();
                changed[at] ^= 1;
                let result = ends().0.verify(&key(kind), 3, &changed);
                assert_eq!(result, Err(Fault::Unauthenticated), "octet {at}");
            }
        }
        for cut in LEN..octets.as_ref().len() {
            let result = ends().0.verify(&key(kind), 3, &octets.as_ref()[..cut]);
            assert_eq!(result, Err(Fault::Unauthenticated));
        }
    }
}

/// §6.7.3: "If the Sequence Number lies outside of the range of bfd.RcvAuthSeq to bfd.RcvAuthSeq+(3*Detect Mult)
/// inclusive (when treated as an unsigned 32-bit circular number space), the received packet MUST be discarded";
/// where it is meticulous, from bfd.RcvAuthSeq+1.
#[test]
fn a_sequence_number_is_the_next_few_only() {
    for kind in KEYED {
        let key = key(kind);
        let take = |there: &mut Sequences, sequence: u32| {
            there.verify(&key, 3, key.seal(&head(), sequence).as_ref())
        };
        let mut there = ends().1;
        // The first one heard may be any; the circle is closed.
        assert_eq!(take(&mut there, u32::MAX - 1), Ok(()));
        let again = take(&mut there, u32::MAX - 1);
        assert_eq!(again.is_err(), kind.is_meticulous());
        assert_eq!(take(&mut there, u32::MAX - 2), Err(Fault::Replayed));
        assert_eq!(take(&mut there, 8), Err(Fault::Replayed));
        assert_eq!(take(&mut there, 7), Ok(()));
        assert_eq!(take(&mut there, 6), Err(Fault::Replayed));
        there.forget_received();
        assert_eq!(take(&mut there, 6), Ok(()));
    }
}

/// §6.7.3: a packet that fails moves nothing: who does not know the key cannot push the window away.
#[test]
fn a_forged_packet_moves_no_window() {
    for kind in KEYED {
        let mut there = ends().1;
        let ours = key(kind);
        let forger = Authentication::new(kind, 7, b"guess").unwrap();
        assert_eq!(
            there.verify(&ours, 3, ours.seal(&head(), 10).as_ref()),
            Ok(())
        );
        let forged = forger.seal(&head(), 15);
        assert!(there.verify(&ours, 3, forged.as_ref()).is_err());
        assert_eq!(
            there.verify(&ours, 3, ours.seal(&head(), 11).as_ref()),
            Ok(())
        );
    }
}

/// §6.7.3: meticulous: "bfd.XmitAuthSeq MUST be incremented in a circular fashion"; else it is for news.
#[test]
fn the_number_counts_packets_or_news() {
    let number = |octets: Octets| octets.as_ref()[LEN + 4..LEN + 8].to_vec();
    for kind in KEYED {
        let (mut here, _) = ends();
        let first = number(here.seal(&key(kind), &head(), true));
        let second = number(here.seal(&key(kind), &head(), false));
        let third = number(here.seal(&key(kind), &head(), true));
        assert_eq!(first == second, !kind.is_meticulous());
        assert_ne!(second, third);
    }
}

#[test]
fn a_secret_has_its_length() {
    assert!(Authentication::new(Kind::Simple, 1, &[1; 16]).is_ok());
    assert_eq!(
        Authentication::new(Kind::Simple, 1, &[1; 17]),
        Err(SecretLength { max: 16 })
    );
    assert!(Authentication::new(Kind::KeyedSha1, 1, &[1; 20]).is_ok());
    assert_eq!(
        Authentication::new(Kind::KeyedSha1, 1, &[]),
        Err(SecretLength { max: 20 })
    );
    let shown = format!("{:?}", key(Kind::Simple));
    assert!(!shown.contains("secret") && !shown.contains("115"));
}
