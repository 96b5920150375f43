//! A peer in words: what `peer add` and `peer update` send, which is TOML as under `[[peer]]`.

use std::fmt::Write as _;

use toml::Value;

use crate::args::PeerSpec;
use crate::client::Failure;
use crate::inject::read_file;

/// The keys of the peer: those of the file, or those of the words.
pub(super) fn config(spec: &PeerSpec) -> Result<String, Failure> {
    if let Some(file) = &spec.file {
        return read_file(file).map_err(Failure::refused);
    }
    let mut text = String::new();
    let mut put = |key: &str, value: Value| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key} = {value}");
    };
    if let Some(peer) = &spec.peer {
        put("address", peer.as_str().into());
    }
    if let Some(asn) = spec.asn {
        put("asn", i64::from(asn).into());
    }
    if let Some(group) = &spec.group {
        put("group", group.as_str().into());
    }
    for (key, policies) in [("import", &spec.import), ("export", &spec.export)] {
        if !policies.is_empty() {
            put(key, policies.clone().into());
        }
    }
    for set in &spec.set {
        let (key, value) = set.split_once('=').ok_or_else(|| {
            Failure::refused(format!("--set {set}: write KEY=VALUE, as in hold-time=30s"))
        })?;
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(Failure::refused(format!("--set {set}: `{key}` is no key")));
        }
        put(key, value_of(value.trim()));
    }
    Ok(text)
}

/// As TOML has it; what is no TOML is a text.
fn value_of(text: &str) -> Value {
    let parsed = toml::from_str::<toml::Table>(&format!("v = {text}"));
    let value = parsed.ok().filter(|table| table.len() == 1);
    let value = value.and_then(|mut table| table.remove("v"));
    value.unwrap_or_else(|| text.into())
}

#[cfg(test)]
mod tests;
