//! `[redistribute]`: what of the kernel's routes and addresses peers are to hear.

/// `[redistribute]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Redistribute {
    /// Prefixes of our interfaces.
    pub connected: Option<RedistributeConnected>,
    /// Routes that others put into the kernel.
    pub kernel: Option<RedistributeKernel>,
}

/// `connected`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedistributeConnected {
    /// Of which interfaces.
    pub interfaces: Interfaces,
    /// What policy lets through.
    pub policy: String,
}

/// `kernel`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedistributeKernel {
    /// The protocol numbers of routes that are taken; in order, none twice. Ours and BGP's never are.
    pub protocols: Vec<u8>,
    /// The kernel's table.
    pub table: u32,
    /// Over which interfaces they lead.
    pub interfaces: Interfaces,
    /// What policy lets through.
    pub policy: String,
}

impl Redistribute {
    /// The policies that it names.
    pub fn policies(&self) -> impl Iterator<Item = &String> {
        let connected = self.connected.iter().map(|connected| &connected.policy);
        connected.chain(self.kernel.iter().map(|kernel| &kernel.policy))
    }

    /// Whether anything is redistributed.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.connected.is_some() || self.kernel.is_some()
    }
}

/// Names of interfaces by patterns: `*` stands for any text, `?` for one octet; with `!` in front, a pattern excludes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Interfaces(pub Vec<String>);

impl Interfaces {
    /// Whether a name is among them: no pattern excludes it, and one fits it, or there is none but those that exclude.
    #[must_use]
    pub fn contain(&self, name: &str) -> bool {
        let fits = |pattern: &str| fits(pattern.as_bytes(), name.as_bytes());
        let excluding = self
            .0
            .iter()
            .filter_map(|pattern| pattern.strip_prefix('!'));
        let mut including = self.0.iter().filter(|pattern| !pattern.starts_with('!'));
        let mut excluding = excluding.map(fits);
        if excluding.any(|fits| fits) {
            return false;
        }
        let none = including.clone().next().is_none();
        none || including.any(|pattern| fits(pattern))
    }

    /// Whether there is no pattern: then any interface will do, and none too.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.0.is_empty()
    }
}

/// In time of at most the product of the lengths: a `*` is tried again only from the last one on.
fn fits(mut pattern: &[u8], mut name: &[u8]) -> bool {
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (Some((b'*', rest)), _) => {
                pattern = rest;
                star = Some((rest, name));
            }
            (Some((p, after)), Some((n, rest))) if *p == b'?' || p == n => {
                (pattern, name) = (after, rest);
            }
            (None, None) => return true,
            (Some(_) | None, _) => {
                let Some((after, from)) = star else {
                    return false;
                };
                let Some((_, from)) = from.split_first() else {
                    return false;
                };
                star = Some((after, from));
                (pattern, name) = (after, from);
            }
        }
    }
}

#[cfg(test)]
mod tests;
