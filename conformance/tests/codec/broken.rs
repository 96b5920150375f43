//! Broken UPDATEs: the remedy of RFC 7606 against that of rustbgpd-wire.

use bgp_core::family::PerFamily;
use bgp_core::update::Remedy::{AttributeDiscard, SessionReset, TreatAsWithdraw};
use bgp_core::update::{self, DecodeContext, Remedy};
use bytes::Bytes;
use rustbgpd_wire::UpdateMessage;
use rustbgpd_wire::attribute::PathAttribute;
use rustbgpd_wire::validate::{ErrorDisposition, validate_update_attributes};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 10, 0, 0, 1];
const NLRI: &[u8] = &[16, 10, 1];

/// An UPDATE's body and the session that it came over.
struct Case {
    name: String,
    body: Vec<u8>,
    internal: bool,
    four_octet_as: bool,
}

/// Where we differ, each with what we answer and the reason. A name must contain all of the words.
const EXCEPTIONS: &[(&[&str], Option<Remedy>, &str)] = &[
    (
        &["external", "LOCAL_PREF"],
        Some(AttributeDiscard),
        INTERNAL_ONLY,
    ),
    (
        &["external", "ORIGINATOR_ID"],
        Some(AttributeDiscard),
        INTERNAL_ONLY,
    ),
    (
        &["external", "CLUSTER_LIST"],
        Some(AttributeDiscard),
        INTERNAL_ONLY,
    ),
    (
        &["4 octets", "AS4_"],
        None,
        "RFC 6793 §4.1: from a new speaker they are discarded, whatever is in them",
    ),
    (
        &["2 octets", "AS4_PATH"],
        Some(AttributeDiscard),
        "RFC 6793 §6: a malformed one is discarded",
    ),
    (
        &["AIGP"],
        Some(AttributeDiscard),
        "RFC 7311 §3: malformed, or with wrong flags; there it is unknown",
    ),
    (
        &["MP_", "flags"],
        Some(TreatAsWithdraw),
        "RFC 7606 §3 c: the prefixes can be read, so the session stays",
    ),
    (
        &["AS_PATH", "AS_SET"],
        None,
        "RFC 9774 §3 is for the import policy",
    ),
    (
        &["unknown family"],
        None,
        "RFC 4760 §8: what was not agreed on is ignored",
    ),
    (
        &["unknown well-known"],
        Some(SessionReset),
        "RFC 4271 §6.3, which RFC 7606 leaves as it is",
    ),
    (
        &["internal", "no NEXT_HOP"],
        Some(TreatAsWithdraw),
        "RFC 4271 §5.1.3: it is mandatory there too",
    ),
    (&["AS 0"], Some(TreatAsWithdraw), "RFC 7607 §2"),
    (&["empty segment"], Some(TreatAsWithdraw), "RFC 7606 §7.2"),
];

const INTERNAL_ONLY: &str =
    "RFC 7606 §7.5, §7.9, §7.10: from outside it is discarded, whatever is in it";

fn ours(case: &Case) -> Option<Remedy> {
    let context = DecodeContext {
        four_octet_as: case.four_octet_as,
        external: !case.internal,
        aigp: true,
        families: PerFamily {
            ipv4: true,
            ipv6: true,
        },
        ..DecodeContext::default()
    };
    match update::decode(&case.body, &context) {
        Err(_) => Some(SessionReset),
        Ok(update) => update.faults.iter().map(|fault| fault.remedy).max(),
    }
}

fn theirs(case: &Case) -> Option<Remedy> {
    let mut body = Bytes::copy_from_slice(&case.body);
    let len = body.len();
    let Ok(raw) = UpdateMessage::decode(&mut body, len) else {
        return Some(SessionReset);
    };
    let Ok(parsed) = raw.parse_revised(case.four_octet_as, case.internal, false, &[]) else {
        return Some(SessionReset);
    };
    let attributes = &parsed.update.attributes;
    let body_nlri = !parsed.update.announced.is_empty();
    let reach = attributes
        .iter()
        .any(|a| matches!(a, PathAttribute::MpReachNlri(_)));
    let checked =
        validate_update_attributes(attributes, body_nlri || reach, body_nlri, !case.internal);
    let checked = checked.err().map(|error| error.disposition);
    let worst = parsed
        .malformed
        .iter()
        .map(|m| m.disposition)
        .chain(checked)
        .max()?;
    // RFC 7606 §5.2 is for the caller there.
    if worst >= ErrorDisposition::TreatAsWithdraw && !body_nlri && !reach {
        return Some(SessionReset);
    }
    Some(match worst {
        ErrorDisposition::AttributeDiscard => AttributeDiscard,
        ErrorDisposition::TreatAsWithdraw => TreatAsWithdraw,
        ErrorDisposition::SessionReset => SessionReset,
    })
}

fn attribute(flags: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![flags, kind, u8::try_from(value.len()).unwrap()];
    out.extend(value);
    out
}

fn body(attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut out = vec![0, 0];
    out.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    out.extend(attributes);
    out.extend(nlri);
    out
}

