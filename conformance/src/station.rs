//! A monitoring station: reads BMP (RFC 7854) strictly, and keeps the picture that it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgp_core::bmp::{Down, Message, PeerHeader, PeerUp, Rib, Statistic, Tlv, next_message};
use bgp_core::capability::{AddPathMode, Afi};
use bgp_core::family::PerFamily;
use bgp_core::header::{MAX_EXTENDED, next_frame};
use bgp_core::update::{DecodeContext, Nlri, decode};
use bgp_core::{Attributes, Capability, Family, Ipv4Prefix, Ipv6Prefix, Kind, Open};
use ipnet::IpNet;

/// What the station knows. What it cannot make sense of is an error, and the last thing that it reads.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    unread: Vec<u8>,
    /// sysDescr and sysName.
    pub system: Option<(String, String)>,
    /// Peers that are up, by address.
    pub peers: BTreeMap<IpAddr, PeerPicture>,
    /// The Loc-RIB, once its Peer Up came.
    pub loc_rib: Option<PeerPicture>,
    /// Sessions that ended, each with the reason's number.
    pub downs: Vec<(IpAddr, u8)>,
    /// The reason of a Termination.
    pub terminated: Option<u16>,
    /// Messages so far.
    pub messages: usize,
    /// Statistics Reports so far.
    pub reports: usize,
    /// What is told of peers that never were up counts for nothing: FRR tells of itself.
    pub lenient: bool,
}

/// A peer, or the Loc-RIB.
#[derive(Clone, Debug)]
pub struct PeerPicture {
    /// As its Peer Up had it.
    pub header: PeerHeader,
    /// The router's OPEN.
    pub sent: Open,
    /// The peer's.
    pub received: Open,
    /// Its tables.
    pub tables: BTreeMap<Rib, TablePicture>,
    /// The last numbers that were told.
    pub statistics: Vec<Statistic>,
}

/// A table of a peer.
#[derive(Clone, Debug, Default)]
pub struct TablePicture {
    /// Routes by prefix and Path Identifier.
    pub routes: BTreeMap<(IpNet, u32), Attributes>,
    /// Families of which all was told that there was at first.
    pub complete: BTreeSet<Family>,
}

impl PeerPicture {
    /// The routes of a table.
    #[must_use]
    pub fn routes(&self, rib: Rib) -> BTreeMap<(IpNet, u32), Attributes> {
        let table = self.tables.get(&rib);
        table.map(|table| table.routes.clone()).unwrap_or_default()
    }

    /// Whether all was told that a table had at first.
    #[must_use]
    pub fn is_complete(&self, rib: Rib, family: Family) -> bool {
        let table = self.tables.get(&rib);
        table.is_some_and(|table| table.complete.contains(&family))
    }
}

impl Picture {
    /// Takes what came on the connection, however it was cut.
    ///
    /// # Errors
    /// What is no BMP, or cannot follow on what was told before.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut self.unread);
        let mut rest = &unread[..];
        while let Some(len) = next_message(rest).map_err(|error| error.to_string())? {
            let (message, after) = rest.split_at_checked(len).ok_or("cut")?;
            let read = Message::decode(message).map_err(|error| error.to_string())?;
            self.take(read)?;
            rest = after;
        }
        self.unread = rest.to_vec();
        Ok(())
    }

    fn take(&mut self, message: Message<'_>) -> Result<(), String> {
        self.messages += 1;
        if self.terminated.is_some() {
            return Err("something follows a Termination".to_owned());
        }
        if self.system.is_none() && !matches!(message, Message::Initiation(_)) {
            return Err("the first message is no Initiation".to_owned());
        }
        if self.lenient && self.is_of_nobody(&message) {
            return Ok(());
        }
        match message {
            Message::Initiation(tlvs) => {
                let system = (text(&tlvs, 1), text(&tlvs, 2));
                let (Some(what), Some(name)) = system else {
                    return Err("an Initiation lacks sysDescr or sysName".to_owned());
                };
                self.system = Some((what, name));
                Ok(())
            }
            Message::Termination(tlvs) => {
                let reason = tlvs.iter().find(|tlv| tlv.kind == 1);
                let reason = reason.and_then(|tlv| tlv.value.try_into().ok());
                let reason = reason.ok_or("a Termination without a reason")?;
                self.terminated = Some(u16::from_be_bytes(reason));
                Ok(())
            }
            Message::PeerUp { peer, up } => self.up(peer, &up),
            Message::PeerDown { peer, reason } => self.down(&peer, &reason),
            Message::RouteMonitoring { peer, update } => {
                let known = self.peer(&peer)?;
                known.update(&peer, update)
            }
            Message::Statistics { peer, statistics } => {
                self.reports += 1;
                self.peer(&peer)?.statistics = statistics;
                Ok(())
            }
            Message::RouteMirroring { .. } => Ok(()),
        }
    }

    /// It is of a peer that is not up.
    fn is_of_nobody(&mut self, message: &Message<'_>) -> bool {
        match message {
            Message::RouteMonitoring { peer, .. }
            | Message::Statistics { peer, .. }
            | Message::PeerDown { peer, .. }
            | Message::RouteMirroring { peer, .. } => self.peer(peer).is_err(),
            Message::PeerUp { .. } | Message::Initiation(_) | Message::Termination(_) => false,
        }
    }

    fn peer(&mut self, peer: &PeerHeader) -> Result<&mut PeerPicture, String> {
        let known = match peer.rib {
            Rib::LocRib => self.loc_rib.as_mut(),
            Rib::AdjRibInPre | Rib::AdjRibInPost | Rib::AdjRibOutPre | Rib::AdjRibOutPost => {
                self.peers.get_mut(&peer.address)
            }
        };
        let known = known.ok_or_else(|| format!("{} is not up", peer.address))?;
        let same = |header: &PeerHeader| (header.asn, header.identifier);
        if same(&known.header) != same(peer) {
            return Err(format!("{} is somebody else", peer.address));
        }
        Ok(known)
    }

    fn up(&mut self, header: PeerHeader, up: &PeerUp<'_>) -> Result<(), String> {
        if self.peer(&header).is_ok() {
            return Err(format!("{} is up already", header.address));
        }
        let peer = PeerPicture {
            header,
            sent: open(up.sent)?,
            received: open(up.received)?,
            tables: BTreeMap::new(),
            statistics: Vec::new(),
        };
        if peer.received.asn != header.asn || peer.received.identifier != header.identifier {
            return Err(format!("{}: not who its OPEN says", header.address));
        }
        if header.rib == Rib::LocRib {
            // RFC 9069 §5.2.1.
            if text(&up.information, 3).as_deref() != Some("global") {
                return Err("the Loc-RIB has no name".to_owned());
            }
            self.loc_rib = Some(peer);
        } else {
            self.peers.insert(header.address, peer);
        }
        Ok(())
    }

    fn down(&mut self, header: &PeerHeader, reason: &Down<'_>) -> Result<(), String> {
        self.peer(header)?;
        let number = match reason {
            Down::LocalNotification(_) => 1,
            Down::LocalEvent(_) => 2,
            Down::RemoteNotification(_) => 3,
            Down::Remote => 4,
            Down::DeConfigured => 5,
            Down::LocRib(_) => 6,
        };
        if (header.rib == Rib::LocRib) != (number == 6) {
            return Err(format!("reason {number} is not for {header:?}"));
        }
        if header.rib == Rib::LocRib {
            self.loc_rib = None;
        } else {
            self.peers.remove(&header.address);
        }
        self.downs.push((header.address, number));
        Ok(())
    }
}

