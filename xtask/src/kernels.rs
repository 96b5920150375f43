//! Kernels of Debian's, for virtual machines: below `target/kernels`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::cargo::{execute, folder};
use crate::{debian, packages};

/// A kernel, by what makes it worth a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// What the tests are told of it.
    pub(crate) word: &'static str,
    /// The suite of Debian's that has it.
    suite: &'static str,
}

/// One whose WireGuard cannot take a single prefix from a peer (before Linux 6.16), and one whose can.
pub(crate) const WANTED: [Wanted; 2] = [
    Wanted {
        word: "old",
        suite: "bookworm",
    },
    Wanted {
        word: "new",
        suite: "trixie-backports",
    },
];

/// The package that needs those in which the suite's newest kernel is.
const NEWEST: &str = "linux-image-cloud-amd64";
/// How the names of those begin: they have the kernel, or its modules, or both.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// A kernel that was fetched.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` says.
    pub(crate) release: String,
    /// What boots.
    pub(crate) image: PathBuf,
    /// The folder in which its `lib/modules` is.
    pub(crate) root: PathBuf,
    /// For what belongs to it.
    pub(crate) folder: PathBuf,
}

/// Fetches a kernel, unless it is there.
///
/// # Errors
/// It cannot be had, or has no image.
pub(crate) fn fetch(wanted: &Wanted) -> Result<Kernel> {
    let folder = folder("kernels").join(wanted.suite);
    let packages = debian::Wanted {
        suite: wanted.suite,
        package: NEWEST,
        is_part,
    };
    let root = debian::unpacked(&packages, &folder, list_modules)?;
    let release = release(&root)?;
    let places = [
        root.join("boot").join(format!("vmlinuz-{release}")),
        modules(&root).join(&release).join("vmlinuz"),
    ];
    let image = places.into_iter().find(|place| place.is_file());
    Ok(Kernel {
        image: image.with_context(|| format!("no vmlinuz of {release}"))?,
        release,
        root,
        folder,
    })
}

/// `linux-image-6.1.0-50-cloud-amd64`, and not what is only another name for it.
fn is_part(name: &str) -> bool {
    let number = PARTS.iter().find_map(|part| name.strip_prefix(part));
    number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Makes the lists by which modprobe finds modules.
fn list_modules(root: &Path) -> Result<()> {
    // depmod and modprobe look in `lib`, where newer packages have nothing.
    if !root.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    }
    execute(
        Command::new(packages::find("depmod").context("no depmod")?)
            .arg("-b")
            .arg(root)
            .arg(release(root)?),
    )
}

fn modules(root: &Path) -> PathBuf {
    root.join("lib/modules")
}

/// The kernel whose modules are there.
fn release(root: &Path) -> Result<String> {
    let mut all = fs::read_dir(modules(root)).context("no modules")?;
    let first = all.next().context("no modules")??;
    let name = first.file_name();
    Ok(name.to_string_lossy().into_owned())
}
