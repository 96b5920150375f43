//! What the fuzz target of STAMP does with its bytes. `path-score/tests/corpus.rs` runs the same over `fuzz/corpus/stamp`.

use path_score::stamp::{Key, Probe, Reflection};

/// A datagram, as a probe and as an answer: what is read can be written, and then reads the same. The first octet says
/// whether there is a key; then what was read without it is also sealed and read again.
pub fn stamp(data: &[u8]) {
    let Some((&mode, packet)) = data.split_first() else {
        return;
    };
    let key = (mode & 1 == 1).then(|| Key::new(b"fuzz").expect("it is not empty"));
    let key = key.as_ref();
    // Nobody guesses the tag.
    assert!(key.is_none() || Probe::decode(packet, key).is_err());
    if let Ok(probe) = Probe::decode(packet, None) {
        let again = probe.encode(key, usize::from(mode >> 1));
        assert_eq!(Probe::decode(&again, key), Ok(probe));
    }
    if let Ok(reflection) = Reflection::decode(packet, None) {
        let again = reflection.encode(key, packet);
        assert!(again.len() >= 44 && again.len() <= packet.len().max(112));
        assert_eq!(Reflection::decode(&again, key), Ok(reflection));
    }
}
