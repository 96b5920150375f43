//! The table that senders announce.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::tracker::Tracker;
use super::super::wire::message;
use super::*;

fn senders(count: u8) -> Vec<Peer> {
    let peer = |i| Peer {
        address: Ipv4Addr::new(10, 99, 1, i),
        asn: 61_000 + u32::from(i),
        ..Peer::default()
    };
    (1..=count).map(peer).collect()
}

fn shape(family: Family, overlap: bool) -> Shape {
    Shape {
        family,
        prefixes: 5_000,
        overlap,
        internal: false,
        paths: Paths::Plain,
        seed: 3,
    }
}

fn feed(table: &Table, tracker: &mut Tracker, mut bytes: &[u8]) {
    while let Some((_, body, rest)) = message(bytes) {
        tracker.take(table, body, Instant::now());
        bytes = rest;
    }
    assert!(bytes.is_empty());
}

#[test]
fn every_prefix_of_every_sender_is_announced_once() {
    for family in Family::ALL {
        let table = Table::new(shape(family, false), &senders(3)).unwrap();
        assert_eq!(table.len(), 15_000);
        let mut tracker = Tracker::new(&table, 0);
        for stream in table.streams() {
            assert!(!tracker.is_complete());
            feed(&table, &mut tracker, stream);
        }
        assert!(tracker.is_complete());
    }
}

#[test]
fn senders_that_overlap_have_the_same_prefixes_and_other_paths() {
    let table = Table::new(shape(Family::Ipv4Unicast, true), &senders(3)).unwrap();
    assert_eq!(table.len(), 5_000);
    let streams: BTreeSet<_> = table.streams().iter().collect();
    assert_eq!(streams.len(), 3);
    let mut tracker = Tracker::new(&table, 0);
    feed(&table, &mut tracker, &table.streams()[0]);
    assert_eq!(tracker.present(), 5_000);
    assert!(!tracker.is_complete(), "others have shorter paths for some");
}

#[test]
fn about_six_prefixes_share_an_attribute_set() {
    let table = Table::new(shape(Family::Ipv4Unicast, false), &senders(1)).unwrap();
    let ratio = table.len() * 10 / table.groups.len();
    assert!((50..70).contains(&ratio), "{ratio}");
}

#[test]
fn one_prefix_goes_and_comes_back() {
    let table = Table::new(shape(Family::Ipv4Unicast, false), &senders(2)).unwrap();
    let mut tracker = Tracker::new(&table, 0);
    table
        .streams()
        .iter()
        .for_each(|s| feed(&table, &mut tracker, s));
    feed(&table, &mut tracker, &table.change(7_000, false));
    assert_eq!((table.sender(7_000), tracker.present()), (1, 9_999));
    feed(&table, &mut tracker, &table.change(7_000, true));
    assert!(tracker.is_complete());
}

#[test]
fn a_seed_names_a_table() {
    let table = |seed| {
        let shape = Shape {
            seed,
            ..shape(Family::Ipv4Unicast, false)
        };
        Table::new(shape, &senders(1)).unwrap().streams().to_vec()
    };
    assert_eq!(table(1), table(1));
    assert_ne!(table(1), table(2));
}

#[test]
fn peers_that_are_no_part_of_it_say_what_no_table_has() {
    let table = Table::new(shape(Family::Ipv4Unicast, false), &senders(1)).unwrap();
    let mut tracker = Tracker::new(&table, 0);
    for place in 0..10 {
        feed(&table, &mut tracker, &strange(senders(1)[0], place, 1_000));
    }
    assert_eq!(tracker.present(), 0);
}

#[test]
fn paths_that_are_equal_are_equally_long() {
    let shape = Shape {
        paths: Paths::Equal,
        ..shape(Family::Ipv4Unicast, true)
    };
    let table = Table::new(shape, &senders(3)).unwrap();
    for stream in table.streams() {
        let mut tracker = Tracker::new(&table, 0);
        feed(&table, &mut tracker, stream);
        assert!(tracker.is_complete());
    }
}

#[test]
fn paths_like_the_internet_s_have_what_plain_ones_have_not() {
    let shape = Shape {
        paths: Paths::Internet,
        ..shape(Family::Ipv4Unicast, false)
    };
    let table = Table::new(shape, &senders(1)).unwrap();
    let all: Vec<_> = (0..table.groups.len())
        .map(|group| table.attributes(0, group))
        .collect();
    let share =
        |has: fn(&Attributes) -> bool| all.iter().filter(|a| has(a)).count() * 100 / all.len();
    assert!((15..25).contains(&share(|a| !a.large_communities.is_empty())));
    assert!((20..30).contains(&share(|a| a.med.is_some())));
    assert!((2..9).contains(&share(|a| a.aggregator.is_some())));
    let length: usize = all.iter().map(|a| a.as_path.len_for_decision()).sum();
    let tenths = length * 10 / all.len();
    assert!((45..60).contains(&tenths), "{tenths}");
    let mut tracker = Tracker::new(&table, 0);
    feed(&table, &mut tracker, &table.streams()[0]);
    assert!(tracker.is_complete());
}
