//! AS_PATH (RFC 4271 §4.3 b, RFC 5065 §3): segments of AS numbers, kept as they travel.

use std::fmt::{self, Write};
use std::str::FromStr;

use nom::Parser;
use smallvec::SmallVec;

use crate::open::AS_TRANS;
use crate::wire::{be_u8, take};

/// Most AS numbers in a segment: its count is one octet.
const MAX_COUNT: usize = 255;

/// An AS path: segments, each a type, a count and its AS numbers of four octets (RFC 6793 §4.1).
///
/// It holds nothing but whole segments of known types, none of them empty; so its readers need not fail.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct AsPath(SmallVec<[u8; 36]>);

/// One segment of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment<'a> {
    /// What it is.
    pub kind: SegmentKind,
    octets: &'a [[u8; 4]],
}

/// The segment types (RFC 4271 §4.3 b, RFC 5065 §3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SegmentKind {
    /// 1, AS_SET: in no order.
    Set,
    /// 2, AS_SEQUENCE: in order, the last to have passed it on first.
    Sequence,
    /// 3, AS_CONFED_SEQUENCE: Member ASes of our confederation, in order.
    ConfedSequence,
    /// 4, AS_CONFED_SET: Member ASes of our confederation, in no order.
    ConfedSet,
}

impl AsPath {
    /// A path of one AS_SEQUENCE (more if it is longer than a segment can be).
    pub fn sequence(asns: impl IntoIterator<Item = u32>) -> Self {
        let asns: SmallVec<[u32; 16]> = asns.into_iter().collect();
        let mut path = Self::default();
        for chunk in asns.chunks(MAX_COUNT) {
            path.push(SegmentKind::Sequence, chunk);
        }
        path
    }

    /// Appends a segment, or more if it has over 255 members. An empty one is not written (RFC 7606 §7.2).
    pub fn push(&mut self, kind: SegmentKind, asns: &[u32]) {
        for chunk in asns.chunks(MAX_COUNT) {
            self.open_segment(kind, chunk.len());
            for asn in chunk {
                self.0.extend_from_slice(&asn.to_be_bytes());
            }
        }
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> Segments<'_> {
        Segments(&self.0)
    }

    /// All AS numbers in order, those of sets and of confederation segments too.
    pub fn asns(&self) -> impl Iterator<Item = u32> {
        self.segments().flat_map(Segment::asns)
    }

    /// Whether it has no segment, as on a route that its own AS originated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How long the decision process takes it to be: a set counts one (RFC 4271 §9.1.2.2 a),
    /// confederation segments nothing (RFC 5065 §5.3).
    #[must_use]
    pub fn len_for_decision(&self) -> usize {
        self.segments().map(Segment::len_for_decision).sum()
    }

    /// Whether `asn` is anywhere in it.
    #[must_use]
    pub fn contains(&self, asn: u32) -> bool {
        self.asns().any(|a| a == asn)
    }

    /// Whether it has AS_CONFED_SEQUENCE or AS_CONFED_SET segments.
    #[must_use]
    pub fn has_confederation(&self) -> bool {
        self.segments().any(|s| s.kind.is_confederation())
    }

    /// Whether it has AS_SET or AS_CONFED_SET segments (RFC 9774).
    #[must_use]
    pub fn has_set(&self) -> bool {
        self.segments().any(|s| s.kind.is_set())
    }

    /// The AS that the route came from: the leftmost of the first segment behind any confederation segments,
    /// if that is an AS_SEQUENCE (RFC 4271 §9.1.2.2 c).
    #[must_use]
    pub fn neighbor_as(&self) -> Option<u32> {
        let mut outside = self.segments().filter(|s| !s.kind.is_confederation());
        let first = outside.next()?;
        (first.kind == SegmentKind::Sequence).then(|| first.asns().next())?
    }

    /// The leftmost AS, if it is in an AS_SEQUENCE: an external peer's own (RFC 4271 §5.1.2 b).
    #[must_use]
    pub fn first_as(&self) -> Option<u32> {
        let first = self.segments().next()?;
        (first.kind == SegmentKind::Sequence).then(|| first.asns().next())?
    }

    /// The AS that originated the route: the rightmost, if it is in an AS_SEQUENCE.
    #[must_use]
    pub fn origin_as(&self) -> Option<u32> {
        let last = self.segments().last()?;
        (last.kind == SegmentKind::Sequence).then(|| last.asns().last())?
    }

    /// Puts `asn` in front, `count` times, as RFC 4271 §5.1.2 b has it: into the first AS_SEQUENCE
    /// as long as it has room, else into a new one.
    pub fn prepend(&mut self, asn: u32, count: usize) {
        self.prepend_to(SegmentKind::Sequence, asn, count);
    }

    /// The same inside our confederation, into an AS_CONFED_SEQUENCE (RFC 5065 §4 b).
    pub fn prepend_confederation(&mut self, asn: u32) {
        self.prepend_to(SegmentKind::ConfedSequence, asn, 1);
    }

