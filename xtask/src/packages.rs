//! Debian packages that the labs need: installed where that can be, named where not.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cargo::{cargo, execute, folder, output};
use crate::debian;

/// A program, and the package that has it.
type Needed = (&'static str, &'static str);

/// What the demonstration runs.
pub(crate) const DEMO: &[Needed] = &[
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("ping", "iputils-ping"),
    ("nft", "nftables"),
    ("wg", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
    ("/usr/lib/frr/bgpd", "frr"),
];

/// What the labs of `cargo xtask test` run besides.
pub(crate) const TEST: &[Needed] = &[
    ("bird", "bird2"),
    ("gobgpd", "gobgpd"),
    ("/usr/sbin/bgpd", "openbgpd"),
    ("exabgp", "exabgp"),
    ("tshark", "tshark"),
    ("podman", "podman"),
    ("runc", "runc"),
    ("mmdebstrap", "mmdebstrap"),
];

/// What virtual machines with kernels of their own are made of.
pub(crate) const GUEST: &[Needed] = &[
    ("ip", "iproute2"),
    ("wg", "wireguard-tools"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("modprobe", "kmod"),
    ("xz", "xz-utils"),
];

/// What is measured beside windrosed when a link is lossy.
pub(crate) const REROUTE: &[Needed] = &[("bird", "bird2"), ("babeld", "babeld")];

/// What a load runs.
pub(crate) const LOAD: &[Needed] = &[
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("strip", "binutils"),
];

/// What counts instructions.
pub(crate) const COUNT: &[Needed] = &[("valgrind", "valgrind")];

/// What benchmarks run: the others.
pub(crate) const BENCH: &[Needed] = &[
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("nft", "nftables"),
    ("bird", "bird2"),
    ("/usr/lib/frr/bgpd", "frr"),
    ("/usr/sbin/bgpd", "openbgpd"),
    ("gobgpd", "gobgpd"),
];

/// Services that come with the packages. None of them has any business on this machine.
const SERVICES: [(&str, &str); 6] = [
    ("babeld", "babeld"),
    ("frr", "frr"),
    ("bird2", "bird"),
    ("gobgpd", "gobgpd"),
    ("openbgpd", "openbgpd"),
    ("exabgp", "exabgp"),
];
/// What keeps Debian from starting a service that it installs.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages of programs that are missing.
///
/// # Errors
/// Something is missing and this is not root, or apt-get fails: names what to install.
pub(crate) fn install(needed: &[Needed]) -> Result<()> {
    let mut missing: Vec<&str> = needed
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let line = format!(
        "apt-get install --no-install-recommends {}",
        missing.join(" ")
    );
    if !is_root()? || !is_there("apt-get") {
        bail!("missing programs. On Debian, as root: {line}");
    }
    println!("{line}");
    let quiet = Quiet::begin()?;
    execute(apt_get().args(["-q", "update"]))?;
    let install = ["-q", "install", "-y", "--no-install-recommends"];
    execute(apt_get().args(install).args(&missing))?;
    drop(quiet);
    for (package, service) in SERVICES {
        if missing.contains(&package) {
            // Where no systemd runs there is nothing to disable.
            let _ = output(Command::new("systemctl").args(["disable", "--now", service]));
        }
    }
    Ok(())
}

/// The suite whose FRR labs run beside that of this machine: it knows AIGP.
const NEWER_FRR: &str = "trixie";

/// A program of others that no package of Debian's has, and its version: another implementation of STAMP.
const STAMP_SUITE: (&str, &str) = ("stamp-suite", "=1.0.0");

/// Where [`install_tools`] puts it.
pub(crate) fn stamp_suite() -> PathBuf {
    folder("tools").join("bin").join(STAMP_SUITE.0)
}

/// Builds what [`stamp_suite`] is, if it is missing.
///
/// # Errors
/// It cannot be had, or does not compile.
pub(crate) fn install_tools() -> Result<()> {
    if stamp_suite().is_file() {
        return Ok(());
    }
    let (name, version) = STAMP_SUITE;
    let install = ["install", "--locked", "--debug", name, "--version", version];
    execute(cargo(install).arg("--root").arg(folder("tools")))
}

/// Where [`fetch_newer_frr`] puts it.
fn newer_frr_folder() -> PathBuf {
    folder("frr").join(NEWER_FRR)
}

/// Where that is unpacked.
pub(crate) fn newer_frr() -> PathBuf {
    newer_frr_folder().join("root")
}

/// Fetches FRR of a newer Debian with the libraries that it needs, down to libc, unless it is there.
///
/// # Errors
/// It cannot be had.
pub(crate) fn fetch_newer_frr() -> Result<()> {
    let wanted = debian::Wanted {
        suite: NEWER_FRR,
        package: "frr",
        is_part: |name| name == "frr" || name.starts_with("lib"),
    };
    debian::unpacked(&wanted, &newer_frr_folder(), |_| Ok(())).map(drop)
}

/// # Errors
/// This is not root.
pub(crate) fn require_root(why: &str) -> Result<()> {
    if !is_root()? {
        bail!("needs root: {why}. Try: sudo -E env PATH=\"$PATH\" cargo xtask …");
    }
    Ok(())
}

/// Whether this runs as root.
pub(crate) fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Whether a program is there: by its path, or where root's shell would find it.
pub(crate) fn is_there(program: &str) -> bool {
    find(program).is_some()
}

/// Where that is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut places = folders.iter().map(|folder| folder.join(program));
    places.find(|place| place.is_file())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// While it lives, no installed service is started.
struct Quiet {
    ours: bool,
}

impl Quiet {
    fn begin() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        std::fs::write(POLICY, "#!/bin/sh\nexit 101\n").context(POLICY)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(POLICY, executable)?;
        Ok(Self { ours: true })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if self.ours {
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
