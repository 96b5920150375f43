//! RFC 5880 §4.1 and the checks of §6.8.6, each by its sentence.

use super::*;

fn packet() -> Packet {
    Packet {
        diagnostic: Diagnostic::NEIGHBOR_SIGNALED_SESSION_DOWN,
        state: State::Init,
        poll: true,
        is_final: false,
        control_plane_independent: true,
        demand: false,
        multiplier: 3,
        my_discriminator: 0x0102_0304,
        your_discriminator: 0x0506_0708,
        desired_min_tx: Duration::from_millis(50),
        required_min_rx: Duration::from_millis(60),
        required_min_echo_rx: Duration::ZERO,
    }
}

fn read(octets: &[u8]) -> Result<Packet, Fault> {
    Packet::decode(octets).map(|decoded| decoded.packet)
}

fn decoded_with(change: impl Fn(&mut [u8; LEN])) -> Result<Packet, Fault> {
    let mut octets = packet().encode(false);
    change(&mut octets);
    read(&octets)
}

/// §4.1, octet by octet.
#[test]
fn the_layout_is_that_of_the_rfc() {
    let octets = [
        0x23, 0xa8, 3, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0xc3, 0x50, 0, 0, 0xea, 0x60, 0, 0, 0, 0,
    ];
    assert_eq!(packet().encode(false), octets);
    assert_eq!(read(&octets), Ok(packet()));
}

#[test]
fn every_state_and_flag_comes_back() {
    for state in [State::AdminDown, State::Down, State::Init, State::Up] {
        for bits in 0..16_u8 {
            let bit = |place: u8| bits & (1 << place) != 0;
            let packet = Packet {
                state,
                poll: bit(0),
                is_final: bit(1),
                control_plane_independent: bit(2),
                demand: bit(3),
                ..packet()
            };
            assert_eq!(read(&packet.encode(false)), Ok(packet));
        }
    }
}

/// §6.8.6: "If the version number is not correct (1), the packet MUST be discarded."
#[test]
fn another_version_is_discarded() {
    assert_eq!(decoded_with(|o| o[0] = 0x40), Err(Fault::Version));
}

/// §6.8.6: "If the Length field is less than the minimum correct value (24 if the A bit is clear, or 26 if the A bit
/// is set), the packet MUST be discarded."
#[test]
fn a_length_below_the_least_is_discarded() {
    assert_eq!(decoded_with(|o| o[3] = 23), Err(Fault::Length));
    assert_eq!(decoded_with(|o| o[1] |= 4), Err(Fault::Length));
}

/// §6.8.6: "If the Length field is greater than the payload of the encapsulating protocol, the packet MUST be discarded."
#[test]
fn a_length_beyond_what_came_is_discarded() {
    assert_eq!(decoded_with(|o| o[3] = 25), Err(Fault::Length));
    for cut in 0..LEN {
        assert_eq!(read(&packet().encode(false)[..cut]), Err(Fault::Length));
    }
}

/// §6.8.6: "If the Detect Mult field is zero, the packet MUST be discarded."
#[test]
fn a_multiplier_of_zero_is_discarded() {
    assert_eq!(decoded_with(|o| o[2] = 0), Err(Fault::Multiplier));
}

/// §6.8.6: "If the Multipoint (M) bit is nonzero, the packet MUST be discarded."
#[test]
fn the_multipoint_bit_is_discarded() {
    assert_eq!(decoded_with(|o| o[1] |= 1), Err(Fault::Multipoint));
}

/// §6.8.6: "If the My Discriminator field is zero, the packet MUST be discarded."
#[test]
fn my_discriminator_of_zero_is_discarded() {
    assert_eq!(
        decoded_with(|o| o[4..8].fill(0)),
        Err(Fault::MyDiscriminator)
    );
}

/// §6.8.6: "If the Your Discriminator field is zero and the State field is not Down or AdminDown, the packet MUST be
/// discarded."
#[test]
fn a_stranger_can_only_be_down() {
    assert_eq!(
        decoded_with(|o| o[8..12].fill(0)),
        Err(Fault::YourDiscriminator)
    );
    for state in [State::AdminDown, State::Down] {
        let packet = Packet {
            state,
            your_discriminator: 0,
            ..packet()
        };
        assert_eq!(read(&packet.encode(false)), Ok(packet));
    }
}

/// §4.1: the A bit says that an authentication section follows; what lies behind the packet's length is none of it.
#[test]
fn an_authentication_section_is_within_the_length() {
    let mut octets = packet().encode(true).to_vec();
    octets[3] = 26;
    octets.extend([1, 2, 3]);
    let decoded = Packet::decode(&octets).unwrap();
    assert!(decoded.authenticated);
    assert_eq!(decoded.octets, &octets[..26]);
}

/// Whatever comes, it is a packet or a fault.
#[test]
fn noise_never_panics() {
    let mut x = 0x9E37_79B9_7F4A_7C15_u64;
    for length in (0..64).cycle().take(20_000) {
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            u8::try_from(x >> 56).unwrap()
        })
        .take(length)
        .collect();
        if let Ok(decoded) = Packet::decode(&noise) {
            let octets = decoded.packet.encode(decoded.authenticated);
            assert_eq!(octets[4..], noise[4..LEN]);
            assert_eq!(octets[1], noise[1]);
        }
    }
}
