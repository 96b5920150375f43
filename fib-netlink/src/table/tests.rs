//! The table's promises: size, order of removals, no row without content.

use super::*;

fn net(n: u32) -> IpNet {
    IpNet::new(std::net::Ipv4Addr::from(n << 8).into(), 24).unwrap()
}

fn table() -> (Table, PlaceId) {
    let mut table = Table::default();
    let place = table.place(place(254, 20));
    (table, place)
}

fn place(table: u32, metric: u32) -> Place {
    Place {
        table,
        metric,
        tos: 0,
    }
}

fn key(n: u32, place: PlaceId) -> Key {
    Key {
        prefix: net(n),
        place,
    }
}

#[test]
fn a_row_with_its_key_takes_twenty_bytes_for_ipv4() {
    assert!(size_of::<(Ipv4Prefix, Row)>() <= 20);
    assert!(size_of::<(Ipv6Prefix, Row)>() <= 32);
}

#[test]
fn a_row_is_queued_once_and_goes_when_it_is_empty() {
    let (mut table, place) = table();
    for _ in 0..3 {
        table.update(key(1, place), |row| {
            row.wanted = Slot::BLACKHOLE;
            true
        });
    }
    assert_eq!(table.queued(), 1);
    assert_eq!(table.next_to_look_at().unwrap().0, key(1, place));
    table.update(key(1, place), |row| {
        row.wanted = Slot::NOTHING;
        false
    });
    assert_eq!(table.iter().count(), 0);
    assert!(table.next_to_look_at().is_none());
}

#[test]
fn removals_are_not_in_ascending_order() {
    let (mut table, place) = table();
    for n in 0..1000 {
        table.update(key(n, place), |row| {
            row.actual = Slot::BLACKHOLE;
            true
        });
    }
    let order: Vec<_> = std::iter::from_fn(|| table.next_to_look_at())
        .map(|(p, _)| p)
        .collect();
    assert_eq!(order.len(), 1000);
    let ascending = order.windows(2).filter(|w| w[0] < w[1]).count();
    assert!((300..700).contains(&ascending), "{ascending}");
}

#[test]
fn places_keep_their_rows_apart_and_an_empty_one_is_used_again() {
    let (mut table, main) = table();
    table.update(key(0, main), |row| {
        row.wanted = Slot::BLACKHOLE;
        false
    });
    let other = table.place(place(100, 20));
    for place in [main, other] {
        table.update(key(1, place), |row| {
            row.actual = Slot::BLACKHOLE;
            place == other
        });
    }
    assert_eq!(table.elsewhere(key(1, main))[0].0, key(1, other));
    assert_eq!(table.rows_of(net(1)).count(), 2);
    assert_eq!(table.next_to_look_at().unwrap().0, key(1, other));
    table.update(key(1, other), |row| {
        row.actual = Slot::NOTHING;
        false
    });
    assert_eq!(table.place(place(7, 7)), other);
    assert_eq!(table.place_of(other), Some(place(7, 7)));
    for n in 0..1000 {
        let found = table.place_found(place(n, 1));
        if let Some(place) = found {
            table.update(key(n, place), |row| {
                row.actual = Slot::BLACKHOLE;
                false
            });
        }
        assert_eq!(
            found.is_some(),
            n < 255,
            "{n}: main, and what took the place of the other"
        );
    }
}
