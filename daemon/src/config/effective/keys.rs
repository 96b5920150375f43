//! Keys of peers that are tables of their own.

use speaker::config::{LocalAs, MaxPrefixesAction, PeerOptions, TcpAo};

use super::super::secrets::AO_ALGORITHMS;
use super::{Line, Lines, SECRET};

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
