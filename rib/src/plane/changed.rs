//! Which nets a stretch of the journal is about.

use std::ops::Range;

use bgp_core::Prefix;

use crate::journal::{Journal, Version};
use crate::table::{Net, Table};

/// The nets whose last change is in the stretch, in the order of these changes.
pub(super) fn changed<'a, P: Prefix>(
    journal: &'a Journal,
    table: &'a Table<P>,
    stretch: Range<Version>,
) -> impl Iterator<Item = (u32, &'a Net<P>)> {
    stretch.filter_map(move |version| {
        let at = journal.get(version)?;
        let net = table.net(at).filter(|net| net.version == version)?;
        Some((at, net))
    })
}

/// All nets that changed in the stretch. A stale entry counts too, unless its net comes again within the stretch: who is
/// behind may hear of it from nobody else.
pub(super) fn changed_or_stale<'a, P: Prefix>(
    journal: &'a Journal,
    table: &'a Table<P>,
    stretch: Range<Version>,
) -> impl Iterator<Item = (u32, &'a Net<P>)> {
    stretch.clone().filter_map(move |version| {
        let at = journal.get(version)?;
        let comes_again = |v: Version| v != version && stretch.contains(&v);
        let net = table.net(at).filter(|net| !comes_again(net.version))?;
        Some((at, net))
    })
}
