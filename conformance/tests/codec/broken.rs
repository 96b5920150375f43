//! Broken UPDATEs: the remedy of RFC 7606 against that of rustbgpd-wire.

use bgp_core::family::PerFamily;
use bgp_core::update::{self, DecodeContext, Remedy};
use bytes::Bytes;
use rustbgpd_wire::UpdateMessage;
use rustbgpd_wire::attribute::PathAttribute;
use rustbgpd_wire::validate::{ErrorDisposition, validate_update_attributes};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe9];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 10, 0, 0, 1];
const NLRI: &[u8] = &[16, 10, 1];

/// A case, and why the answers differ where they do.
struct Case {
    name: String,
    body: Vec<u8>,
    internal: bool,
}

/// Where we differ, each with the reason. The first whose words are in a case's name tells what we answer.
const EXCEPTIONS: &[(&str, Option<Remedy>, &str)] = &[];

fn ours(case: &Case) -> Option<Remedy> {
    let context = DecodeContext {
        four_octet_as: true,
        external: !case.internal,
        aigp: true,
        families: PerFamily { ipv4: true, ipv6: true },
        ..DecodeContext::default()
    };
    match update::decode(&case.body, &context) {
        Err(_) => Some(Remedy::SessionReset),
        Ok(update) => update.faults.iter().map(|fault| fault.remedy).max(),
    }
}

fn theirs(case: &Case) -> Option<Remedy> {
    let mut body = Bytes::copy_from_slice(&case.body);
    let len = body.len();
    let Ok(raw) = UpdateMessage::decode(&mut body, len) else {
        return Some(Remedy::SessionReset);
    };
    let Ok(parsed) = raw.parse_revised(true, case.internal, false, &[]) else {
        return Some(Remedy::SessionReset);
    };
    let attributes = &parsed.update.attributes;
    let body_nlri = !parsed.update.announced.is_empty();
    let reach = attributes.iter().any(|a| matches!(a, PathAttribute::MpReachNlri(_)));
    let checked = validate_update_attributes(attributes, body_nlri || reach, body_nlri, !case.internal);
    let checked = checked.err().map(|error| error.disposition);
    let worst = parsed.malformed.iter().map(|m| m.disposition).chain(checked).max()?;
    // RFC 7606 §5.2 is for the caller there.
    if worst >= ErrorDisposition::TreatAsWithdraw && !body_nlri && !reach {
        return Some(Remedy::SessionReset);
    }
    Some(match worst {
        ErrorDisposition::AttributeDiscard => Remedy::AttributeDiscard,
        ErrorDisposition::TreatAsWithdraw => Remedy::TreatAsWithdraw,
        ErrorDisposition::SessionReset => Remedy::SessionReset,
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

/// A sound UPDATE in which `attribute` stands for the one of its type, or is added.
fn with(attribute: &[u8]) -> Vec<u8> {
    let base = [ORIGIN, AS_PATH, NEXT_HOP].into_iter();
    let mut all: Vec<&[u8]> = base.filter(|a| a.get(1) != attribute.get(1)).collect();
    all.push(attribute);
    body(&all, NLRI)
}

/// Every attribute in every length around the right one, with every flag, twice, cut short; and what is no attribute's fault.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name: String, body: Vec<u8>| {
        for internal in [false, true] {
            let side = if internal { "internal" } else { "external" };
            cases.push(Case {
                name: format!("{side}: {name}"),
                body: body.clone(),
                internal,
            });
        }
    };
    for row in bgp_core::attributes::table::ROWS {
        for len in 0..=26 {
            let value = vec![1; len];
            case(format!("{} of {len} ones", row.name), with(&attribute(row.flags, row.kind, &value)));
            for flip in [0x80, 0x40, 0xc0] {
                let wrong = attribute(row.flags ^ flip, row.kind, &value);
                case(format!("{} of {len} ones with flags {:02x}", row.name, row.flags ^ flip), with(&wrong));
            }
        }
    }
    cases
}

#[test]
fn broken_updates_get_the_same_answer() {
    let mut differences = Vec::new();
    for case in cases() {
        let (ours, theirs) = (ours(&case), theirs(&case));
        if ours == theirs {
            continue;
        }
        let known = EXCEPTIONS.iter().find(|(words, _, _)| case.name.contains(words));
        if known.is_none_or(|(_, expected, _)| *expected != ours) {
            differences.push(format!("{}: we {ours:?}, they {theirs:?}", case.name));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
