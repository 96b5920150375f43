//! What speakers say of themselves: the trace has it, and some of it must never be said here.

use speaker::Notice;

use super::World;

impl World {
    pub(super) fn hear(&mut self, host: usize, notice: &Notice) {
        self.note_session(host, notice);
        match notice {
            // Both ends are ours: neither may ever find a fault in what the other says.
            Notice::Malformed { .. } => self.blame(host, &format!("{notice:?}")),
            Notice::PeerDown { why, .. }
                if why.contains("UPDATE") || why.contains("Message Header") =>
            {
                self.blame(host, &format!("{notice:?}"));
            }
            Notice::PeerState { .. }
            | Notice::PeerDown { .. }
            | Notice::EndOfRib { .. }
            | Notice::MaxPrefixes { .. }
            | Notice::Refused { .. }
            | Notice::LeaseExpired { .. }
            | Notice::Held { .. }
            | Notice::HeldOver { .. }
            | Notice::Restart { .. }
            | Notice::Drain { .. }
            | Notice::Bfd(_)
            | Notice::RedistributeFull { .. }
            | Notice::Link(_)
            | Notice::Fib(_)
            | Notice::StationUp { .. }
            | Notice::StationDown { .. }
            | Notice::Configured { .. }
            | Notice::PeerChanged { .. } => self.note(host, &format!("{notice:?}")),
        }
    }
}
