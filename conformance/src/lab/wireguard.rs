//! WireGuard links: the kernel's where it has them, else `wireguard-go`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Host, Lab, Process, run};

/// Runs wireguard-go with a `/run/wireguard` that is a folder of its host's: the socket it makes there is a path that
/// network namespaces share, and two gateways may well call an interface the same.
const USERSPACE: &str = "mount -t tmpfs none /run && mkdir /run/wireguard && \
     mount --bind $1 /run/wireguard && exec wireguard-go -f $0";

/// The keys of one end.
#[derive(Clone, Debug)]
pub struct KeyPair {
    private: String,
    public: String,
}

/// One WireGuard interface of a host.
#[derive(Debug)]
pub struct WireGuard {
    host: Host,
    interface: String,
    process: Option<Process>,
}

impl KeyPair {
    /// New keys.
    ///
    /// # Errors
    /// `wg` is not there.
    pub fn generate() -> Result<Self> {
        let private = run(Command::new("wg").arg("genkey"))?.trim().to_owned();
        let pipe = format!("echo {private} | wg pubkey");
        let public = run(Command::new("sh").args(["-c", &pipe]))?
            .trim()
            .to_owned();
        Ok(Self { private, public })
    }
}

impl WireGuard {
    /// Makes the interface, without keys and down.
    ///
    /// # Errors
    /// Neither the kernel nor wireguard-go can.
    pub fn create(lab: &Lab, host: &Host, interface: &str) -> Result<Self> {
        let process = match host.ip(&format!("link add {interface} type wireguard")) {
            Ok(_) => None,
            Err(_) => Some(userspace(host, interface)?),
        };
        let mut link = Self {
            host: host.clone(),
            interface: interface.to_owned(),
            process,
        };
        lab.eventually("WireGuard's socket", Duration::from_secs(5), || {
            if let Some(process) = &mut link.process {
                process.check()?;
            }
            link.wg(&format!("show {}", link.interface))
        })?;
        Ok(link)
    }

    /// Whether the kernel runs it.
    #[must_use]
    pub fn in_kernel(&self) -> bool {
        self.process.is_none()
    }

    /// Gives it its keys, its port and its one peer (everything is allowed: BGP routes), an address, and
    /// brings it up.
    ///
    /// # Errors
    /// `wg` or `ip` refuse.
    pub fn connect(
        &self,
        keys: &KeyPair,
        port: u16,
        (peer, endpoint): (&KeyPair, &str),
        addresses: &[&str],
    ) -> Result<()> {
        self.set_up(keys, port, addresses)?;
        self.add_peer(peer, endpoint, "0.0.0.0/0,::/0")
    }

    /// Gives it its keys, its port and addresses, no peers, and brings it up.
    ///
    /// # Errors
    /// `wg` or `ip` refuse.
    pub fn set_up(&self, keys: &KeyPair, port: u16, addresses: &[&str]) -> Result<()> {
        let interface = &self.interface;
        let file = self.host.dir().join(format!("{interface}.key"));
        std::fs::write(&file, &keys.private)?;
        let file = file.to_str().context("a path in UTF-8")?;
        self.wg(&format!(
            "set {interface} private-key {file} listen-port {port}"
        ))?;
        self.host
            .ip(&format!("link set {interface} addrgenmode none"))?;
        for address in addresses {
            self.host.address(interface, address)?;
        }
        let line = format!("link set {interface} mtu 1420 up");
        self.host.ip(&line).map(drop)
    }

    /// Adds a peer with what is sent to it and taken from it.
    ///
    /// # Errors
    /// `wg` refuses.
    pub fn add_peer(&self, peer: &KeyPair, endpoint: &str, allowed_ips: &str) -> Result<()> {
        let (interface, public) = (&self.interface, &peer.public);
        self.wg(&format!(
            "set {interface} peer {public} endpoint {endpoint} allowed-ips {allowed_ips}"
        ))
        .map(drop)
    }

    /// Its one peer is to be reached elsewhere.
    ///
    /// # Errors
    /// `wg` refuses.
    pub fn redirect(&self, endpoint: &str) -> Result<()> {
        let interface = &self.interface;
        let peer = self.wg(&format!("show {interface} peers"))?;
        let peer = peer.trim();
        self.wg(&format!("set {interface} peer {peer} endpoint {endpoint}"))
            .map(drop)
    }

    /// The AllowedIPs of a peer, sorted.
    ///
    /// # Errors
    /// `wg` fails, or knows no such peer.
    pub fn allowed_ips(&self, peer: &KeyPair) -> Result<Vec<String>> {
        let text = self.wg(&format!("show {} allowed-ips", self.interface))?;
        let mut lines = text.lines().map(|line| line.split_whitespace());
        let mut found = lines.find_map(|mut words| {
            (words.next() == Some(&peer.public)).then(|| words.map(str::to_owned).collect())
        });
        let allowed: &mut Vec<String> = found.as_mut().context("no such peer")?;
        allowed.sort();
        Ok(std::mem::take(allowed))
    }

    /// Where its socket is, if it is wireguard-go's.
    #[must_use]
    pub fn socket_folder(host: &Host) -> PathBuf {
        host.dir().join("wireguard")
    }

    /// Ends wireguard-go as a crash does: the interface goes with it.
    ///
    /// # Errors
    /// It is the kernel's, or cannot be ended.
    pub fn crash(mut self) -> Result<()> {
        self.process.as_mut().context("it is the kernel's")?.kill()
    }

    /// Runs `wg` on it.
    ///
    /// # Errors
    /// It fails: says with what words.
    pub fn wg(&self, line: &str) -> Result<String> {
        let mut command = match &self.process {
            None => self.host.command("wg"),
            Some(process) => {
                let pid = process.pid().to_string();
                let mut command = Command::new("nsenter");
                command.args(["-t", &pid, "--net", "--mount", "wg"]);
                command
            }
        };
        run(command.args(line.split_whitespace()))
    }

    /// Lets it run on when this value is gone.
    pub(super) fn detach(self) {
        self.process.into_iter().for_each(Process::detach);
    }
}

/// Loses that share of the packets that `host` forwards from one address to another, in percent; of all else nothing.
///
/// # Errors
/// `nft` refuses.
pub fn lose(host: &Host, flows: &[(&str, &str, u8)]) -> Result<()> {
    let mut rules = "add table inet loss
delete table inet loss
add table inet loss
add chain inet loss forward { type filter hook forward priority 0; policy accept; }
"
    .to_owned();
    for (from, to, percent) in flows {
        let draw = match percent {
            0 => continue,
            100.. => String::new(),
            percent => format!("numgen random mod 100 < {percent}"),
        };
        let _ = writeln!(
            rules,
            "add rule inet loss forward ip saddr {from} ip daddr {to} {draw} drop"
        );
    }
    let file = host.dir().join("loss.nft");
    std::fs::write(&file, rules)?;
    run(host.command("nft").arg("-f").arg(&file)).map(drop)
}

fn userspace(host: &Host, interface: &str) -> Result<Process> {
    let folder = WireGuard::socket_folder(host);
    std::fs::create_dir_all(&folder)?;
    let mut command = host.command("unshare");
    command.args([
        "--mount",
        "--propagation",
        "slave",
        "sh",
        "-c",
        USERSPACE,
        interface,
    ]);
    command.arg(folder);
    command.env("LOG_LEVEL", "error");
    host.start(interface, command)
}
