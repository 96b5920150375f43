//! Keys of peers that are tables of their own.

use speaker::config::{Bfd, LocalAs, MaxPrefixesAction, PeerOptions, Probe, Secret, TcpAo};

use std::collections::BTreeMap;

use super::super::secrets::AO_ALGORITHMS;
use super::super::{Wireguard, bfd, score};
use super::{Line, Lines, SECRET, Section, key_of, section};

pub(super) fn tcp_ao(ao: &TcpAo) -> Line {
    let known = AO_ALGORITHMS.iter();
    let mut known = known.filter(|(_, algorithm)| *algorithm == ao.algorithm);
    let mut inner = Lines::default();
    inner.put("password", SECRET);
    inner.put("send-id", ao.send_id);
    inner.put("receive-id", ao.receive_id);
    inner.maybe_text("algorithm", known.next().map(|(word, _)| word));
    Line {
        key: "tcp-ao".to_owned(),
        value: inner.inline(),
        secret: Some(ao.key.clone()),
    }
}

pub(super) fn local_as(local: LocalAs) -> String {
    let (no_prepend, replace_as, dual_as) = (local.no_prepend, local.replace_as, local.dual_as);
    if no_prepend && replace_as && !dual_as {
        return local.asn.to_string();
    }
    let mut inner = Lines::default();
    inner.put("asn", local.asn);
    inner.put("no-prepend", no_prepend);
    inner.put("replace-as", replace_as);
    inner.put("dual-as", dual_as);
    inner.inline()
}

pub(super) fn max_prefixes(options: &PeerOptions, lines: &mut Lines) {
    let Some(max) = options.max_prefixes else {
        return;
    };
    let mut inner = Lines::default();
    inner.put("limit", max.limit);
    inner.text("warn-at", format!("{}%", max.warn_at));
    match max.then {
        MaxPrefixesAction::Warn => inner.text("then", "warn"),
        MaxPrefixesAction::Stop => inner.text("then", "stop"),
        MaxPrefixesAction::Restart(after) => {
            inner.text("then", "restart");
            inner.time("restart-after", after);
        }
    }
    lines.put("max-prefixes", inner.inline());
}

pub(super) fn bfd(options: &PeerOptions, lines: &mut Lines) {
    match &options.bfd {
        Some(bfd) if bfd.profile != bfd::DEFAULT => lines.text("bfd", &bfd.profile),
        bfd => lines.put("bfd", bfd.is_some()),
    }
}

/// The profiles that peers use.
pub(super) fn bfd_profiles<'a>(
    options: impl Iterator<Item = &'a PeerOptions>,
) -> impl Iterator<Item = Section> {
    let used = options.filter_map(|options| options.bfd.as_ref());
    let profiles: BTreeMap<_, _> = used.map(|bfd| (&bfd.profile, bfd)).collect();
    profiles.into_values().map(|bfd| {
        let header = format!("[bfd.profile.{}]", key_of(&bfd.profile));
        section(header, format!("bfd profile {}", bfd.profile), |lines| {
            bfd_profile(bfd, lines)
        })
    })
}

fn bfd_profile(bfd: &Bfd, lines: &mut Lines) {
    lines.time("transmit", bfd.session.transmit);
    lines.time("receive", bfd.session.receive);
    lines.put("multiplier", bfd.session.multiplier);
    lines.put("passive", bfd.session.passive);
    lines.put("strict", bfd.strict);
    lines.put("spare-lossy", bfd.session.spares_lossy);
    if let Some(key) = &bfd.session.authentication {
        let mut inner = Lines::default();
        inner.text("type", bfd::word_of(key.kind()));
        inner.put("key-id", key.key_id());
        inner.put("password", SECRET);
        lines.0.push(Line {
            key: "authentication".to_owned(),
            value: inner.inline(),
            secret: Some(Secret(key.secret().to_vec())),
        });
    }
}

/// `[wireguard]`.
pub(super) fn wireguard(wireguard: &Wireguard, all: &mut Vec<Section>) {
    all.push(section("[wireguard]", "[wireguard]".to_owned(), |lines| {
        lines.text("mode", wireguard.mode.word());
        lines.put("manage-allowed-ips", wireguard.manage);
        lines.text("uapi-dir", wireguard.uapi_dir.display());
        lines.some_texts("interfaces", &wireguard.interfaces.0);
    }));
}

/// `[probe]` and `[score]`.
pub(super) fn probing(probe: &Probe, all: &mut Vec<Section>) {
    all.push(section("[probe]", "[probe]".to_owned(), |lines| {
        lines.put("port", probe.port);
        lines.time("interval", probe.node.interval);
        lines.text("budget", score::show_rate(probe.node.budget));
    }));
    all.push(section("[score]", "[score]".to_owned(), |lines| {
        let judge = &probe.node.judge;
        lines.time("loss-weight", judge.weights.loss);
        lines.time("hold-down", judge.hold_down);
        lines.text("margin", format!("{:.0}%", judge.margin * 100.0));
    }));
}
