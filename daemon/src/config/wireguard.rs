//! `[wireguard]`: whether peers have a device each or share one, and what follows from that.

use std::path::PathBuf;

use fib_netlink::kernel::UAPI_DIR;
use speaker::config::{Interfaces, Peer, Router, Static, StaticVia};

use super::peers::{Placed, show};
use super::reader::{Reader, Wrong, names};
use super::redistribute::pattern;
use super::surface::directory;
use super::tree::Node;
use super::values::{self, Parsed};

/// `[wireguard]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Wireguard {
    /// `mode`.
    pub(crate) mode: Mode,
    /// `manage-allowed-ips`: AllowedIPs follow routes.
    pub(crate) manage: bool,
    /// `uapi-dir`: where userspace implementations have their sockets.
    pub(crate) uapi_dir: PathBuf,
    /// `interfaces`: the devices that peers share.
    pub(crate) interfaces: Interfaces,
}

/// How peers are reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Over a device each.
    #[default]
    PerPeer,
    /// Several over one device.
    Shared,
}

const PER_PEER: &str = "per-peer";
const SHARED: &str = "shared";

impl Mode {
    /// The word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::PerPeer => PER_PEER,
            Self::Shared => SHARED,
        }
    }
}

impl Default for Wireguard {
    fn default() -> Self {
        Self {
            mode: Mode::PerPeer,
            manage: false,
            uapi_dir: UAPI_DIR.into(),
            interfaces: Interfaces::default(),
        }
    }
}

pub(super) fn read(root: &Reader<'_>) -> Wireguard {
    let none = Wireguard::default();
    let Some(reader) = root.table("wireguard") else {
        return none;
    };
    let mode = reader.read("mode", mode).unwrap_or_default();
    let shared = mode == Mode::Shared;
    let manage = reader.read("manage-allowed-ips", values::flag);
    if manage == Some(true) && !shared {
        reader.error(
            "manage-allowed-ips",
            "a device with one peer gives it all addresses: there is nothing to manage",
            "give each device's peer `AllowedIPs = 0.0.0.0/0, ::/0` and take this out, or write `mode = \"shared\"`",
        );
    }
    let wireguard = Wireguard {
        mode,
        manage: manage.unwrap_or(shared),
        uapi_dir: reader.read("uapi-dir", directory).unwrap_or(none.uapi_dir),
        interfaces: Interfaces(reader.list("interfaces", pattern).unwrap_or_default()),
    };
    reader.finish();
    wireguard
}

/// WireGuard sends what goes to a prefix to one peer of a device: traffic cannot be shared between two of them.
pub(super) fn no_sharing(
    wireguard: &Wireguard,
    router: &Router,
    peers: &[Placed<Peer>],
    statics: &[Static],
    root: &Reader<'_>,
) {
    if wireguard.mode != Mode::Shared {
        return;
    }
    let at = root.at("wireguard");
    let shared = |device: &Option<String>| {
        let named = device.as_deref();
        named.is_none_or(|named| wireguard.interfaces.contain(named))
    };
    let mut seen: Vec<&Placed<Peer>> = Vec::new();
    for peer in peers
        .iter()
        .filter(|peer| shared(&peer.value.options.interface))
    {
        let other = seen
            .iter()
            .find(|other| other.value.options.interface == peer.value.options.interface);
        if let Some(other) = other.filter(|_| router.multipath > 1) {
            let device = peer
                .value
                .options
                .interface
                .as_deref()
                .unwrap_or("one device, as far as is known");
            let what = format!(
                "`multipath = {}` would share traffic between {} and {} over {device}: WireGuard sends a prefix to one peer of a device",
                router.multipath,
                show(&other.value),
                show(&peer.value),
            );
            let instead = "write `multipath = 1`, or give each peer a device of its own (`mode = \"per-peer\"`), or name the shared \
                           ones in `interfaces` and each peer's own in its `interface`";
            return root.report.error(at, &what, instead);
        }
        seen.push(peer);
    }
    for route in statics {
        let StaticVia::NextHops(hops) = &route.via else {
            continue;
        };
        let hops: Vec<_> = hops.iter().filter(|hop| shared(&hop.interface)).collect();
        let twice = |(i, hop): (usize, &&speaker::config::StaticNextHop)| {
            hops.iter()
                .skip(i + 1)
                .any(|other| other.interface == hop.interface)
        };
        if hops.iter().enumerate().any(twice) {
            let what = format!(
                "the static route to {} would share traffic between peers of one device: WireGuard sends a prefix to one of them",
                route.prefix
            );
            return root.report.error(
                at,
                &what,
                "write one next hop in its `via`, or name each one's device",
            );
        }
    }
}

fn mode(node: &Node) -> Parsed<Mode> {
    let text = values::text(node)?;
    match text.as_str() {
        PER_PEER => Ok(Mode::PerPeer),
        SHARED => Ok(Mode::Shared),
        _ => Err(Wrong::new(
            format!("`{text}` means nothing here"),
            format!("write one of {}", names([PER_PEER, SHARED])),
        )),
    }
}
