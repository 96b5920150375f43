//! A route as any peer tells it: the same words for all, so that a test compares values.

use std::collections::BTreeSet;

/// One path to a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The first next hop.
    pub next_hop: String,
    /// In order; sets flattened.
    pub as_path: Vec<u32>,
    /// `igp`, `egp`, `incomplete`.
    pub origin: String,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// `65001:100`, or the well-known name in lower case with hyphens.
    pub communities: BTreeSet<String>,
    /// `65001:1:2`.
    pub large_communities: BTreeSet<String>,
    /// `rt:65001:5`.
    pub ext_communities: BTreeSet<String>,
    /// `65001 192.0.2.1`; not told by every peer.
    pub aggregator: Option<String>,
    /// ATOMIC_AGGREGATE; not told by every peer.
    pub atomic_aggregate: bool,
    /// The Path Identifier under which it was heard (RFC 7911); not told by every peer.
    pub path_id: Option<u32>,
    /// ORIGINATOR_ID.
    pub originator_id: Option<String>,
    /// CLUSTER_LIST, in order.
    pub cluster_list: Vec<String>,
}

/// Words as they are.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The numbers in a text, in order.
pub(super) fn numbers(text: &str) -> Vec<u32> {
    let words = text.split(|c: char| !c.is_ascii_digit());
    words.filter_map(|word| word.parse().ok()).collect()
}

/// A 32-bit community in words.
pub(super) fn community(value: u32) -> String {
    match value {
        0xFFFF_FF01 => "no-export".to_owned(),
        0xFFFF_FF02 => "no-advertise".to_owned(),
        0xFFFF_FF03 => "no-export-subconfed".to_owned(),
        0xFFFF_0000 => "graceful-shutdown".to_owned(),
        0xFFFF_0006 => "llgr-stale".to_owned(),
        0xFFFF_029A => "blackhole".to_owned(),
        other => format!("{}:{}", other >> 16, other & 0xFFFF),
    }
}

/// A community as a peer writes it (`65001:100`, `noExport`) in our words.
pub(super) fn community_from(text: &str) -> String {
    match text {
        "noExport" => "no-export".to_owned(),
        "noAdvertise" => "no-advertise".to_owned(),
        "localAs" => "no-export-subconfed".to_owned(),
        "gracefulShutdown" | "graceful-shutdown" => "graceful-shutdown".to_owned(),
        other => match numbers(other).as_slice() {
            [high, low] => community(high << 16 | low),
            _ => other.to_owned(),
        },
    }
}
