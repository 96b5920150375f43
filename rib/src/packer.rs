//! Packing: routes and withdrawals of one batch become as few UPDATEs as will hold them.
//!
//! A route is exported once for each attribute set and source in the batch, not once a prefix, and prefixes whose
//! exported attributes are equal share messages, wherever the routes came from.

use std::hash::BuildHasher;
use std::net::Ipv4Addr;

use bgp_core::attributes::{Community, NextHop};
use bgp_core::update::{announce, encode_attributes, withdraw};
use bgp_core::{Attributes, Prefix};
use bytes::{Bytes, BytesMut};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::attribute_store::{AttrId, Has};
use crate::export::{View, WayThere, mark};
use crate::group::Segment;
use crate::peer::PeerId;
use crate::policy::Verdict;
use crate::rib::Core;
use crate::tally::Spoken;

/// Octets of a message that are neither attributes of [`encode_attributes`] nor more than one prefix: header, lengths,
/// NEXT_HOP or MP_REACH_NLRI with two addresses, the longest prefix. Attributes that leave less are not announced.
pub(crate) const MESSAGE_OVERHEAD: usize = 19 + 4 + 4 + 5 + 32 + 21;

/// Refers to exported attributes within a batch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct BlockId(u32);

#[derive(Debug)]
struct Block {
    start: usize,
    end: usize,
    next_hop: NextHop,
}

#[derive(Debug)]
struct Announced<P> {
    /// Sorted by; `u32::MAX` where it is for all.
    except: u32,
    block: BlockId,
    /// The Path Identifier, where there is one (RFC 7911 §3).
    path: u32,
    prefix: P,
    /// Who is left out had been told another's route.
    instead: bool,
}

/// What an export came to, for an attribute set of a source.
type Memo = (AttrId, PeerId, Option<BlockId>);

/// Collects a batch.
#[derive(Debug)]
pub(crate) struct Packer<P> {
    /// Encoded attributes, one after the other.
    arena: Vec<u8>,
    blocks: Vec<Block>,
    by_content: HashTable<u32>,
    memo: HashTable<Memo>,
    last: Option<Memo>,
    announced: Vec<Announced<P>>,
    withdrawn: Vec<(u32, (u32, P))>,
    /// For one member alone, sorted by: it is told a route, or a withdrawal.
    only: Vec<(u32, Option<BlockId>, (u32, P))>,
    hasher: FixedState,
    out: BytesMut,
    /// Attribute sets written so far.
    #[cfg(test)]
    pub(crate) encodings: usize,
}

