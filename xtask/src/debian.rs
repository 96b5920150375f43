//! Packages of Debian's, of whatever suite: fetched and unpacked below `target`, and never installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::cargo::{execute, output};
use crate::packages::is_there;

/// Which archive, if the machine's own sources name none of Debian's.
const MIRROR: &str = "WINDROSE_DEBIAN_MIRROR";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Packages to fetch.
pub(crate) struct Wanted {
    /// The suite of Debian's that has them.
    pub(crate) suite: &'static str,
    /// The package that needs all others.
    pub(crate) package: &'static str,
    /// Which of it and of those that it needs are fetched, by their names.
    pub(crate) is_part: fn(&str) -> bool,
}

/// Unpacks packages in `root` of a folder, unless that was done before, and says where that is. `finish` does what is
/// left to do there.
///
/// # Errors
/// There is no apt-get, no archive, or no such package in it.
pub(crate) fn unpacked(
    wanted: &Wanted,
    folder: &Path,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let root = folder.join("root");
    if root.is_dir() {
        return Ok(root);
    }
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "{}: those for x86_64 alone are fetched",
        wanted.package
    );
    ensure!(is_there("apt-get"), "no apt-get: it fetches from Debian");
    let half_done = folder.join("half-done");
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(&half_done)?;
    download(wanted, folder)?;
    unpack(folder, &half_done)?;
    finish(&half_done)?;
    fs::rename(&half_done, &root)?;
    Ok(root)
}

/// Asks apt-get with lists and settings of its own: the machine's stay as they are.
fn download(wanted: &Wanted, folder: &Path) -> Result<()> {
    let mirror = mirror()?;
    for part in ["lists/partial", "archives/partial", "none"] {
        fs::create_dir_all(folder.join("apt").join(part))?;
    }
    let (apt, none) = (folder.join("apt"), folder.join("apt/none"));
    fs::write(apt.join("status"), "")?;
    let signed = format!("[arch=amd64 signed-by={KEYRING}]");
    fs::write(
        apt.join("sources.list"),
        format!("deb {signed} {mirror} {} main\n", wanted.suite),
    )?;
    let (apt, none) = (apt.display(), none.display());
    let settings = format!(
        r#"Dir::State::lists "{apt}/lists"; Dir::State::status "{apt}/status"; Dir::Cache "{apt}";
Dir::Etc::sourcelist "{apt}/sources.list"; Dir::Etc::sourceparts "{none}"; Dir::Etc::preferencesparts "{none}";
Dir::Etc::preferences "{none}/preferences"; APT::Architecture "amd64"; APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root"; Acquire::Languages "none"; APT::Update::Error-Mode "any";
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
            .arg(wanted.package),
    )?;
    let names = said.lines().map(str::trim);
    let parts: Vec<&str> = names.filter(|name| (wanted.is_part)(name)).collect();
    ensure!(
        !parts.is_empty(),
        "{} has no {}",
        wanted.suite,
        wanted.package
    );
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
    Ok(())
}