    /// The path as other ASes may see it: without confederation segments (RFC 5065 §4 c).
    #[must_use]
    pub fn without_confederation(&self) -> Self {
        let mut path = Self::default();
        for segment in self.segments().filter(|s| !s.kind.is_confederation()) {
            path.push_segment(segment);
        }
        path
    }

    /// The path with each AS number as `change` has it; `None` takes it out, and with the last one its segment.
    #[must_use]
    pub fn map(&self, change: impl Fn(u32) -> Option<u32>) -> Self {
        let mut path = Self::default();
        for segment in self.segments() {
            let asns: SmallVec<[u32; 16]> = segment.asns().filter_map(&change).collect();
            path.push(segment.kind, &asns);
        }
        path
    }

    /// Its segments as they travel to a peer that knows AS numbers of four octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// Reads an AS_PATH or AS4_PATH. `None` if it is malformed (RFC 7606 §7.2): a segment type nobody knows, a segment
    /// that is empty or runs past the end; or if AS 0 is in it (RFC 7607 §2).
    pub(crate) fn decode(value: &[u8], four_octet_as: bool) -> Option<Self> {
        let mut path = Self::default();
        let width = if four_octet_as { 4 } else { 2 };
        let mut rest = value;
        while !rest.is_empty() {
            let (after, (kind, count)) = (be_u8::<_, ()>, be_u8).parse(rest).ok()?;
            let (after, asns) = take::<_, _, ()>(usize::from(count) * width)(after).ok()?;
            rest = after;
            SegmentKind::from_number(kind).filter(|_| count > 0)?;
            if four_octet_as {
                if asns.as_chunks().0.contains(&[0_u8; 4]) {
                    return None;
                }
            } else {
                let (asns, _) = asns.as_chunks();
                path.0.extend_from_slice(&[kind, count]);
                for &[high, low] in asns {
                    if [high, low] == [0, 0] {
                        return None;
                    }
                    path.0.extend_from_slice(&[0, 0, high, low]);
                }
            }
        }
        if four_octet_as {
            path.0 = SmallVec::from_slice(value);
        }
        Some(path)
    }

    /// What AS_TRANS hides from a peer of two octets is given back by its AS4_PATH (RFC 6793 §4.2.3): the leading part
    /// that `as4` lacks, by the count of the decision process, and then `as4`. Confederation segments within or next
    /// to that part stay.
    pub(crate) fn merge(self, as4: &Self) -> Self {
        let as4 = as4.without_confederation();
        let Some(mut lead) = self.len_for_decision().checked_sub(as4.len_for_decision()) else {
            return self;
        };
        let mut path = Self::default();
        let mut last = None;
        for segment in self.segments() {
            if lead == 0 && !segment.kind.is_confederation() {
                break;
            }
            let part = segment.leading(lead);
            lead -= part.len_for_decision();
            last = (part.kind == SegmentKind::Sequence).then_some(path.0.len());
            path.push_segment(part);
            if part.len() < segment.len() {
                break;
            }
        }
        path.join(last, &as4);
        path
    }

    /// Appends `other`; where an AS_SEQUENCE at `last` meets one of `other`, they become one if that is not too long.
    fn join(&mut self, last: Option<usize>, other: &Self) {
        let mut segments = other.segments();
        let seam = segments.next();
        if let Some(first) = seam.filter(|s| s.kind == SegmentKind::Sequence)
            && let Some(count) = last.and_then(|at| self.0.get_mut(at + 1))
            && let Ok(len) = u8::try_from(usize::from(*count) + first.len())
        {
            *count = len;
            self.0.extend_from_slice(first.octets.as_flattened());
            self.0.extend_from_slice(segments.0);
        } else {
            self.0.extend_from_slice(&other.0);
        }
    }

    /// Whether AS numbers of two octets cannot hold it.
    pub(crate) fn needs_four_octets(&self) -> bool {
        self.asns().any(|asn| asn > u32::from(u16::MAX))
    }

    /// Appends it for a peer that knows AS numbers of two octets only (RFC 6793 §4.2.2).
    pub(crate) fn encode_two_octets(&self, out: &mut Vec<u8>) {
        for segment in self.segments() {
            out.push(segment.kind.number());
            out.push(u8::try_from(segment.len()).unwrap_or(u8::MAX));
            for asn in segment.asns() {
                out.extend_from_slice(&u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes());
            }
        }
    }

    /// Appends a segment of another path.
    fn push_segment(&mut self, segment: Segment<'_>) {
        self.open_segment(segment.kind, segment.len());
        self.0.extend_from_slice(segment.octets.as_flattened());
    }

    fn open_segment(&mut self, kind: SegmentKind, count: usize) {
        // Nobody passes more than 255.
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        self.0.extend_from_slice(&[kind.number(), count]);
    }

