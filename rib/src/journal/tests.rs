//! The journal: a slow reader hears the last word only, and all of it.

use super::*;

#[test]
fn versions_begin_at_one_and_count_up() {
    let mut journal = Journal::default();
    assert_eq!((journal.push(7), journal.push(8)), (1, 2));
    assert_eq!(
        (journal.get(0), journal.get(1), journal.get(3)),
        (None, Some(7), None)
    );
    assert_eq!(journal.end(), 3);
}

#[test]
fn only_what_all_have_heard_is_let_go() {
    let mut journal = Journal::default();
    for net in 0..4 {
        journal.push(net);
    }
    assert_eq!(journal.pop_before(2), Some((1, 0)));
    assert_eq!(journal.pop_before(2), None);
    assert_eq!((journal.get(1), journal.get(2)), (None, Some(1)));
}

/// A net's version is that of its last entry; however changes, readers and compactions interleave, a reader that has
/// caught up has heard of each net after its last change, and the journal is never longer than its bound.
#[test]
fn readers_hear_each_change_whatever_is_compacted_away() {
    const NETS: usize = 9;
    let mut x = 1_u64;
    let mut below = |n: u64| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (x >> 33) % n
    };
    for _ in 0..300 {
        let mut journal = Journal::default();
        let (mut versions, mut values) = ([0; NETS], [0; NETS]);
        let mut readers = [(1, [0; NETS]), (1, [0; NETS]), (1, [0; NETS])];
        for step in 1..200 {
            let net = usize::try_from(below(NETS as u64)).unwrap();
            values[net] = step;
            versions[net] = journal.push(u32::try_from(net).unwrap());
            let who = usize::try_from(below(4)).unwrap();
            if let Some((place, heard)) = readers.get_mut(who) {
                for _ in 0..below(5) {
                    hear(&journal, &versions, &values, place, heard);
                }
            }
            if journal.is_due(NETS) {
                let renumbered = journal.compact(|net, old, new| {
                    let version = &mut versions[net as usize];
                    let is_live = *version == old;
                    if is_live {
                        *version = new;
                    }
                    is_live
                });
                readers
                    .iter_mut()
                    .for_each(|(place, _)| *place = renumbered.map(*place));
            }
            assert!(journal.len() <= 2 * NETS + SLACK + 1);
            let heard = readers.iter().map(|(place, _)| *place).min().unwrap();
            while let Some((version, net)) = journal.pop_before(heard) {
                let current = &mut versions[net as usize];
                *current = if *current == version { 0 } else { *current };
            }
        }
        for (place, heard) in &mut readers {
            while *place < journal.end() {
                hear(&journal, &versions, &values, place, heard);
            }
            assert_eq!(*heard, values);
        }
    }
}

fn hear<const N: usize>(
    journal: &Journal,
    versions: &[Version; N],
    values: &[i32; N],
    place: &mut Version,
    heard: &mut [i32; N],
) {
    if let Some(net) = journal.get(*place) {
        if versions[net as usize] == *place {
            heard[net as usize] = values[net as usize];
        }
        *place += 1;
    }
}
