//! Each attribute broken in each way of RFC 7606, and what packing makes of a table.

use super::*;
use crate::attributes::{Origin, Partial};
use crate::header::{self, Kind};
use crate::{Ipv4Prefix, Ipv6Prefix, Prefix};
use Remedy::{AttributeDiscard, TreatAsWithdraw};
use bytes::BytesMut;

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 10, 0, 0, 1];
/// 10.1.0.0/16.
const NLRI: &[u8] = &[16, 10, 1];

fn internal() -> DecodeContext {
    DecodeContext {
        four_octet_as: true,
        families: PerFamily {
            ipv4: true,
            ipv6: true,
        },
        aigp: true,
        ..DecodeContext::default()
    }
}

fn external() -> DecodeContext {
    DecodeContext {
        external: true,
        ..internal()
    }
}

fn two_octets() -> DecodeContext {
    DecodeContext {
        four_octet_as: false,
        ..external()
    }
}

fn attr(flags: u8, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![flags, kind, u8::try_from(value.len()).unwrap()];
    out.extend(value);
    out
}

fn body(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut out = u16::try_from(withdrawn.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    out.extend(withdrawn);
    out.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    out.extend(attributes);
    out.extend(nlri);
    out
}

/// A sound UPDATE with one more attribute.
fn with(extra: &[u8]) -> Vec<u8> {
    body(&[], &[ORIGIN, AS_PATH, NEXT_HOP, extra], NLRI)
}

fn v4(nlri: &[Nlri<'_>]) -> Vec<String> {
    nlri.iter()
        .flat_map(|part| part.iter::<Ipv4Prefix>())
        .map(|(_, p)| p.to_string())
        .collect()
}

fn v6(nlri: &[Nlri<'_>]) -> Vec<String> {
    nlri.iter()
        .flat_map(|part| part.iter::<Ipv6Prefix>())
        .map(|(_, p)| p.to_string())
        .collect()
}

/// The faults of a message whose routes stay.
fn discards(body: &[u8], context: &DecodeContext) -> (Attributes, Vec<(u8, Code)>) {
    let update = decode(body, context).unwrap();
    assert!(!update.treat_as_withdraw, "{update:?}");
    assert!(
        update
            .faults
            .iter()
            .all(|fault| fault.remedy == AttributeDiscard)
    );
    let faults = update
        .faults
        .iter()
        .map(|fault| (fault.kind, fault.code))
        .collect();
    (update.attributes.unwrap(), faults)
}

/// A message whose routes are treated as withdrawn: its worst fault.
fn withdraws(body: &[u8], context: &DecodeContext) -> (u8, Code) {
    let update = decode(body, context).unwrap_or_else(|reset| panic!("{reset:?} for {body:?}"));
    assert!(
        update.treat_as_withdraw && update.announced.is_empty(),
        "{update:?}"
    );
    assert!(update.attributes.is_none() && !update.withdrawn.is_empty());
    let fault = update
        .faults
        .iter()
        .max_by_key(|fault| fault.remedy)
        .unwrap();
    assert_eq!(fault.remedy, TreatAsWithdraw);
    (fault.kind, fault.code)
}

fn resets(body: &[u8], context: &DecodeContext) -> Code {
    decode(body, context)
        .map(|update| format!("{update:?}"))
        .unwrap_err()
        .code
}

fn mp_reach(afi: u8, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let len = u8::try_from(next_hop.len()).unwrap();
    attr(
        0x80,
        14,
        &[&[0, afi, 1, len][..], next_hop, &[0], nlri].concat(),
    )
}

const GLOBAL: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const LINK_LOCAL: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// 2001:db8::/32.
const NLRI_V6: &[u8] = &[32, 0x20, 1, 0xd, 0xb8];

#[test]
fn a_sound_update_is_read() {
    let body = with(&attr(0x80, 4, &[0, 0, 0, 9]));
    let update = decode(&body, &external()).unwrap();
    let (next_hop, nlri) = update.announced[0];
    assert_eq!(next_hop, NextHop::V4([10, 0, 0, 1].into()));
    assert_eq!(v4(&[nlri]), ["10.1.0.0/16"]);
    assert_eq!(nlri.iter::<Ipv6Prefix>().count(), 0);
    let attributes = update.attributes.unwrap();
    assert_eq!(
        (attributes.med, attributes.as_path.to_string()),
        (Some(9), "65001".into())
    );
    assert!(update.faults.is_empty() && update.end_of_rib.is_none());
}

// RFC 7606 §7.1: ORIGIN "is considered malformed if its length is not 1 or if it has an undefined value".
#[test]
fn a_malformed_origin_is_treated_as_withdraw() {
    for (value, code) in [
        (&[][..], Code::AttributeLengthError),
        (&[0, 0], Code::AttributeLengthError),
        (&[3], Code::InvalidOrigin),
    ] {
        let body = body(&[], &[&attr(0x40, 1, value), AS_PATH, NEXT_HOP], NLRI);
        assert_eq!(withdraws(&body, &external()), (1, code));
    }
}

// RFC 7606 §7.2: "An UPDATE message with a malformed AS_PATH attribute SHALL be handled using the approach of
// treat-as-withdraw."
#[test]
fn a_malformed_as_path_is_treated_as_withdraw() {
    for value in [
        &[9, 1, 0, 0, 0, 1][..],
        &[2, 2, 0, 0, 0, 1],
        &[2, 1, 0, 0, 0, 1, 2],
        &[2, 0],
        &[2, 1, 0, 0, 0, 0],
    ] {
        let body = body(&[], &[ORIGIN, &attr(0x40, 2, value), NEXT_HOP], NLRI);
        assert_eq!(withdraws(&body, &external()), (2, Code::MalformedAsPath));
    }
}

// RFC 4271 §6.3: "the local system MAY check whether the leftmost ... AS in the AS_PATH attribute is equal to the AS number
// of the peer that sent the message." RFC 7606 §7.2 has such routes treated as withdrawn.
#[test]
fn a_path_that_does_not_begin_with_the_peer_is_treated_as_withdraw() {
    let from = |context| DecodeContext {
        first_as: Some(65001),
        ..context
    };
    let of_path = |path: &[u8], more: &[u8]| {
        let path = attr(0x40, 2, path);
        body(&[], &[ORIGIN, &path, NEXT_HOP, more], NLRI)
    };
    let fits = of_path(&[2, 2, 0, 0, 0xfd, 0xe9, 0, 0, 0, 9], &[]);
    assert!(discards(&fits, &from(external())).1.is_empty());
    let others = [
        of_path(&[2, 2, 0, 0, 0, 9, 0, 0, 0xfd, 0xe9], &[]),
        of_path(&[1, 1, 0, 0, 0xfd, 0xe9], &[]),
        of_path(&[], &[]),
    ];
    for other in others {
        let fault = (2, Code::MalformedAsPath);
        assert_eq!(withdraws(&other, &from(external())), fault);
        assert!(discards(&other, &external()).1.is_empty());
    }
    // What AS_TRANS hides is seen first.
    let wide = DecodeContext {
        first_as: Some(70_000),
        ..two_octets()
    };
    let hidden = attr(0xc0, 17, &[2, 1, 0, 1, 0x11, 0x70]);
    let hidden = of_path(&[2, 1, 0x5b, 0xa0], &hidden);
    assert!(discards(&hidden, &wide).1.is_empty());
    // Nothing is announced: there is nothing to check, and a path that is missing or malformed is one fault.
    let nothing = body(&[16, 10, 1], &[], &[]);
    assert!(
        !decode(&nothing, &from(external()))
            .unwrap()
            .treat_as_withdraw
    );
    for path in [&[][..], &attr(0x40, 2, &[9, 1, 0, 0, 0, 1])] {
        let message = body(&[], &[ORIGIN, path, NEXT_HOP], NLRI);
        let update = decode(&message, &from(external())).unwrap();
        assert!(update.treat_as_withdraw && update.faults.len() == 1);
    }
}

// RFC 9774 §3: "Upon receipt of such messages, conformant BGP speakers MUST use the "treat-as-withdraw" error handling
// behavior".
#[test]
fn a_path_with_a_set_is_treated_as_withdraw() {
    let no_sets = |context| DecodeContext {
        no_sets: true,
        ..context
    };
    let of_path = |path: &[u8], more: &[u8]| {
        let path = attr(0x40, 2, path);
        body(&[], &[ORIGIN, &path, NEXT_HOP, more], NLRI)
    };
    let set = of_path(&[2, 1, 0, 0, 0, 9, 1, 1, 0, 0, 0, 8], &[]);
    let confed = of_path(&[4, 1, 0, 0, 0, 9, 2, 1, 0, 0, 0, 8], &[]);
    let hidden = attr(0xc0, 17, &[1, 1, 0, 1, 0x11, 0x70]);
    let hidden = of_path(&[2, 2, 0, 9, 0x5b, 0xa0], &hidden);
    for (message, context) in [
        (&set, external()),
        (&confed, internal()),
        (&hidden, two_octets()),
    ] {
        assert_eq!(
            withdraws(message, &no_sets(context)),
            (2, Code::MalformedAsPath)
        );
        assert!(discards(message, &context).0.as_path.has_set());
    }
    let sequence = of_path(&[2, 2, 0, 0, 0, 9, 0, 0, 0, 8], &[]);
    let (attributes, faults) = discards(&sequence, &no_sets(external()));
    assert_eq!(
        (attributes.as_path.to_string(), faults),
        ("9 8".into(), vec![])
    );
}

// RFC 5065 §5: confederation segments from outside, or none in front from another Member AS, are malformed.
#[test]
fn confederation_segments_must_fit_the_session() {
    let path = attr(0x40, 2, &[3, 1, 0, 0, 0xfd, 0xf2, 2, 1, 0, 0, 0, 1]);
    let body_of = |path: &[u8]| body(&[], &[ORIGIN, path, NEXT_HOP], NLRI);
    let member = DecodeContext {
        confederation: true,
        ..external()
    };
    assert_eq!(
        withdraws(&body_of(&path), &external()),
        (2, Code::MalformedAsPath)
    );
    assert_eq!(
        discards(&body_of(&path), &member).0.as_path.to_string(),
        "(65010) 1"
    );
    assert_eq!(
        discards(&body_of(&path), &internal()).0.as_path.to_string(),
        "(65010) 1"
    );
    assert_eq!(
        withdraws(&body_of(AS_PATH), &member),
        (2, Code::MalformedAsPath)
    );
}

// RFC 7606 §7.3: NEXT_HOP "is considered malformed if its length is not 4". RFC 4271 §6.3: it "represents a valid IP host
// address".
#[test]
fn a_malformed_next_hop_is_treated_as_withdraw() {
    for (value, code) in [
        (&[10, 0, 0][..], Code::AttributeLengthError),
        (&[10, 0, 0, 1, 0], Code::AttributeLengthError),
        (&[0, 0, 0, 0], Code::InvalidNextHop),
        (&[127, 0, 0, 1], Code::InvalidNextHop),
        (&[224, 0, 0, 5], Code::InvalidNextHop),
        (&[255, 255, 255, 255], Code::InvalidNextHop),
    ] {
        let body = body(&[], &[ORIGIN, AS_PATH, &attr(0x40, 3, value)], NLRI);
        assert_eq!(withdraws(&body, &external()), (3, code), "{value:?}");
    }
}

// RFC 7606 §7.4: MULTI_EXIT_DISC "is considered malformed if its length is not 4".
#[test]
fn a_malformed_med_is_treated_as_withdraw() {
    let med = |len: usize| with(&attr(0x80, 4, &vec![0; len]));
    for len in [0, 3, 5] {
        assert_eq!(
            withdraws(&med(len), &external()),
            (4, Code::AttributeLengthError)
        );
    }
}

// RFC 7606 §7.5: LOCAL_PREF: "if it is received from an external neighbor, it SHALL be discarded using the approach of
// attribute discard; or ... internal ... if its length is not equal to 4", treat-as-withdraw.
#[test]
fn local_pref_is_for_internal_neighbors_and_of_four_octets() {
    for len in [0, 3, 4, 5] {
        let body = with(&attr(0x40, 5, &vec![1; len]));
        let (attributes, faults) = discards(&body, &external());
        assert_eq!((attributes.local_pref, faults[0].0), (None, 5));
        if len != 4 {
            assert_eq!(
                withdraws(&body, &internal()),
                (5, Code::AttributeLengthError)
            );
        }
    }
    let (attributes, faults) = discards(&with(&attr(0x40, 5, &[0, 0, 0, 200])), &internal());
    assert_eq!((attributes.local_pref, faults.len()), (Some(200), 0));
}

// RFC 7606 §7.6: ATOMIC_AGGREGATE "SHALL be considered malformed if its length is not 0 ... attribute discard".
#[test]
fn a_malformed_atomic_aggregate_is_discarded() {
    let (attributes, faults) = discards(&with(&attr(0x40, 6, &[0])), &external());
    assert!(!attributes.atomic_aggregate);
    assert_eq!(faults, [(6, Code::AttributeLengthError)]);
}

// RFC 7606 §7.7: AGGREGATOR "malformed if ... its length is not 6 (when the 4-octet AS number capability is not advertised
// ...) ... its length is not 8 ... attribute discard".
#[test]
fn a_malformed_aggregator_is_discarded() {
    for (context, good) in [(external(), 8), (two_octets(), 6)] {
        let path: &[u8] = if good == 8 {
            AS_PATH
        } else {
            &[0x40, 2, 4, 2, 1, 0xfd, 0xe9]
        };
        for len in [0, 6, 7, 8, 9] {
            let aggregator = attr(0xc0, 7, &vec![1; len]);
            let body = body(&[], &[ORIGIN, path, NEXT_HOP, &aggregator], NLRI);
            let (attributes, faults) = discards(&body, &context);
            assert_eq!(attributes.aggregator.is_some(), len == good);
            assert_eq!(faults.is_empty(), len == good);
        }
    }
    // RFC 7607 §2: AS 0 makes it malformed.
    let (attributes, faults) = discards(
        &with(&attr(0xc0, 7, &[0, 0, 0, 0, 1, 1, 1, 1])),
        &external(),
    );
    assert_eq!((attributes.aggregator, faults.len()), (None, 1));
}

// RFC 7606 §7.8: Community "malformed if its length is not a non-zero multiple of 4"; §7.14: Extended Community, of 8;
// §7.15: IPv6 Address Specific, of 20; RFC 8092 §6: LARGE_COMMUNITY, of 12: treat-as-withdraw.
#[test]
fn malformed_communities_are_treated_as_withdraw() {
    for (kind, size) in [(8, 4), (16, 8), (25, 20), (32, 12)] {
        for len in [0, 1, size - 1, size + 1, 2 * size - 1] {
            let body = with(&attr(0xc0, kind, &vec![1; len]));
            assert_eq!(
                withdraws(&body, &external()),
                (kind, Code::AttributeLengthError)
            );
        }
        for count in 1..4 {
            let octets = (1..=u8::MAX).take(size * count);
            let body = with(&attr(0xc0, kind, &octets.collect::<Vec<_>>()));
            let (a, faults) = discards(&body, &external());
            let lens = [
                a.communities.len(),
                a.ext_communities.len(),
                a.ipv6_ext_communities.len(),
                a.large_communities.len(),
            ];
            assert_eq!((lens.iter().sum::<usize>(), faults.len()), (count, 0));
        }
    }
}

// RFC 8092 §3: "A receiving speaker MUST silently remove redundant BGP Large Community values"; §6: an attribute is not
// malformed for duplicates, nor for a Global Administrator that is reserved.
#[test]
fn large_communities_that_are_there_twice_count_once() {
    let of = |number: u32| [0, number, 7].map(u32::to_be_bytes).concat();
    let read = |numbers: &[u32]| {
        let value: Vec<u8> = numbers.iter().flat_map(|number| of(*number)).collect();
        let body = with(&attr(0xc0, 32, &value));
        let (attributes, faults) = discards(&body, &external());
        assert!(faults.is_empty());
        let locals = attributes
            .large_communities
            .iter()
            .map(|large| large.local1);
        locals.collect::<Vec<_>>()
    };
    assert_eq!(read(&[3, 1, 3, 2, 1]), [3, 1, 2]);
    let many: Vec<u32> = (0..19).chain([3, 18]).collect();
    assert_eq!(read(&many), many[..19]);
}

// RFC 7606 §7.9, §7.10: ORIGINATOR_ID and CLUSTER_LIST: "if it is received from an external neighbor ... attribute discard;
// or if received from an internal neighbor, it SHALL be considered malformed if its length is not equal to 4" or "not a
// non-zero multiple of 4": treat-as-withdraw.
#[test]
fn reflection_attributes_are_for_internal_neighbors() {
    for (kind, lens) in [(9, [0, 3, 5, 8]), (10, [0, 3, 5, 9])] {
        for len in lens {
            let body = with(&attr(0x80, kind, &vec![1; len]));
            assert_eq!(
                withdraws(&body, &internal()),
                (kind, Code::AttributeLengthError)
            );
            assert_eq!(discards(&body, &external()).1[0].0, kind);
        }
        let body = with(&attr(0x80, kind, &[1, 1, 1, 1]));
        let (inside, _) = discards(&body, &internal());
        let (outside, _) = discards(&body, &external());
        assert!(inside.originator_id.is_some() != (inside.cluster_list.len() == 1));
        assert!(outside.originator_id.is_none() && outside.cluster_list.is_empty());
    }
}

// RFC 7606 §7.11: "If the Length of Next Hop Network Address field of the MP_REACH attribute is inconsistent with that which
// was expected, the attribute is considered malformed. Since the next hop precedes the NLRI field in the attribute, in this
// case it will not be possible to reliably locate the NLRI; thus, the session reset approach SHALL be used."
#[test]
fn a_malformed_mp_reach_resets_the_session() {
    for len in [0, 4, 15, 17, 24, 31, 33, 48] {
        let reach = mp_reach(2, &vec![0x20; len], NLRI_V6);
        assert_eq!(
            resets(&body(&[], &[&reach, ORIGIN, AS_PATH], &[]), &external()),
            Code::OptionalAttributeError
        );
    }
    for value in [
        &[][..],
        &[0, 2],
        &[0, 2, 1],
        &[0, 2, 1, 16],
        &[0, 2, 1, 16, 0x20, 1],
    ] {
        let reach = attr(0x80, 14, value);
        let reset = decode(&body(&[], &[&reach, ORIGIN, AS_PATH], &[]), &external()).unwrap_err();
        assert_eq!(
            (reset.code, &reset.data[..]),
            (Code::OptionalAttributeError, &reach[..])
        );
    }
    // RFC 8950 §4: IPv4 with IPv6 next hops only where it was agreed on.
    let reach = mp_reach(1, &GLOBAL, NLRI);
    let message = body(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    assert_eq!(resets(&message, &external()), Code::OptionalAttributeError);
    let extended = DecodeContext {
        extended_next_hop: true,
        ..external()
    };
    assert_eq!(
        decode(&message, &extended).unwrap().announced[0].0,
        NextHop::V6(GLOBAL.into())
    );
}

// RFC 7606 §5.3: "The NLRI field or Withdrawn Routes field SHALL be considered 'syntactically incorrect' if ... The length of
// any of the included NLRI is greater than 32 ... When parsing NLRI contained in the field, the length of the last NLRI found
// exceeds the amount of unconsumed data": §3 j, session reset.
#[test]
fn prefixes_nobody_can_read_reset_the_session() {
    for wrong in [
        &[33, 1, 1, 1, 1, 1][..],
        &[8],
        &[16, 10],
        &[255],
        &[8, 10, 24, 10, 1],
    ] {
        assert_eq!(
            resets(&body(&[], &[ORIGIN, AS_PATH, NEXT_HOP], wrong), &external()),
            Code::InvalidNetworkField
        );
        assert_eq!(
            resets(&body(wrong, &[], &[]), &external()),
            Code::InvalidNetworkField
        );
    }
    for wrong in [&[129][..], &[32, 1], &[128, 1, 1]] {
        let reach = mp_reach(2, &GLOBAL, wrong);
        assert_eq!(
            resets(&body(&[], &[&reach, ORIGIN, AS_PATH], &[]), &external()),
            Code::OptionalAttributeError
        );
        let unreach = attr(0x80, 15, &[&[0, 2, 1], wrong].concat());
        assert_eq!(
            resets(&body(&[], &[&unreach], &[]), &external()),
            Code::OptionalAttributeError
        );
    }
}

// RFC 7606 §7.12: MP_UNREACH_NLRI "is considered malformed if its length is less than 3": §3 j, session reset.
#[test]
fn a_short_mp_unreach_resets_the_session() {
    for value in [&[][..], &[0], &[0, 2]] {
        let unreach = attr(0x80, 15, value);
        assert_eq!(
            resets(&body(&[], &[&unreach], &[]), &external()),
            Code::OptionalAttributeError
        );
    }
}

// RFC 7606 §3 c: "If the value of either the Optional or Transitive bits in the Attribute Flags is in conflict with their
// specified values, then the attribute MUST be treated as malformed and the treat-as-withdraw approach used, unless the
// specification for the attribute mandates different handling for incorrect Attribute Flags."
#[test]
fn conflicting_flags_are_treated_as_withdraw() {
    for row in attributes::table::ROWS {
        for flip in [0x80, 0x40, 0xc0] {
            let wrong = attr(row.flags ^ flip, row.kind, &[1; 8]);
            let parts: Vec<&[u8]> = [ORIGIN, AS_PATH, NEXT_HOP]
                .into_iter()
                .filter(|a| a[1] != row.kind)
                .collect();
            let path: &[u8] = &[0x40, 2, 4, 2, 1, 0xfd, 0xe9];
            let parts: Vec<&[u8]> = parts
                .into_iter()
                .map(|a| if a[1] == 2 { path } else { a })
                .collect();
            let body = body(&[], &[&parts[..], &[&wrong]].concat(), NLRI);
            let context = DecodeContext {
                four_octet_as: false,
                ..internal()
            };
            if row.name == "AIGP" {
                // RFC 7311 §3: such an attribute "MUST be considered to be malformed", which means discarded.
                assert_eq!(
                    discards(&body, &context).1,
                    [(26, Code::AttributeFlagsError)]
                );
            } else {
                assert_eq!(
                    withdraws(&body, &context),
                    (row.kind, Code::AttributeFlagsError)
                );
            }
        }
    }
    // §3 j: the prefixes that MP_REACH_NLRI and MP_UNREACH_NLRI name are gone, as far as they can be read.
    let mut reach = mp_reach(2, &GLOBAL, NLRI_V6);
    reach[0] = 0xc0;
    let message = body(&[], &[&reach, ORIGIN, AS_PATH], &[]);
    assert_eq!(
        withdraws(&message, &external()),
        (14, Code::AttributeFlagsError)
    );
    assert_eq!(
        v6(&decode(&message, &external()).unwrap().withdrawn),
        ["2001:db8::/32"]
    );
    // The Partial and Extended Length bits, and the unused ones, are in conflict with nothing.
    let odd = [0xff, 8, 0, 4, 0, 1, 0, 2];
    assert_eq!(discards(&with(&odd), &external()).0.communities.len(), 1);
}

// RFC 7606 §3 d: "If any of the well-known mandatory attributes are not present in an UPDATE message, then
// treat-as-withdraw MUST be used."
#[test]
fn a_missing_mandatory_attribute_is_treated_as_withdraw() {
    let all = [ORIGIN, AS_PATH, NEXT_HOP];
    for missing in 0..3 {
        let mut some = all.to_vec();
        some.remove(missing);
        let kind = u8::try_from(missing + 1).unwrap();
        let expected = (kind, Code::MissingWellKnownAttribute);
        assert_eq!(withdraws(&body(&[], &some, NLRI), &external()), expected);
    }
    let reach = mp_reach(2, &GLOBAL, NLRI_V6);
    assert!(
        !decode(&body(&[], &[&reach, ORIGIN, AS_PATH], &[]), &external())
            .unwrap()
            .treat_as_withdraw
    );
    assert_eq!(
        withdraws(&body(&[], &[&reach, ORIGIN], &[]), &external()).0,
        2
    );
}

// RFC 7606 §3 g: "If the MP_REACH_NLRI attribute or the MP_UNREACH_NLRI attribute appears more than once in the UPDATE
// message, then a NOTIFICATION message MUST be sent with the Error Subcode 'Malformed Attribute List'. If any other attribute
// ... appears more than once ... then all the occurrences of the attribute other than the first one SHALL be discarded".
#[test]
fn of_duplicates_the_first_counts() {
    let reach = mp_reach(2, &GLOBAL, NLRI_V6);
    assert_eq!(
        resets(
            &body(&[], &[&reach, &reach, ORIGIN, AS_PATH], &[]),
            &external()
        ),
        Code::MalformedAttributeList
    );
    let unreach = attr(0x80, 15, &[0, 2, 1]);
    assert_eq!(
        resets(&body(&[], &[&unreach, &unreach], &[]), &external()),
        Code::MalformedAttributeList
    );
    let meds = [
        attr(0x80, 4, &[0, 0, 0, 1]),
        attr(0x80, 4, &[9]),
        attr(0xc0, 99, &[1]),
        attr(0xc0, 99, &[2]),
    ];
    let (attributes, faults) = discards(&with(&meds.concat()), &external());
    assert_eq!(
        (attributes.med, &attributes.unknown[0].value[..]),
        (Some(1), &[1][..])
    );
    assert_eq!(
        faults,
        [
            (4, Code::MalformedAttributeList),
            (99, Code::MalformedAttributeList)
        ]
    );
}

// RFC 7606 §4: "If the remaining length ... is less than the attribute's ... treat-as-withdraw ... and the Total Path Attribute
// Length field MUST be relied upon to enable the beginning of the NLRI field to be located."
#[test]
fn an_attribute_that_overruns_is_treated_as_withdraw() {
    for overrun in [
        &[0x80][..],
        &[0x80, 4],
        &[0x80, 4, 4, 0],
        &[0x90, 4, 0],
        &[0x90, 4, 1, 0, 9],
    ] {
        let message = with(overrun);
        assert_eq!(
            withdraws(&message, &external()).1,
            Code::AttributeLengthError
        );
        assert_eq!(
            v4(&decode(&message, &external()).unwrap().withdrawn),
            ["10.1.0.0/16"]
        );
    }
}

// RFC 4271 §6.3: "if Withdrawn Routes Length + Total Attribute Length + 23 exceeds the message Length, then the Error Subcode
// MUST be set to Malformed Attribute List."
#[test]
fn lengths_that_exceed_the_message_reset_the_session() {
    for wrong in [
        &[0, 1, 0, 0][..],
        &[0, 0, 0, 1],
        &[0, 0, 0],
        &[0],
        &[],
        &[0xff, 0xff, 0, 0],
    ] {
        assert_eq!(resets(wrong, &external()), Code::MalformedAttributeList);
    }
}

// RFC 7606 §5.2: "if an UPDATE message ... does contain path attributes other than MP_UNREACH_NLRI and doesn't encode any
// reachable NLRI ... and if any encountered error specifies an error-handling approach other than 'attribute discard', then
// the 'session reset' approach MUST be used."
#[test]
fn faults_where_nothing_is_announced_reset_the_session() {
    let broken = attr(0x40, 1, &[7]);
    assert_eq!(
        resets(&body(&[8, 10], &[&broken], &[]), &external()),
        Code::InvalidOrigin
    );
    assert_eq!(
        resets(&body(&[], &[ORIGIN, &[0x80, 14, 9]], &[]), &external()),
        Code::AttributeLengthError
    );
    let harmless = attr(0x40, 6, &[7]);
    let message = body(&[8, 10], &[&harmless], &[]);
    let update = decode(&message, &external()).unwrap();
    assert_eq!(v4(&update.withdrawn), ["10.0.0.0/8"]);
}

// RFC 7606 §3 h: "When multiple attribute errors exist in an UPDATE message, if the same approach ... the strongest".
// §3 i: "The Withdrawn Routes field MUST be checked for syntactic correctness in the same manner as the NLRI field."
#[test]
fn the_strongest_remedy_wins_and_withdrawals_hold() {
    let parts: [&[u8]; 5] = [
        ORIGIN,
        AS_PATH,
        NEXT_HOP,
        &attr(0x40, 6, &[1]),
        &attr(0x80, 4, &[1]),
    ];
    let message = body(&[8, 11], &parts, NLRI);
    assert_eq!(
        withdraws(&message, &external()),
        (4, Code::AttributeLengthError)
    );
    let update = decode(&message, &external()).unwrap();
    assert_eq!(v4(&update.withdrawn), ["11.0.0.0/8", "10.1.0.0/16"]);
    assert_eq!(update.faults.len(), 2);
}

// RFC 4271 §6.3: "If any of the well-known mandatory attributes ... not recognized, then the Error Subcode MUST be set to
// Unrecognized Well-known Attribute. The Data field MUST contain the unrecognized attribute (type, length, and value)."
#[test]
fn an_unrecognized_well_known_attribute_is_shown() {
    let unknown = attr(0x40, 99, &[1, 2]);
    let reset = decode(&with(&unknown), &external()).unwrap_err();
    assert_eq!(
        (reset.code, &reset.data[..]),
        (Code::UnrecognizedWellKnownAttribute, &unknown[..])
    );
}

// RFC 4271 §5: "Unrecognized non-transitive optional attributes MUST be quietly ignored and not passed along"; "If a path with
// an unrecognized transitive optional attribute is accepted and passed to other BGP peers, then ... the Partial bit ... is set
// to 1"; "MUST NOT be set back to 0".
#[test]
fn unknown_transitive_attributes_travel_on_as_partial() {
    let parts = [
        attr(0x80, 77, &[1]),
        attr(0xc0, 99, &[2]),
        attr(0xd0, 21, &[]),
        attr(0xe0, 8, &[0, 1, 0, 2]),
    ];
    let mut long = parts[2].clone();
    long.push(0);
    let extra = [&parts[0], &parts[1], &long, &parts[3]]
        .map(|p| &p[..])
        .concat();
    let (attributes, faults) = discards(&with(&extra), &external());
    let kinds: Vec<(u8, u8)> = attributes
        .unknown
        .iter()
        .map(|u| (u.kind, u.flags))
        .collect();
    assert_eq!((kinds, faults), (vec![(21, 0xe0), (99, 0xe0)], vec![]));
    assert!(attributes.partial.contains(8) && !attributes.partial.contains(7));
    let mut block = Vec::new();
    encode_attributes(&attributes, true, &mut block);
    let expected = [
        ORIGIN,
        AS_PATH,
        &parts[3],
        &[0xe0, 21, 0],
        &[0xe0, 99, 1, 2],
    ]
    .concat();
    assert_eq!(block, expected);
    assert_ne!(attributes.partial, Partial::default());
}

// RFC 6793 §4.2.3: "If the AGGREGATOR attribute ... AS number ... is not AS_TRANS ... the AS4_AGGREGATOR attribute and the
// AS4_PATH attribute SHALL be ignored".
#[test]
fn as4_attributes_count_unless_the_aggregator_knows_better() {
    let as4 = [
        attr(0xc0, 17, &[2, 1, 0, 1, 0x11, 0x70]),
        attr(0xc0, 18, &[0, 1, 0x11, 0x71, 1, 1, 1, 1]),
    ]
    .concat();
    let path: &[u8] = &[0x40, 2, 6, 2, 2, 0, 9, 0x5b, 0xa0];
    let read = |aggregator: &[u8]| {
        let message = body(&[], &[ORIGIN, path, NEXT_HOP, aggregator, &as4], NLRI);
        let (attributes, faults) = discards(&message, &two_octets());
        assert!(faults.is_empty());
        (
            attributes.as_path.to_string(),
            attributes.aggregator.map(|a| a.asn),
        )
    };
    assert_eq!(read(&[]), ("9 70000".into(), None));
    assert_eq!(
        read(&attr(0xc0, 7, &[0x5b, 0xa0, 1, 1, 1, 1])),
        ("9 70000".into(), Some(70001))
    );
    assert_eq!(
        read(&attr(0xc0, 7, &[0, 9, 1, 1, 1, 1])),
        ("9 23456".into(), Some(9))
    );
}

// RFC 6793 §4.1: "A NEW BGP speaker ... that receives the AS4_PATH ... from another NEW BGP speaker MUST discard the path
// attribute and continue processing the UPDATE message."
#[test]
fn as4_attributes_from_a_new_speaker_are_discarded() {
    let as4 = [
        attr(0xc0, 17, &[2, 1, 0, 1, 0x11, 0x70]),
        attr(0xc0, 18, &[1; 3]),
    ]
    .concat();
    let (attributes, faults) = discards(&with(&as4), &external());
    assert_eq!(
        (attributes.as_path.to_string(), faults),
        ("65001".into(), vec![])
    );
    assert!(attributes.unknown.is_empty());
}

// RFC 6793 §6: "a NEW BGP speaker that receives a malformed AS4_PATH attribute in an UPDATE message from an OLD BGP speaker
// MUST discard the attribute and continue processing the UPDATE message." AS4_AGGREGATOR: "if the attribute length is not 8".
#[test]
fn malformed_as4_attributes_are_discarded() {
    let path: &[u8] = &[0x40, 2, 4, 2, 1, 0x5b, 0xa0];
    let read = |extra: &[u8]| {
        let message = body(&[], &[ORIGIN, path, NEXT_HOP, extra], NLRI);
        let (attributes, faults) = discards(&message, &two_octets());
        (attributes.as_path.to_string(), faults.len())
    };
    for value in [
        &[][..],
        &[2, 0],
        &[2, 1, 0, 1],
        &[2, 2, 0, 0, 0, 1],
        &[7, 1, 0, 0, 0, 1],
        &[2, 1, 0, 0, 0, 0],
    ] {
        assert_eq!(
            read(&attr(0xc0, 17, value)),
            ("23456".into(), 1),
            "{value:?}"
        );
    }
    for len in [0, 6, 7, 9] {
        assert_eq!(read(&attr(0xc0, 18, &vec![1; len])).1, 1);
    }
}

// RFC 6793 §4.2.2: to an OLD speaker AS_TRANS stands for what two octets cannot hold, AS4_PATH and AS4_AGGREGATOR tell it;
// "the NEW BGP speaker MUST NOT send the AS4_PATH attribute if the entire AS path ... is composed of mappable four-octet AS
// numbers only"; "MUST NOT send AS4_AGGREGATOR" likewise.
#[test]
fn an_old_speaker_is_told_by_as4_attributes_only_what_it_cannot_hold() {
    let aggregator = |asn| {
        Some(attributes::Aggregator {
            asn,
            identifier: [1, 1, 1, 1].into(),
        })
    };
    let mut attributes = Attributes::new(
        Origin::Igp,
        "(5) 70000 9".parse().unwrap(),
        NextHop::V4([10, 0, 0, 1].into()),
    );
    attributes.aggregator = aggregator(70001);
    let mut block = Vec::new();
    encode_attributes(&attributes, false, &mut block);
    let expected: &[u8] = &[
        0x40, 1, 1, 0, 0x40, 2, 10, 3, 1, 0, 5, 2, 2, 0x5b, 0xa0, 0, 9, 0xc0, 7, 6, 0x5b, 0xa0, 1,
        1, 1, 1, 0xc0, 17, 10, 2, 2, 0, 1, 0x11, 0x70, 0, 0, 0, 9, 0xc0, 18, 8, 0, 1, 0x11, 0x71,
        1, 1, 1, 1,
    ];
    assert_eq!(block, expected);
    attributes.as_path = "7 9".parse().unwrap();
    attributes.aggregator = aggregator(7);
    block.clear();
    encode_attributes(&attributes, false, &mut block);
    assert_eq!(
        block,
        [
            0x40, 1, 1, 0, 0x40, 2, 6, 2, 2, 0, 7, 0, 9, 0xc0, 7, 6, 0, 7, 1, 1, 1, 1
        ]
    );
}

// RFC 7311 §3: the first AIGP TLV counts; more of them and unknown ones are not malformed; a malformed attribute is treated as
// an unrecognized non-transitive one; §3.1: "if AIGP is not enabled on a session, it MUST be treated" so as well.
#[test]
fn aigp_counts_where_it_is_enabled_and_sound() {
    let tlv = |kind: u8, metric: u8| [kind, 0, 11, 0, 0, 0, 0, 0, 0, 0, metric];
    let read = |value: &[u8], context: &DecodeContext| {
        let (attributes, faults) = discards(&with(&attr(0x80, 26, value)), context);
        (attributes.aigp, faults.len())
    };
    assert_eq!(read(&tlv(1, 7), &internal()), (Some(7), 0));
    assert_eq!(
        read(&[tlv(9, 1), tlv(1, 7), tlv(1, 8)].concat(), &internal()),
        (Some(7), 0)
    );
    for malformed in [
        &[][..],
        &[1],
        &[1, 0],
        &[1, 0, 2],
        &[1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 4, 0],
        &[9, 0, 3],
    ] {
        assert_eq!(read(malformed, &internal()), (None, 1), "{malformed:?}");
    }
    assert_eq!(
        read(
            &tlv(1, 7),
            &DecodeContext {
                aigp: false,
                ..internal()
            }
        ),
        (None, 0)
    );
}

// RFC 9234 §5: "The OTC Attribute is considered malformed if the length value is not 4. An UPDATE message with a malformed OTC
// Attribute SHALL be handled using the approach of 'treat-as-withdraw'".
#[test]
fn a_malformed_only_to_customer_is_treated_as_withdraw() {
    for len in [0, 3, 5] {
        let body = with(&attr(0xc0, 35, &vec![0; len]));
        assert_eq!(
            withdraws(&body, &external()),
            (35, Code::AttributeLengthError)
        );
    }
    let (attributes, _) = discards(&with(&attr(0xc0, 35, &[0, 0, 0, 9])), &external());
    assert_eq!(attributes.only_to_customer, Some(9));
}

// RFC 2545 §3: the next hop is a global address, or a global one followed by a link-local one, "16 ... or 32".
#[test]
fn link_local_next_hops_come_with_and_without_a_global_one() {
    let read = |next_hop: &[u8]| {
        let reach = mp_reach(2, next_hop, NLRI_V6);
        let message = body(&[], &[&reach, ORIGIN, AS_PATH], &[]);
        let update = decode(&message, &external()).unwrap();
        assert_eq!(
            update.attributes.map(|a| a.next_hop),
            update.announced.first().map(|(n, _)| *n)
        );
        update.announced.first().map(|(next_hop, _)| *next_hop)
    };
    let (global, local) = (GLOBAL.into(), LINK_LOCAL.into());
    assert_eq!(read(&GLOBAL), Some(NextHop::V6(global)));
    assert_eq!(read(&LINK_LOCAL), Some(NextHop::V6(local)));
    assert_eq!(
        read(&[GLOBAL, LINK_LOCAL].concat()),
        Some(NextHop::V6WithLinkLocal(global, local))
    );
    assert_eq!(
        read(&[[0; 16], LINK_LOCAL].concat()),
        Some(NextHop::V6(local))
    );
    assert_eq!(
        read(&[LINK_LOCAL, LINK_LOCAL].concat()),
        Some(NextHop::V6(local))
    );
    assert_eq!(read(&[GLOBAL, [0; 16]].concat()), Some(NextHop::V6(global)));
    assert_eq!(read(&[0; 16]), None);
}

// RFC 4760 §3: "An UPDATE message that carries no NLRI, other than the one encoded in the MP_REACH_NLRI attribute, SHOULD NOT
// carry the NEXT_HOP attribute. If such a message contains the NEXT_HOP attribute, the BGP speaker that receives the message
// SHOULD ignore this attribute."
#[test]
fn each_part_has_its_own_next_hop() {
    let reach = mp_reach(2, &GLOBAL, NLRI_V6);
    let alone = body(&[], &[&reach, ORIGIN, AS_PATH, NEXT_HOP], &[]);
    let update = decode(&alone, &external()).unwrap();
    assert_eq!(
        update.attributes.unwrap().next_hop,
        NextHop::V6(GLOBAL.into())
    );
    let both = body(&[], &[&reach, ORIGIN, AS_PATH, NEXT_HOP], NLRI);
    let update = decode(&both, &external()).unwrap();
    let hops: Vec<NextHop> = update
        .announced
        .iter()
        .map(|(next_hop, _)| *next_hop)
        .collect();
    assert_eq!(
        hops,
        [
            NextHop::V4([10, 0, 0, 1].into()),
            NextHop::V6(GLOBAL.into())
        ]
    );
    assert_eq!(v6(&[update.announced[1].1]), ["2001:db8::/32"]);
}

// RFC 4760 §6, §8: what was not agreed on is ignored, and the session stays.
#[test]
fn prefixes_of_families_not_agreed_on_are_ignored() {
    let only_v4 = DecodeContext {
        families: PerFamily {
            ipv4: true,
            ipv6: false,
        },
        ..external()
    };
    let reach = mp_reach(2, &GLOBAL, NLRI_V6);
    let vpn = attr(
        0x80,
        14,
        &[
            0, 1, 128, 12, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1, 0, 1, 2, 3,
        ],
    );
    let unreach = attr(0x80, 15, &[0, 25, 70, 1, 2, 3]);
    for foreign in [&reach, &vpn, &unreach] {
        let message = body(&[], &[foreign, ORIGIN, AS_PATH], &[]);
        let update = decode(&message, &only_v4).unwrap();
        assert!(
            update.announced.is_empty()
                && update.withdrawn.is_empty()
                && update.attributes.is_none()
        );
        assert_eq!(update.end_of_rib, None);
    }
    let no_v4 = DecodeContext {
        families: PerFamily {
            ipv4: false,
            ipv6: true,
        },
        ..external()
    };
    assert!(decode(&with(&[]), &no_v4).unwrap().announced.is_empty());
}

// RFC 4724 §2: "an UPDATE message with no reachable NLRI and empty withdrawn NLRI" is the End-of-RIB marker.
#[test]
fn end_of_rib_is_told_from_other_empty_messages() {
    for family in Family::ALL {
        let marker = end_of_rib(family);
        let frame = header::next_frame(&marker, header::MAX).unwrap().unwrap();
        assert_eq!(frame.kind, Kind::Update);
        let update = decode(frame.body, &external()).unwrap();
        assert_eq!(update.end_of_rib, Some(family));
        assert!(update.withdrawn.is_empty() && update.announced.is_empty());
    }
    assert_eq!(
        decode(&body(&[8, 10], &[], &[]), &external())
            .unwrap()
            .end_of_rib,
        None
    );
    assert_eq!(
        decode(&body(&[], &[ORIGIN], &[]), &external())
            .unwrap()
            .end_of_rib,
        None
    );
}

// RFC 7911 §3: a Path Identifier precedes each prefix, where both ends said so.
#[test]
fn path_identifiers_precede_prefixes() {
    let context = DecodeContext {
        add_path: PerFamily {
            ipv4: true,
            ipv6: false,
        },
        ..external()
    };
    let nlri = [0, 0, 0, 7, 16, 10, 1, 0, 0, 0, 8, 0];
    let message = body(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &nlri);
    let update = decode(&message, &context).unwrap();
    let read: Vec<(u32, String)> = update.announced[0]
        .1
        .iter::<Ipv4Prefix>()
        .map(|(id, p)| (id, p.to_string()))
        .collect();
    assert_eq!(read, [(7, "10.1.0.0/16".into()), (8, "0.0.0.0/0".into())]);
    assert_eq!(
        resets(
            &body(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &nlri[..4]),
            &context
        ),
        Code::InvalidNetworkField
    );
}

fn table(count: u32) -> impl Iterator<Item = (u32, Ipv4Prefix)> {
    (0..count).map(|i| {
        (
            i,
            Ipv4Prefix::new((0x0a00_0000 + (i << 8)).into(), 24).unwrap(),
        )
    })
}

fn frames(mut bytes: &[u8], max: usize) -> Vec<header::Frame<'_>> {
    let mut out = Vec::new();
    while let Some(frame) = header::next_frame(bytes, max).unwrap() {
        bytes = &bytes[frame.len..];
        out.push(frame);
    }
    assert!(bytes.is_empty());
    out
}

#[test]
fn a_table_is_packed_into_as_few_messages_as_hold_it() {
    let attributes = Attributes::new(
        Origin::Igp,
        "65001".parse().unwrap(),
        NextHop::V4([10, 0, 0, 1].into()),
    );
    let mut block = Vec::new();
    encode_attributes(&attributes, true, &mut block);
    for (max, add_path, next_hop, messages) in [
        (4096, false, NextHop::V4([10, 0, 0, 1].into()), 10),
        (65535, false, NextHop::V4([10, 0, 0, 1].into()), 1),
        (4096, true, NextHop::V4([10, 0, 0, 1].into()), 20),
        (
            4096,
            false,
            NextHop::V6WithLinkLocal(GLOBAL.into(), LINK_LOCAL.into()),
            10,
        ),
    ] {
        let context = EncodeContext {
            four_octet_as: true,
            add_path,
            max_message: max,
        };
        let mut out = BytesMut::new();
        announce(&block, next_hop, table(10_000), &context, &mut out).unwrap();
        withdraw(table(10_000), &context, &mut out);
        let reading = DecodeContext {
            add_path: PerFamily {
                ipv4: add_path,
                ipv6: false,
            },
            extended_next_hop: true,
            ..external()
        };
        let frames = frames(&out, max);
        assert_eq!(frames.len(), 2 * messages);
        let (mut told, mut gone) = (Vec::new(), Vec::new());
        for frame in frames {
            let update = decode(frame.body, &reading).unwrap();
            assert!(update.faults.is_empty());
            for (hop, nlri) in &update.announced {
                assert_eq!(
                    (*hop, update.attributes.as_ref().map(|a| a.next_hop)),
                    (next_hop, Some(next_hop))
                );
                told.extend(nlri.iter::<Ipv4Prefix>());
            }
            gone.extend(update.withdrawn.iter().flat_map(|n| n.iter::<Ipv4Prefix>()));
        }
        let expected: Vec<(u32, Ipv4Prefix)> = table(10_000)
            .map(|(id, p)| (if add_path { id } else { 0 }, p))
            .collect();
        assert_eq!((told == expected, gone == expected), (true, true));
    }
}

#[test]
fn nothing_to_say_is_said_with_nothing() {
    let context = EncodeContext {
        four_octet_as: true,
        add_path: false,
        max_message: 4096,
    };
    let mut out = BytesMut::new();
    announce(
        &[],
        NextHop::V4([10, 0, 0, 1].into()),
        table(0),
        &context,
        &mut out,
    )
    .unwrap();
    withdraw(table(0), &context, &mut out);
    assert!(out.is_empty());
}

// RFC 4271 §9.2: "If due to the limits on the maximum size of an UPDATE message a single route doesn't fit into the message,
// the BGP speaker MUST not advertise the route to its peers".
#[test]
fn attributes_that_leave_no_room_are_too_large() {
    let mut attributes = Attributes::new(
        Origin::Igp,
        "65001".parse().unwrap(),
        NextHop::V4([10, 0, 0, 1].into()),
    );
    let mut refused = 0;
    for count in (900..1100).chain([20_000]) {
        attributes.communities = (0..count).map(attributes::Community).collect();
        let mut block = Vec::new();
        encode_attributes(&attributes, true, &mut block);
        let context = EncodeContext {
            four_octet_as: true,
            add_path: false,
            max_message: 4096,
        };
        let mut out = BytesMut::new();
        match announce(&block, attributes.next_hop, table(3), &context, &mut out) {
            Ok(()) => assert!(frames(&out, 4096).iter().all(|f| f.len <= 4096)),
            Err(TooLarge) => {
                refused += 1;
                assert!(out.is_empty());
            }
        }
        assert_eq!(
            decode_attributes(&block, attributes.next_hop).is_ok(),
            count < 20_000
        );
    }
    assert!((50..150).contains(&refused));
}

// RFC 7606 §5.1: "the MP_REACH_NLRI or MP_UNREACH_NLRI attribute (if present) SHALL be encoded as the very first path
// attribute in an UPDATE message". RFC 4271 §5: the others "in ascending order of attribute type".
#[test]
fn mp_reach_comes_first_and_the_others_in_order() {
    let mut attributes = Attributes::new(
        Origin::Igp,
        "65001".parse().unwrap(),
        NextHop::V4([10, 0, 0, 1].into()),
    );
    attributes.med = Some(1);
    let mut block = Vec::new();
    encode_attributes(&attributes, true, &mut block);
    let context = EncodeContext {
        four_octet_as: true,
        add_path: false,
        max_message: 4096,
    };
    let kinds = |next_hop| {
        let mut out = BytesMut::new();
        announce(&block, next_hop, table(1), &context, &mut out).unwrap();
        let frame = header::next_frame(&out, 4096).unwrap().unwrap();
        let (_, (_, mut attributes)) = parts(frame.body).unwrap();
        let mut kinds = Vec::new();
        while let Ok((rest, raw)) = attribute(attributes) {
            kinds.push(raw.kind);
            attributes = rest;
        }
        kinds
    };
    assert_eq!(kinds(NextHop::V4([10, 0, 0, 1].into())), [1, 2, 3, 4]);
    assert_eq!(kinds(NextHop::V6(GLOBAL.into())), [14, 1, 2, 4]);
}

#[test]
fn the_table_is_in_the_order_of_the_types() {
    assert!(attributes::table::ROWS.is_sorted_by_key(|row| row.kind));
    assert_eq!(attributes::table::name(14), Some("MP_REACH_NLRI"));
    assert_eq!(Ipv6Prefix::FAMILY.to_string(), "ipv6");
}