impl<P: Prefix> Packer<P> {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            arena: Vec::new(),
            blocks: Vec::new(),
            by_content: HashTable::new(),
            memo: HashTable::new(),
            last: None,
            announced: Vec::new(),
            withdrawn: Vec::new(),
            only: Vec::new(),
            hasher: FixedState::with_seed(seed),
            out: BytesMut::new(),
            #[cfg(test)]
            encodings: 0,
        }
    }

    /// What `view` is told of a route; `None`: nothing.
    pub(crate) fn export(
        &mut self,
        core: &Core,
        view: &View,
        (attrs, source): (AttrId, PeerId),
        prefix: P,
    ) -> Option<BlockId> {
        if !view.loc_rib && core.is_suppressed(source, prefix) {
            return None;
        }
        let chain = view.chain.as_ref();
        let shared = view.loc_rib || chain.is_some_and(|c| !c.looks_at_prefix());
        if !shared {
            let exported = exported(core, view, (attrs, source), prefix)?;
            return self.block(&exported, view);
        }
        if let Some((a, s, block)) = self.last
            && (a, s) == (attrs, source)
        {
            return block;
        }
        let hash = self.hasher.hash_one((attrs.0, source.0));
        let known = self
            .memo
            .find(hash, |(a, s, _)| (*a, *s) == (attrs, source));
        let memo = match known {
            Some(memo) => *memo,
            None => {
                let exported = exported(core, view, (attrs, source), prefix);
                let block = exported.and_then(|exported| self.block(&exported, view));
                if core.store.aigp_depends(attrs) {
                    return block;
                }
                let memo = (attrs, source, block);
                let hasher = &self.hasher;
                self.memo
                    .insert_unique(hash, memo, |(a, s, _)| hasher.hash_one((a.0, s.0)));
                memo
            }
        };
        self.last = Some(memo);
        memo.2
    }

    /// A route is told to all but `except`, which gets a withdrawal if it had been told another. The prefix comes
    /// with its Path Identifier, which is written only where the view has them.
    pub(crate) fn announce(
        &mut self,
        except: Option<PeerId>,
        block: BlockId,
        (path, prefix): (u32, P),
        instead: bool,
    ) {
        self.announced.push(Announced {
            except: except.map_or(u32::MAX, |peer| peer.0),
            block,
            path,
            prefix,
            instead,
        });
    }

    /// A route is withdrawn from all but `except`.
    pub(crate) fn withdraw(&mut self, except: Option<PeerId>, (path, prefix): (u32, P)) {
        let except = except.map_or(u32::MAX, |peer| peer.0);
        self.withdrawn.push((except, (path, prefix)));
    }

    /// One member alone is told a route, or its withdrawal.
    pub(crate) fn tell_only(&mut self, member: PeerId, block: Option<BlockId>, prefix: (u32, P)) {
        self.only.push((member.0, block, prefix));
    }

    /// Writes the messages, and begins anew.
    pub(crate) fn finish(&mut self, view: &View) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut withdrawn = std::mem::take(&mut self.withdrawn);
        withdrawn.sort_by_key(|(except, _)| *except);
        for part in withdrawn.chunk_by(|a, b| a.0 == b.0) {
            let prefixes = part.iter().map(|(_, prefix)| *prefix);
            withdraw(prefixes, &view.encode, &mut self.out);
            let except = part.first().map(|(except, _)| *except);
            segments.push(Segment {
                bytes: self.out.split().freeze(),
                except: only(except),
                instead: Bytes::new(),
                spoken: withdrawals(part.len()),
                spoken_instead: Spoken::default(),
            });
        }
        let mut announced = std::mem::take(&mut self.announced);
        announced.sort_by_key(|a| (a.except, a.block));
        for part in announced.chunk_by(|a, b| a.except == b.except) {
            for shared in part.chunk_by(|a, b| a.block == b.block) {
                self.write(shared, view);
            }
            let bytes = self.out.split().freeze();
            let instead = part
                .iter()
                .filter(|a| a.instead)
                .map(|a| (a.path, a.prefix));
            withdraw(instead, &view.encode, &mut self.out);
            segments.push(Segment {
                bytes,
                except: only(part.first().map(|a| a.except)),
                instead: self.out.split().freeze(),
                spoken: routes(part.len()),
                spoken_instead: withdrawals(part.iter().filter(|a| a.instead).count()),
            });
        }
        self.finish_only(view, &mut segments);
        withdrawn.clear();
        announced.clear();
        (self.withdrawn, self.announced) = (withdrawn, announced);
        self.begin();
        segments
    }

    /// Forgets what was exported: another batch, or another view.
    fn begin(&mut self) {
        self.arena.clear();
        self.blocks.clear();
        self.by_content.clear();
        self.memo.clear();
        self.last = None;
    }

    fn finish_only(&mut self, view: &View, segments: &mut Vec<Segment>) {
        let mut only = std::mem::take(&mut self.only);
        only.sort_by_key(|(member, block, _)| (*member, *block));
        for part in only.chunk_by(|a, b| a.0 == b.0) {
            for shared in part.chunk_by(|a, b| a.1 == b.1) {
                let prefixes = shared.iter().map(|(.., prefix)| *prefix);
                match shared.first() {
                    Some((_, Some(block), _)) => self.write_block(*block, prefixes, view),
                    Some((_, None, _)) | None => withdraw(prefixes, &view.encode, &mut self.out),
                }
            }
            let told = part.iter().filter(|(_, block, _)| block.is_some()).count();
            segments.push(Segment {
                bytes: Bytes::new(),
                except: part.first().map(|(member, ..)| PeerId(*member)),
                instead: self.out.split().freeze(),
                spoken: Spoken::default(),
                spoken_instead: Spoken {
                    withdrawn: withdrawals(part.len() - told).withdrawn,
                    ..routes(told)
                },
            });
        }
        only.clear();
        self.only = only;
    }

    fn write(&mut self, shared: &[Announced<P>], view: &View) {
        if let Some(first) = shared.first() {
            let prefixes = shared.iter().map(|a| (a.path, a.prefix));
            self.write_block(first.block, prefixes, view);
        }
    }

    fn write_block(
        &mut self,
        block: BlockId,
        prefixes: impl Iterator<Item = (u32, P)>,
        view: &View,
    ) {
        let Some(block) = self.blocks.get(block.0 as usize) else {
            return;
        };
        let octets = self.arena.get(block.start..block.end).unwrap_or_default();
        // It fits: see `MESSAGE_OVERHEAD`.
        let _ = announce(
            octets,
            block.next_hop,
            prefixes,
            &view.encode(octets.len()),
            &mut self.out,
        );
    }

    fn block(&mut self, attributes: &Attributes, view: &View) -> Option<BlockId> {
        #[cfg(test)]
        {
            self.encodings += 1;
        }
        let start = self.arena.len();
        encode_attributes(attributes, view.encode.four_octet_as, &mut self.arena);
        let (before, new) = self.arena.split_at_checked(start)?;
        if new.len() + MESSAGE_OVERHEAD > view.encode(new.len()).max_message {
            self.arena.truncate(start);
            return None;
        }
        let next_hop = attributes.next_hop;
        let (blocks, hasher) = (&self.blocks, &self.hasher);
        let content = |block: &Block| (before.get(block.start..block.end), block.next_hop);
        let hash = hasher.hash_one((new, next_hop));
        let same = |id: &u32| {
            let block = blocks.get(*id as usize);
            block.is_some_and(|b| content(b) == (Some(new), next_hop))
        };
        if let Some(&id) = self.by_content.find(hash, same) {
            self.arena.truncate(start);
            return Some(BlockId(id));
        }
        let id = u32::try_from(blocks.len()).ok()?;
        self.by_content.insert_unique(hash, id, |id| {
            let block = blocks.get(*id as usize).map(content);
            block.map_or(0, |(octets, next_hop)| {
                hasher.hash_one((octets.unwrap_or_default(), next_hop))
            })
        });
        let end = self.arena.len();
        self.blocks.push(Block {
            start,
            end,
            next_hop,
        });
        Some(BlockId(id))
    }
}