    fn prepend_to(&mut self, kind: SegmentKind, asn: u32, count: usize) {
        let first = self.segments().next().filter(|s| s.kind == kind);
        let room = first.map_or(0, |s| MAX_COUNT - s.len());
        let joined = count.min(room);
        if joined > 0 {
            if let Some(len) = self.0.get_mut(1) {
                *len = len.saturating_add(u8::try_from(joined).unwrap_or(u8::MAX));
            }
            self.insert(2, asn, joined);
        }
        let mut left = count - joined;
        while left > 0 {
            let new = left.min(MAX_COUNT);
            self.0
                .insert_from_slice(0, &[kind.number(), u8::try_from(new).unwrap_or(u8::MAX)]);
            self.insert(2, asn, new);
            left -= new;
        }
    }

    fn insert(&mut self, at: usize, asn: u32, count: usize) {
        let block = [asn.to_be_bytes(); MAX_COUNT];
        let block = block.get(..count).unwrap_or(&block);
        self.0.insert_from_slice(at, block.as_flattened());
    }
}

/// The segments of a path; see [`AsPath::segments`].
#[derive(Clone, Debug)]
pub struct Segments<'a>(&'a [u8]);

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let (&[kind, count], rest) = self.0.split_first_chunk()?;
        let (asns, rest) = rest.split_at_checked(usize::from(count) * 4)?;
        self.0 = rest;
        let kind = SegmentKind::from_number(kind)?;
        let (octets, _) = asns.as_chunks();
        Some(Segment { kind, octets })
    }
}

impl<'a> Segment<'a> {
    /// Its AS numbers, in order.
    pub fn asns(self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + 'a {
        self.octets.iter().map(|octets| u32::from_be_bytes(*octets))
    }

    /// How many AS numbers it has, `1..=255`.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no segment is empty")]
    pub const fn len(self) -> usize {
        self.octets.len()
    }

    /// The first `count` AS numbers of an AS_SEQUENCE; any other segment is taken whole.
    fn leading(self, count: usize) -> Self {
        match self.octets.get(..count) {
            Some(octets) if self.kind == SegmentKind::Sequence => Self { octets, ..self },
            Some(_) | None => self,
        }
    }

    const fn len_for_decision(self) -> usize {
        match self.kind {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => self.len(),
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        }
    }
}

impl SegmentKind {
    /// The segment type.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Set => 1,
            Self::Sequence => 2,
            Self::ConfedSequence => 3,
            Self::ConfedSet => 4,
        }
    }

    /// The kind of this segment type, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Set),
            2 => Some(Self::Sequence),
            3 => Some(Self::ConfedSequence),
            4 => Some(Self::ConfedSet),
            _ => None,
        }
    }

    /// Whether it lists Member ASes of a confederation.
    #[must_use]
    pub const fn is_confederation(self) -> bool {
        matches!(self, Self::ConfedSequence | Self::ConfedSet)
    }

    const fn is_set(self) -> bool {
        matches!(self, Self::Set | Self::ConfedSet)
    }

    /// What stands before, between and after its AS numbers when people read it.
    const fn marks(self) -> (&'static str, char, &'static str) {
        match self {
            Self::Sequence => ("", ' ', ""),
            Self::Set => ("{", ',', "}"),
            Self::ConfedSequence => ("(", ' ', ")"),
            Self::ConfedSet => ("[", ',', "]"),
        }
    }
}

/// As operators write it: `65001 65002 {65003,65004} (65010)`.
impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments().enumerate() {
            let (before, between, after) = segment.kind.marks();
            if i > 0 {
                f.write_char(' ')?;
            }
            f.write_str(before)?;
            for (j, asn) in segment.asns().enumerate() {
                if j > 0 {
                    f.write_char(between)?;
                }
                write!(f, "{asn}")?;
            }
            f.write_str(after)?;
        }
        Ok(())
    }
}

impl FromStr for AsPath {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let mut path = Self::default();
        let mut rest = s.trim_start();
        while let Some(first) = rest.chars().next() {
            let (kind, close) = match first {
                '{' => (SegmentKind::Set, Some('}')),
                '(' => (SegmentKind::ConfedSequence, Some(')')),
                '[' => (SegmentKind::ConfedSet, Some(']')),
                _ => (SegmentKind::Sequence, None),
            };
            let (inside, after) = match close {
                Some(close) => rest
                    .get(1..)
                    .and_then(|inside| inside.split_once(close))
                    .ok_or_else(|| format!("`{rest}` has no `{close}`"))?,
                None => rest.split_at(rest.find(['{', '(', '[']).unwrap_or(rest.len())),
            };
            let words = inside.split([' ', ',']).filter(|word| !word.is_empty());
            let asns: Result<SmallVec<[u32; 16]>, String> = words.map(parse_asn).collect();
            path.push(kind, &asns?);
            rest = after.trim_start();
        }
        Ok(path)
    }
}

fn parse_asn(word: &str) -> Result<u32, String> {
    word.parse()
        .map_err(|_| format!("`{word}` is no AS number: write 0 to 4294967295"))
}

#[cfg(test)]
mod tests;
