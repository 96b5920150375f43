//! The table's promises: size, order of removals, no row without content.

use super::*;

fn net(n: u32) -> IpNet {
    IpNet::new(std::net::Ipv4Addr::from(n << 8).into(), 24).unwrap()
}

#[test]
fn a_row_with_its_key_takes_twenty_bytes_for_ipv4() {
    assert!(size_of::<(Ipv4Prefix, Row)>() <= 20);
    assert!(size_of::<(Ipv6Prefix, Row)>() <= 32);
}

#[test]
fn a_row_is_queued_once_and_goes_when_it_is_empty() {
    let mut table = Table::default();
    for _ in 0..3 {
        table.update(net(1), |row| {
            row.wanted = Slot::BLACKHOLE;
            true
        });
    }
    assert_eq!(table.queued(), 1);
    assert_eq!(table.next_to_look_at().unwrap().0, net(1));
    table.update(net(1), |row| {
        row.wanted = Slot::NOTHING;
        false
    });
    assert_eq!(table.iter().count(), 0);
    assert!(table.next_to_look_at().is_none());
}

#[test]
fn removals_are_not_in_ascending_order() {
    let mut table = Table::default();
    for n in 0..1000 {
        table.update(net(n), |row| {
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
