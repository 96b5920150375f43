//! Kernels of Debian's, for virtual machines: fetched and unpacked below `target/kernels`, and never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::{execute, folder, output};
use crate::packages::{self, is_there};

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
/// Which archive, if the machine's own sources name none of Debian's.
const MIRROR: &str = "WINDROSE_DEBIAN_MIRROR";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

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
/// There is no apt-get, no archive, or no such kernel in it.
pub(crate) fn fetch(wanted: &Wanted) -> Result<Kernel> {
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "the kernels are for x86_64"
    );
    let folder = folder("kernels").join(wanted.suite);
    let root = folder.join("root");
    if !root.is_dir() {
        ensure!(is_there("apt-get"), "no apt-get: kernels come from Debian");
        let half_done = folder.join("half-done");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&half_done)?;
        download(wanted.suite, &folder)?;
        unpack(&folder, &half_done)?;
        fs::rename(&half_done, &root)?;
    }
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

/// Asks apt-get with lists and settings of its own: the machine's stay as they are.
fn download(suite: &str, folder: &Path) -> Result<()> {
    let mirror = mirror()?;
    for part in ["lists/partial", "archives/partial", "none"] {
        fs::create_dir_all(folder.join("apt").join(part))?;
    }
    let (apt, none) = (folder.join("apt"), folder.join("apt/none"));
    fs::write(apt.join("status"), "")?;
    let signed = format!("[arch=amd64 signed-by={KEYRING}]");
    fs::write(
        apt.join("sources.list"),
        format!("deb {signed} {mirror} {suite} main\n"),
    )?;
    let (apt, none) = (apt.display(), none.display());
    let settings = format!(
        r#"Dir::State::lists "{apt}/lists"; Dir::State::status "{apt}/status"; Dir::Cache "{apt}";
Dir::Etc::sourcelist "{apt}/sources.list"; Dir::Etc::sourceparts "{none}"; Dir::Etc::preferencesparts "{none}";
Dir::Etc::preferences "{none}/preferences"; APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root"; Acquire::Languages "none";
"#
    );
    let file = folder.join("apt/apt.conf");
    fs::write(&file, settings)?;
    let ask = |program: &str| {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &file).current_dir(folder);
        command
    };
    execute(ask("apt-get").args(["-q", "update"]))?;
    let only = ["recommends", "suggests", "conflicts", "breaks", "replaces"];
    let only = only.map(|kind| format!("--no-{kind}"));
    let said = output(
        ask("apt-cache")
            .args(["depends", "--recurse", "--no-enhances"])
            .args(only)
            .arg(NEWEST),
    )?;
    // `linux-image-6.1.0-50-cloud-amd64`, and not what is only another name for it.
    let is_part = |name: &&str| {
        let number = PARTS.iter().find_map(|part| name.strip_prefix(part));
        number.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let parts: Vec<&str> = said.lines().map(str::trim).filter(is_part).collect();
    ensure!(!parts.is_empty(), "{suite} has no {NEWEST}");
    execute(ask("apt-get").args(["-q", "download"]).args(parts))
}

/// The archive from which the machine itself has its packages.
fn mirror() -> Result<String> {
    if let Ok(mirror) = std::env::var(MIRROR) {
        return Ok(mirror);
    }
    let mut ask = Command::new("apt-get");
    ask.args(["indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"]);
    let said = output(&mut ask)?;
    let main = said
        .lines()
        .find_map(|line| line.strip_prefix("Debian Debian "));
    match main {
        Some(uri) => Ok(uri.trim().to_owned()),
        None => bail!("no source of Debian's in apt's lists: {MIRROR} names one"),
    }
}

fn unpack(folder: &Path, root: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let package = entry?.path();
        if package.extension().is_some_and(|kind| kind == "deb") {
            execute(Command::new("dpkg-deb").arg("-x").arg(&package).arg(root))?;
            fs::remove_file(&package)?;
        }
    }
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