/// The attributes with which `view` is told a route; `None`: it is not told.
pub(crate) fn exported<P: Prefix>(
    core: &Core,
    view: &View,
    (attrs, source): (AttrId, PeerId),
    prefix: P,
) -> Option<Attributes> {
    if view.loc_rib {
        let mut attributes = core.store.attributes(attrs)?;
        attributes.next_hop = as_station_reads(attributes.next_hop, core.config.identifier);
        return Some(attributes);
    }
    let facts = core.store.facts(attrs)?;
    let source = core.peers.get(source)?.source;
    let chain = view.chain.as_ref().filter(|chain| !chain.is_reject_all())?;
    if !view.admits(facts, &source) {
        return None;
    }
    let mut attributes = core.store.attributes(attrs)?;
    let chosen = attributes.next_hop;
    view.before_policy(&mut attributes, &source);
    if !chain.is_accept_all() {
        let context = view.context(prefix.into(), &source, facts.tag);
        let verdict = core.policies.evaluate(chain, &context, &mut attributes);
        if verdict == Verdict::Reject {
            return None;
        }
    }
    if facts.has(Has::LlgrStale) {
        // RFC 9494 §4.3: policy cannot take it off.
        mark(&mut attributes, Community::LLGR_STALE);
    }
    let way = WayThere {
        cost: core.store.cost(attrs, prefix).unwrap_or_default(),
        rate: core.store.rate(attrs),
    };
    let has_next_hop = view.after_policy(&mut attributes, &source, chosen, way);
    // RFC 9774 §3: nobody is told a path with an AS_SET.
    (has_next_hop && !attributes.as_path.has_set()).then_some(attributes)
}

/// Routes of our own have our identifier as their next hop where a station reads them: an unspecified one would be
/// malformed (RFC 4271 §6.3).
pub(crate) fn as_station_reads(next_hop: NextHop, ourselves: Ipv4Addr) -> NextHop {
    match next_hop {
        NextHop::V4(address) if address.is_unspecified() => NextHop::V4(ourselves),
        NextHop::V6(address) if address.is_unspecified() => NextHop::V6(ourselves.to_ipv6_mapped()),
        NextHop::V4(_) | NextHop::V6(_) | NextHop::V6WithLinkLocal(..) => next_hop,
    }
}

fn only(except: Option<u32>) -> Option<PeerId> {
    except.filter(|peer| *peer != u32::MAX).map(PeerId)
}

fn routes(told: usize) -> Spoken {
    Spoken {
        told: u32::try_from(told).unwrap_or(u32::MAX),
        withdrawn: 0,
    }
}

fn withdrawals(withdrawn: usize) -> Spoken {
    Spoken {
        told: 0,
        withdrawn: u32::try_from(withdrawn).unwrap_or(u32::MAX),
    }
}

/// The segments as `member` gets them.
pub(crate) fn for_member(segments: Vec<Segment>, member: PeerId) -> impl Iterator<Item = Bytes> {
    let own = move |segment: Segment| {
        if segment.except == Some(member) {
            segment.instead
        } else {
            segment.bytes
        }
    };
    segments.into_iter().map(own).filter(|b| !b.is_empty())
}
