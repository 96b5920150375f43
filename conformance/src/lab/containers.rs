//! FRR and windrosed in containers: podman with runc, an image made of Debian's packages.

use std::path::{Path as FilePath, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Host, place, run};

/// Names an image to use (and, where that can be, to pull) instead of making one.
const IMAGE_VARIABLE: &str = "WINDROSE_FRR_IMAGE";
/// The image made here; its tag is the release of Debian in it.
const IMAGE: &str = "localhost/windrose-lab-frr";
/// The release, where this machine runs no Debian that says its own.
const RELEASE: &str = "bookworm";
/// What is in it besides Debian's minimum.
const PACKAGES: &str = "frr,iproute2,iputils-ping,procps";
/// Kept between runs: making the root file system takes half a minute.
const CACHE: &str = "windrose-lab-cache";

/// podman with an image ready.
#[derive(Clone, Debug)]
pub struct Engine {
    image: String,
}

/// A running container, in the namespace of a host.
#[derive(Debug)]
pub struct Container {
    name: String,
}

impl Engine {
    /// Makes the image ready: takes it from the cache, pulls it, or builds it.
    ///
    /// # Errors
    /// podman or mmdebstrap are not there, or fail.
    pub fn prepare() -> Result<Self> {
        std::fs::create_dir_all(cache())?;
        if let Ok(image) = std::env::var(IMAGE_VARIABLE) {
            if run(podman().args(["image", "exists", &image])).is_err() {
                run(podman().args(["pull", &image]))?;
            }
            return Ok(Self { image });
        }
        let release = release();
        let image = format!("{IMAGE}:{release}");
        if run(podman().args(["image", "exists", &image])).is_err() {
            let archive = root_file_system(&release)?;
            run(podman().arg("import").arg(&archive).arg(&image))?;
        }
        Ok(Self { image })
    }

    /// Starts `script` (for `sh`) in the network namespace of a host, folders of this machine mounted.
    ///
    /// # Errors
    /// podman refuses.
    pub fn start(
        &self,
        host: &Host,
        mounts: &[(&FilePath, &str)],
        script: &str,
    ) -> Result<Container> {
        let name = host.namespace().to_owned();
        place::record_container(host.dir(), &name)?;
        let mut command = podman();
        command.args(["run", "-d", "--name", &name]);
        command.args(["--network", &format!("ns:/run/netns/{name}")]);
        // Root in a virtual machine may lack CAP_SYS_RESOURCE: podman's own limits would be refused.
        command.args([
            "--ulimit",
            "nofile=1024:4096",
            "--ulimit",
            "nproc=1024:4096",
        ]);
        command.args(["--cap-add", "NET_ADMIN,NET_RAW,SYS_ADMIN"]);
        for (from, to) in mounts {
            command.arg("-v").arg(format!("{}:{to}", from.display()));
        }
        run(command.args([&self.image, "sh", "-c", script]))?;
        Ok(Container { name })
    }
}

impl Container {
    /// Runs a line of words in it, and returns what it printed.
    ///
    /// # Errors
    /// It fails: says with what words.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        run(podman().args(["exec", &self.name]).args(words))
    }

    /// What it has printed.
    ///
    /// # Errors
    /// podman does not know it.
    pub fn log(&self) -> Result<String> {
        run(podman().args(["logs", &self.name]))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Ends a container, and forgets it.
pub(super) fn remove(name: &str) {
    let _ = run(podman().args(["rm", "-f", "-t", "0", name]));
}

/// podman with everything of its own in the cache: nothing else on the machine sees these images.
fn podman() -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(cache().join("storage"));
    command.arg("--runroot").arg(cache().join("run"));
    command.args(["--runtime", "runc", "--cgroup-manager", "cgroupfs"]);
    command.args(["--events-backend", "file", "--log-level", "error"]);
    command
}

fn cache() -> PathBuf {
    std::env::temp_dir().join(CACHE)
}

/// This machine's release of Debian: a program built here runs in an image of the same.
fn release() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    match (value("ID="), value("VERSION_CODENAME=")) {
        (Some("debian"), Some(release)) => release.to_owned(),
        _ => RELEASE.to_owned(),
    }
}

/// A Debian with FRR in it, as an archive.
fn root_file_system(release: &str) -> Result<PathBuf> {
    let archive = cache().join(format!("frr-{release}.tar"));
    if archive.is_file() {
        return Ok(archive);
    }
    let half_done = archive.with_extension("part.tar");
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
    for folder in ["man", "doc", "locale"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{folder}/*"));
    }
    run(command.arg(release).arg(&half_done))?;
    std::fs::rename(&half_done, &archive).context("keep the archive")?;
    Ok(archive)
}
