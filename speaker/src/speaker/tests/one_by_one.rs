//! Peers that are added, changed and removed one by one.

use super::*;
use crate::{Notice, PeerChange};

fn of(host: usize) -> PeerConfig {
    config(0, &[host]).peers.remove(0)
}

fn put(net: &mut Net, peer: PeerConfig) -> Result<PeerChange, Refusal> {
    let done = net.with(0, |s, now, out| s.put_peer(now, peer, "somebody", out));
    net.settle();
    done
}

fn take(net: &mut Net, host: usize) -> Result<(), Refusal> {
    let done = net.with(0, |s, now, out| {
        s.take_peer(now, &name(host), "somebody", out)
    });
    net.settle();
    done
}

/// The first host knows the second; the third knows the first, who has yet to hear of it.
fn three() -> Net {
    let mut third = config(2, &[0]);
    third.originate.push(originate("203.0.113.0/24"));
    let mut net = Net::new(vec![config(0, &[1]), config(1, &[0]), third]);
    net.run(10);
    net.assert_up(0, 1);
    net
}

fn changes(net: &Net) -> Vec<(PeerName, PeerChange)> {
    let told = net.done.iter().filter_map(|(_, effect)| match effect {
        Effect::Notice(Notice::PeerChanged { peer, change, by }) => {
            assert_eq!(by, "somebody");
            Some((peer.clone(), *change))
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn a_peer_that_is_put_comes_up_and_one_that_is_taken_goes_with_its_routes() {
    let mut net = three();
    assert_eq!(put(&mut net, of(2)), Ok(PeerChange::Added));
    net.run(30);
    net.assert_up(0, 2);
    assert_eq!(net.routes(1), ["203.0.113.0/24"]);
    take(&mut net, 2).unwrap();
    net.run(1);
    assert!(net.speakers[0].peer(&name(2)).is_none());
    assert!(net.routes(1).is_empty());
    let removed = (name(2), PeerChange::Removed);
    assert_eq!(changes(&net), [(name(2), PeerChange::Added), removed]);
    assert_eq!(
        take(&mut net, 2),
        Err(Refusal::NotFound("peer 192.0.2.3".into()))
    );
    // It is somebody else's word against it, and it may come again.
    assert_eq!(put(&mut net, of(2)), Ok(PeerChange::Added));
    net.run(90);
    net.assert_up(0, 2);
}

#[test]
fn nobody_else_s_session_notices() {
    // One that tells nothing: what is sent to the second would be of our doing.
    let mut net = Net::new(vec![config(0, &[1]), config(1, &[0]), config(2, &[0])]);
    net.run(10);
    let before = net.peer(0, 1).messages;
    put(&mut net, of(2)).unwrap();
    let mut other = of(2);
    other.options.description = Some("third".into());
    put(&mut net, other).unwrap();
    take(&mut net, 2).unwrap();
    assert_eq!(net.peer(0, 1).messages, before);
    assert_eq!(net.peer(0, 1).established_count, 1);
}

#[test]
fn a_change_of_what_was_agreed_on_starts_the_session_anew_and_another_does_not() {
    let mut net = three();
    put(&mut net, of(2)).unwrap();
    net.run(30);
    let mut other = of(2);
    other.options.description = Some("third".into());
    assert_eq!(put(&mut net, other.clone()), Ok(PeerChange::Updated));
    net.run(10);
    assert_eq!(net.peer(0, 2).established_count, 1);
    assert_eq!(net.peer(0, 2).description.as_deref(), Some("third"));
    other.options.hold_time = Duration::from_secs(30);
    put(&mut net, other).unwrap();
    net.run(30);
    net.assert_up(0, 2);
    assert_eq!(net.peer(0, 2).established_count, 2);
    assert_eq!(net.peer(0, 1).established_count, 1);
}

#[test]
fn a_peer_with_a_policy_that_there_is_not_is_refused_and_nothing_changes() {
    let mut net = three();
    let mut peer = of(2);
    peer.options.import = Some(vec!["nowhere".into()]);
    let refused = put(&mut net, peer);
    assert!(
        matches!(&refused, Err(Refusal::Precondition(why)) if why.contains("nowhere")),
        "{refused:?}"
    );
    assert!(net.speakers[0].peer(&name(2)).is_none());
    assert!(changes(&net).is_empty());
}

#[test]
fn peers_stay_in_the_order_of_their_names_whatever_the_order_they_come_in() {
    let mut net = Net::new(vec![config(0, &[])]);
    for host in [3, 1, 4, 2] {
        put(&mut net, of(host)).unwrap();
    }
    let names: Vec<_> = net.speakers[0]
        .config
        .peers
        .iter()
        .map(PeerConfig::name)
        .collect();
    assert_eq!(names, [name(1), name(2), name(3), name(4)]);
}

#[test]
fn once_it_shuts_down_nothing_is_put_or_taken() {
    let mut net = three();
    net.with(0, |s, now, out| s.handle(now, Event::Shutdown, out));
    let over = |done: Result<(), Refusal>| assert!(matches!(done, Err(Refusal::Precondition(_))));
    over(put(&mut net, of(2)).map(drop));
    over(take(&mut net, 1));
}
