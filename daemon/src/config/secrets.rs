//! Keys of TCP: `password`, `password-file` (RFC 2385) and `tcp-ao` (RFC 5925).

use std::io::Read as _;
use std::path::Path;

use speaker::config::{AoAlgorithm, Secret, TcpAo};

use super::reader::{Reader, Wrong};
use super::report::Report;
use super::tree::{At, Node, Value};
use super::values::{Parsed, number, text, word};

/// TCP takes no more octets (`TCP_MD5SIG_MAXKEYLEN`, `TCP_AO_MAXKEYLEN`).
const PASSWORD_MAX: usize = 80;
/// Octets read of a password's file: more cannot be a password.
const PASSWORD_FILE_MAX: u64 = 1024;
/// Others may read the file of a password if it has one of these bits.
const MODE_OTHERS: u32 = 0o007;
/// Keys that stand for each other: whoever has one inherits none of them.
pub(super) const PASSWORDS: [&str; 3] = ["password", "password-file", "tcp-ao"];
/// Likewise.
pub(super) const PROBE_PASSWORDS: [&str; 2] = ["probe-password", "probe-password-file"];
/// The KeyID of both directions if the configuration does not say.
const AO_ID: u8 = 1;

pub(super) const AO_ALGORITHMS: &[(&str, AoAlgorithm)] = &[
    ("hmac-sha-1-96", AoAlgorithm::HmacSha1),
    ("aes-128-cmac-96", AoAlgorithm::Aes128Cmac),
];

pub(super) fn password(reader: &Reader<'_>) -> Option<Secret> {
    password_of(reader, ["password", "password-file"])
}

/// `probe-password` and `probe-password-file` (RFC 8762 §4.4).
pub(super) fn probe_password(reader: &Reader<'_>) -> Option<Secret> {
    password_of(reader, PROBE_PASSWORDS)
}

/// A password, or the file that has it.
fn password_of(reader: &Reader<'_>, [plain, file]: [&'static str; 2]) -> Option<Secret> {
    let given = reader.read(plain, |node| secret(text(node)?.into_bytes()));
    let kept = reader.read(file, |node| {
        let path = text(node)?;
        let path = Path::new(&path);
        let mut octets = Vec::new();
        let opened = std::fs::File::open(path);
        opened
            .and_then(|file| file.take(PASSWORD_FILE_MAX).read_to_end(&mut octets))
            .map_err(|error| {
                let instead = "write the path of a file that windrosed may read";
                Wrong::new(
                    format!("{} cannot be read: {error}", path.display()),
                    instead,
                )
            })?;
        let end = octets
            .iter()
            .rposition(|octet| !b"\r\n".contains(octet))
            .map_or(0, |last| last + 1);
        secret(octets.into_iter().take(end).collect())
    });
    if let (
        Some(_),
        Some((
            at,
            Node {
                value: Value::Text(path),
                ..
            },
        )),
    ) = (&kept, reader.table.get(file))
    {
        check_mode(path, at, reader.report);
    }
    if reader.table.contains_key(plain) && reader.table.contains_key(file) {
        let what = format!("there are both `{plain}` and `{file}`");
        reader.error(file, &what, "keep one of them");
    }
    given.or(kept)
}

/// RFC 5925. Where the kernel has none of it, that is a mistake like any other: nobody is to believe otherwise.
pub(super) fn tcp_ao(reader: &Reader<'_>) -> Option<TcpAo> {
    let ao = read_tcp_ao(reader);
    if ao.is_some()
        && let Some(error) = crate::gate::ao_refusal()
    {
        let instead = "take `password` (TCP MD5), or a Linux of 6.7 or later with CONFIG_TCP_AO";
        let what = format!("this kernel has no TCP-AO (RFC 5925): {error}");
        reader.error("tcp-ao", &what, instead);
    }
    ao
}

pub(super) fn read_tcp_ao(reader: &Reader<'_>) -> Option<TcpAo> {
    let table = reader.table("tcp-ao")?;
    let key = password(&table);
    if !PASSWORDS.iter().any(|key| table.table.contains_key(*key)) {
        let instead = "write `password = \"…\"`, or `password-file`";
        reader.report.missing(&table.at, "password", instead);
    }
    let id = |key| table.read(key, number(0..=255));
    let (send_id, receive_id) = (id("send-id"), id("receive-id"));
    let algorithm = table.read("algorithm", word(AO_ALGORITHMS));
    table.finish();
    let has = |key: &str| reader.table.contains_key(key);
    if has("password") || has("password-file") {
        let what = "a session has TCP MD5 or TCP-AO, not both";
        reader.error(
            "tcp-ao",
            what,
            "take `tcp-ao` or the password beside it out",
        );
    }
    Some(TcpAo {
        key: key?,
        send_id: send_id.unwrap_or(AO_ID),
        receive_id: receive_id.unwrap_or(AO_ID),
        algorithm: algorithm.unwrap_or(AoAlgorithm::HmacSha1),
    })
}

fn secret(octets: Vec<u8>) -> Parsed<Secret> {
    if octets.is_empty() {
        return Err(Wrong::new(
            "the password is empty",
            "write one, or take the key out",
        ));
    }
    if octets.len() > PASSWORD_MAX {
        let what = format!(
            "the password has {} octets, TCP takes {PASSWORD_MAX}",
            octets.len()
        );
        return Err(Wrong::new(
            what,
            format!("agree with the peer on one of at most {PASSWORD_MAX}"),
        ));
    }
    Ok(Secret(octets))
}

fn check_mode(path: &str, at: &At, report: &Report) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & MODE_OTHERS != 0 {
        let instead = format!("chmod o= {path}");
        report.error(
            at.clone(),
            &format!("everybody may read or change {path}"),
            &instead,
        );
    }
}
