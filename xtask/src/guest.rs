//! Virtual machines that run one program of tests under a kernel of their own: an initramfs is all they have. QEMU plays
//! the processor too, so neither KVM nor root is needed, and what is tested takes its time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cargo::{cargo, execute, output};
use crate::kernels::Kernel;
use crate::packages;

/// Who takes longer hangs. It takes a fifth of it.
const SECONDS_MAX: &str = "240";
/// Mebibytes, of which the initramfs takes about fifty.
const MEMORY: &str = "768";
/// Programs that the tests start.
const PROGRAMS: [&str; 3] = ["busybox", "ip", "wg"];
/// Modules that they need; those that these need come along.
const MODULES: [&str; 1] = ["wireguard"];

/// What the kernel starts: it loads modules in the order of their names, runs the tests, and switches off.
const INIT: &str = r#"#!/bin/busybox sh
export PATH=/bin WINDROSE_GUEST=@word@
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in /modules/*; do busybox insmod $module || echo "$module: not loaded"; done
echo "Linux $(busybox uname -r)"
/bin/tests --test-threads=1 --show-output
echo "ended with $?"
busybox poweroff -f
"#;

/// Builds the program of tests that runs there, and says where it is.
///
/// # Errors
/// It does not compile.
pub(crate) fn build() -> Result<PathBuf> {
    let package = ["test", "--no-run", "-p", "fib-netlink"];
    let mut command = cargo(package);
    command.args(["--features", "kernel", "--test", "wireguard"]);
    let said = output(command.args(["--message-format", "json-render-diagnostics"]))?;
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = |message: Value| {
        let is_it = message.pointer("/target/name")?.as_str()? == "wireguard";
        let path = message.get("executable")?.as_str()?;
        is_it.then(|| PathBuf::from(path))
    };
    let mut programs = messages.filter_map(program);
    programs.next().context("cargo names no program of tests")
}

/// A virtual machine with this kernel, ready to run a program of tests. They are told which kernel it is.
///
/// # Errors
/// What it needs is not on this machine.
pub(crate) fn machine(kernel: &Kernel, word: &str, tests: &Path) -> Result<Command> {
    let initramfs = initramfs(kernel, word, tests)?;
    let qemu = packages::find("qemu-system-x86_64").context("no QEMU")?;
    let mut machine = Command::new("timeout");
    machine.args(["--kill-after=5", SECONDS_MAX]).arg(qemu);
    machine.args(["-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", MEMORY]);
    machine.args(["-display", "none", "-vga", "none", "-monitor", "none"]);
    machine.args(["-serial", "stdio", "-nic", "none", "-no-reboot"]);
    machine.arg("-kernel").arg(&kernel.image);
    machine.arg("-initrd").arg(initramfs);
    machine.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]);
    machine.stdin(Stdio::null());
    Ok(machine)
}

fn initramfs(kernel: &Kernel, word: &str, tests: &Path) -> Result<PathBuf> {
    let tree = kernel.folder.join("tree");
    let _ = fs::remove_dir_all(&tree);
    for folder in ["bin", "modules", "proc", "sys", "dev", "run", "tmp"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    for program in PROGRAMS {
        let path = packages::find(program).with_context(|| format!("no {program}"))?;
        put(&path, program, &tree)?;
    }
    put(tests, "tests", &tree)?;
    put_modules(kernel, &tree)?;
    let init = tree.join("init");
    fs::write(&init, INIT.replace("@word@", word))?;
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let pack = "find . | cpio --quiet -o -H newc --owner 0:0 > ../initramfs";
    execute(Command::new("sh").args(["-c", pack]).current_dir(&tree))?;
    Ok(kernel.folder.join("initramfs"))
}

/// A program, and the libraries that it is linked with, where its loader looks for them.
fn put(program: &Path, name: &str, tree: &Path) -> Result<()> {
    fs::copy(program, tree.join("bin").join(name)).with_context(|| name.to_owned())?;
    // Of one that needs none, ldd says that it cannot be asked.
    let said = output(Command::new("ldd").arg(program)).unwrap_or_default();
    let libraries = said
        .split_whitespace()
        .filter(|word| word.starts_with('/') && word.contains(".so"));
    for library in libraries {
        let to = tree.join(library.trim_start_matches('/'));
        if !to.exists() {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::copy(library, &to).with_context(|| library.to_owned())?;
        }
    }
    Ok(())
}

/// Modules, numbered in the order in which they are loaded.
fn put_modules(kernel: &Kernel, tree: &Path) -> Result<()> {
    let mut ask = Command::new(packages::find("modprobe").context("no modprobe")?);
    ask.arg("-d").arg(&kernel.root).arg("-S");
    ask.args([&kernel.release, "--show-depends", "-a"])
        .args(MODULES);
    let said = output(&mut ask)?;
    let files = said.lines().filter_map(|line| line.strip_prefix("insmod "));
    let mut count = 0;
    for (number, file) in files.map(|file| Path::new(file.trim())).enumerate() {
        let to = tree.join("modules").join(format!("{number:02}.ko"));
        if file.extension().is_some_and(|kind| kind == "xz") {
            let plain = fs::File::create(&to)?;
            execute(Command::new("xz").arg("-dc").arg(file).stdout(plain))?;
        } else {
            fs::copy(file, &to)?;
        }
        count += 1;
    }
    ensure!(count > 0, "{} has no {MODULES:?}", kernel.release);
    Ok(())
}
