//! Which AllowedIPs are ours, kept over a restart: a device does not say who gave a prefix to a peer. A line is written
//! before a prefix is given, so that a crash leaves none of ours behind that is taken for another's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::wireguard::{Change, Earlier};

/// Devices and their AllowedIPs do not outlive the kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// A larger file is none of ours.
const OCTETS_MAX: u64 = 64 << 20;
/// So many lines more than needed are tolerated.
const SPARE_LINES: usize = 10_000;

#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    boot: String,
    file: Option<File>,
    /// What the file says, by index and name of the device.
    ours: Earlier,
    lines: usize,
}

impl Ledger {
    /// Reads what there is of this boot.
    pub(super) fn open(path: PathBuf) -> Self {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let boot = boot.trim().to_owned();
        let small = fs::metadata(&path).is_ok_and(|file| file.len() <= OCTETS_MAX);
        let text = small.then(|| fs::read_to_string(&path).ok()).flatten();
        let ours = text.map_or(Earlier::new(), |text| parse(&text, &boot));
        Self {
            path,
            boot,
            file: None,
            ours,
            lines: 0,
        }
    }

    /// What an earlier life gave.
    pub(super) fn earlier(&self) -> Earlier {
        self.ours.clone()
    }

    /// A change is about to be made, if it gives, or was made, if it takes.
    pub(super) fn note(&mut self, change: &Change) -> io::Result<()> {
        let device = (change.interface, change.device.clone());
        let ours = self.ours.entry(device).or_default();
        let mut lines = String::new();
        for prefix in &change.prefixes {
            let is_new = match change.remove {
                true => ours.remove(prefix),
                false => ours.insert(*prefix),
            };
            if is_new {
                let sign = if change.remove { '-' } else { '+' };
                line(
                    &mut lines,
                    sign,
                    (change.interface, &change.device),
                    *prefix,
                );
                self.lines += 1;
            }
        }
        let needed: usize = self.ours.values().map(BTreeSet::len).sum();
        if self.file.is_none() || self.lines > needed.saturating_mul(2) + SPARE_LINES {
            return self.write_anew();
        }
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(lines.as_bytes()))
    }

    fn write_anew(&mut self) -> io::Result<()> {
        self.file = None;
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut text = format!("boot {}\n", self.boot);
        self.lines = 0;
        for ((interface, device), prefixes) in &self.ours {
            for prefix in prefixes {
                line(&mut text, '+', (*interface, device), *prefix);
                self.lines += 1;
            }
        }
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path)?;
        self.file = Some(file);
        Ok(())
    }
}

fn line(text: &mut String, sign: char, (interface, device): (u32, &str), prefix: IpNet) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{sign} {interface} {device} {prefix}");
}

/// The last line may have been cut short: it is passed over, as all that is not understood.
fn parse(text: &str, boot: &str) -> Earlier {
    let mut ours = BTreeMap::new();
    let mut lines = text.split_inclusive('\n');
    if lines.next().map(str::trim_end) != Some(&format!("boot {boot}")) || boot.is_empty() {
        return ours;
    }
    for line in lines.filter_map(|line| line.strip_suffix('\n')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [sign, interface, device, prefix] = words.as_slice() else {
            continue;
        };
        let (Ok(interface), Ok(prefix)) = (interface.parse(), prefix.parse()) else {
            continue;
        };
        let of_device: &mut BTreeSet<IpNet> =
            ours.entry((interface, (*device).to_owned())).or_default();
        match *sign {
            "+" => drop(of_device.insert(prefix)),
            "-" => drop(of_device.remove(&prefix)),
            _ => {}
        }
    }
    ours
}

/// Where the ledger is in a folder.
pub(super) fn file_in(folder: &Path) -> PathBuf {
    folder.join("allowed-ips")
}

#[cfg(test)]
mod tests;