/// A sound value for each attribute.
fn sound_value(kind: u8, four_octet_as: bool) -> Vec<u8> {
    let words = |n: usize| [0, 1, 0, 2].repeat(n);
    match kind {
        1 | 6 => vec![0; usize::from(kind == 1)],
        2 if four_octet_as => vec![2, 2, 0, 0, 0xfd, 0xe9, 0, 1, 0x11, 0x70],
        2 => vec![2, 2, 0xfd, 0xe9, 0x5b, 0xa0],
        3 => vec![10, 0, 0, 1],
        7 if !four_octet_as => vec![0xfd, 0xe9, 10, 0, 0, 1],
        7 | 18 => vec![0, 0, 0xfd, 0xe9, 10, 0, 0, 1],
        14 => [&[0, 2, 1, 16, 0x20, 1][..], &[0; 13], &[1, 0, 16, 0x20, 1]].concat(),
        15 => vec![0, 2, 1, 16, 0x20, 1],
        16 => words(4),
        17 => vec![2, 1, 0, 1, 0x11, 0x70],
        25 => words(5),
        26 => vec![1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 9],
        32 => words(3),
        8 | 10 => words(2),
        _ => words(1),
    }
}

/// A sound UPDATE in which `attribute` stands for the one of its type, or is added.
fn with(attribute: &[u8], four_octet_as: bool) -> Vec<u8> {
    let path = self::attribute(0x40, 2, &sound_value(2, four_octet_as));
    let base = [ORIGIN, &path, NEXT_HOP].into_iter();
    let mut all: Vec<&[u8]> = base.filter(|a| a.get(1) != attribute.get(1)).collect();
    all.push(attribute);
    body(&all, NLRI)
}

/// Every attribute in every length around the right one and with every flag, and faults of other kinds.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (internal, four_octet_as) in [(false, false), (false, true), (true, false), (true, true)] {
        let side = if internal { "internal" } else { "external" };
        let octets = if four_octet_as { 4 } else { 2 };
        let mut case = |name: &str, body: Vec<u8>| {
            let name = format!("{side}, {octets} octets: {name}");
            cases.push(Case {
                name,
                body,
                internal,
                four_octet_as,
            });
        };
        for row in bgp_core::attributes::table::ROWS {
            let sound = sound_value(row.kind, four_octet_as);
            for len in 0..=sound.len() + 3 {
                let mut value = sound.clone();
                value.resize(len, 1);
                let name = format!("{} of {len} instead of {}", row.name, sound.len());
                case(
                    &name,
                    with(&attribute(row.flags, row.kind, &value), four_octet_as),
                );
            }
            for flip in [0x80, 0x40, 0xc0] {
                let name = format!("{} with flags {:02x}", row.name, row.flags ^ flip);
                case(
                    &name,
                    with(
                        &attribute(row.flags ^ flip, row.kind, &sound),
                        four_octet_as,
                    ),
                );
            }
            let twice = attribute(row.flags, row.kind, &sound).repeat(2);
            case(&format!("{} twice", row.name), with(&twice, four_octet_as));
        }
        structural(four_octet_as, &mut case);
    }
    cases
}

/// Faults that are not of one attribute's length or flags.
fn structural(four_octet_as: bool, case: &mut impl FnMut(&str, Vec<u8>)) {
    let path = attribute(0x40, 2, &sound_value(2, four_octet_as));
    let path_of = |segment: [u8; 2], zeros: usize| {
        let value = [&segment[..], &[0].repeat(zeros)].concat();
        with(&attribute(0x40, 2, &value), four_octet_as)
    };
    let width = if four_octet_as { 4 } else { 2 };
    case("ORIGIN 3", with(&attribute(0x40, 1, &[3]), four_octet_as));
    case("AS_PATH with an empty segment", path_of([2, 0], 0));
    case("AS_PATH with AS 0", path_of([2, 1], width));
    case("AS_PATH with segment type 9", path_of([9, 1], width));
    let set = [&[1, 1][..], &[7].repeat(width)].concat();
    case(
        "AS_PATH with an AS_SET",
        with(&attribute(0x40, 2, &set), four_octet_as),
    );
    case("no ORIGIN", body(&[&path, NEXT_HOP], NLRI));
    case("no AS_PATH", body(&[ORIGIN, NEXT_HOP], NLRI));
    case("no NEXT_HOP", body(&[ORIGIN, &path], NLRI));
    for address in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1]] {
        case(
            "NEXT_HOP of no host",
            with(&attribute(0x40, 3, &address), four_octet_as),
        );
    }
    for overrun in [&[0x80][..], &[0x80, 4], &[0x80, 4, 4, 0], &[0x90, 4, 0]] {
        case("an attribute that overruns", with(overrun, four_octet_as));
    }
    for nlri in [&[33, 1, 1, 1, 1, 1][..], &[8], &[24, 10, 1]] {
        case(
            "NLRI nobody can read",
            body(&[ORIGIN, &path, NEXT_HOP], nlri),
        );
    }
    case(
        "a broken ORIGIN and no NLRI",
        body(&[&attribute(0x40, 1, &[9]), &path, NEXT_HOP], &[]),
    );
    case(
        "unknown well-known",
        with(&attribute(0x40, 99, &[1]), four_octet_as),
    );
    case(
        "unknown transitive",
        with(&attribute(0xc0, 99, &[1]), four_octet_as),
    );
    case(
        "unknown family",
        with(&attribute(0x80, 14, &[99, 9, 9, 0, 0]), four_octet_as),
    );
    case("nothing at all", body(&[], &[]));
    case("lengths beyond the message", vec![0, 9, 0, 0]);
}

#[test]
fn broken_updates_get_the_same_answer() {
    let mut differences = Vec::new();
    for case in cases() {
        let (ours, theirs) = (ours(&case), theirs(&case));
        let fits = |words: &&[&str]| words.iter().all(|word| case.name.contains(word));
        let known = EXCEPTIONS
            .iter()
            .any(|(words, answer, _)| *answer == ours && fits(words));
        if ours != theirs && !known {
            differences.push(format!("{}: we {ours:?}, they {theirs:?}", case.name));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
