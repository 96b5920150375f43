//! What a member knows that comes from another group.

/// What a walker may know from another group: what the walk does not tell of that, it withdraws.
#[derive(Debug, Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    /// By net.
    Nets(Vec<bool>),
    /// By net, the largest Path Identifier.
    Paths(Vec<u32>),
}

impl Known {
    /// The largest Path Identifier that it may know of a net; without any, 1 if it may know the net.
    pub(super) fn of(&self, net: u32) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Nets(nets) => nets.get(net as usize).copied().unwrap_or_default().into(),
            Self::Paths(numbers) => numbers.get(net as usize).copied().unwrap_or_default(),
        }
    }

    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}