impl PeerPicture {
    fn update(&mut self, header: &PeerHeader, message: &[u8]) -> Result<(), String> {
        let frame = next_frame(message, MAX_EXTENDED);
        let frame = frame.map_err(|reset| format!("{reset:?}"))?;
        let frame = frame.filter(|frame| frame.kind == Kind::Update);
        let body = frame.ok_or("what is monitored is no UPDATE")?.body;
        let context = DecodeContext {
            four_octet_as: !header.two_octet_as,
            aigp: true,
            families: PerFamily {
                ipv4: true,
                ipv6: true,
            },
            add_path: self.add_path(header.rib),
            extended_next_hop: true,
            ..DecodeContext::default()
        };
        let update = decode(body, &context).map_err(|reset| format!("{reset:?}"))?;
        if update.treat_as_withdraw || !update.faults.is_empty() {
            return Err(format!("of {}: {:?}", header.address, update.faults));
        }
        let table = self.tables.entry(header.rib).or_default();
        table.complete.extend(update.end_of_rib);
        for nlri in &update.withdrawn {
            for key in prefixes(*nlri) {
                table.routes.remove(&key);
            }
        }
        for (next_hop, nlri) in &update.announced {
            let mut attributes = update.attributes.clone().ok_or("no attributes")?;
            attributes.next_hop = *next_hop;
            for key in prefixes(*nlri) {
                table.routes.insert(key, attributes.clone());
            }
        }
        Ok(())
    }

    /// Whether there are Path Identifiers, as the OPENs say (RFC 7911 §4).
    fn add_path(&self, rib: Rib) -> PerFamily<bool> {
        let (from, to) = match rib {
            Rib::AdjRibInPre | Rib::AdjRibInPost => (&self.received, &self.sent),
            Rib::AdjRibOutPre | Rib::AdjRibOutPost => (&self.sent, &self.received),
            Rib::LocRib => return PerFamily::default(),
        };
        let mode = |open: &Open, family: Family| {
            let rows = open.capabilities.iter().find_map(|capability| {
                if let Capability::AddPath(rows) = capability {
                    Some(rows.clone())
                } else {
                    None
                }
            });
            let family = Afi::from(family);
            let rows = rows.unwrap_or_default();
            rows.iter()
                .find(|(of, _)| *of == family)
                .map(|(_, mode)| *mode)
        };
        let flows = |family| {
            let sends = matches!(
                mode(from, family),
                Some(AddPathMode::Send | AddPathMode::Both)
            );
            let takes = matches!(
                mode(to, family),
                Some(AddPathMode::Receive | AddPathMode::Both)
            );
            sends && takes
        };
        PerFamily {
            ipv4: flows(Family::Ipv4Unicast),
            ipv6: flows(Family::Ipv6Unicast),
        }
    }
}

fn open(message: &[u8]) -> Result<Open, String> {
    let frame = next_frame(message, MAX_EXTENDED).map_err(|reset| format!("{reset:?}"))?;
    let frame = frame.filter(|frame| frame.kind == Kind::Open);
    let body = frame.ok_or("what should be an OPEN is none")?.body;
    Open::decode(body).map_err(|reset| format!("{reset:?}"))
}

fn prefixes(nlri: Nlri<'_>) -> Vec<(IpNet, u32)> {
    let v4 = nlri.iter::<Ipv4Prefix>().map(|(id, p)| (p.into(), id));
    v4.chain(nlri.iter::<Ipv6Prefix>().map(|(id, p)| (p.into(), id)))
        .collect()
}

fn text(tlvs: &[Tlv<'_>], kind: u16) -> Option<String> {
    let tlv = tlvs.iter().find(|tlv| tlv.kind == kind)?;
    std::str::from_utf8(tlv.value).ok().map(str::to_owned)
}
