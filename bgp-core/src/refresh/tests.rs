//! RFC 2918, RFC 7313.

use super::*;

#[test]
fn each_subtype_comes_back_as_itself() {
    for number in 0..=255 {
        let refresh = RouteRefresh {
            family: Afi { afi: 2, safi: 1 },
            subtype: Subtype::from_number(number),
        };
        let bytes = refresh.encode();
        let frame = header::next_frame(&bytes, header::MAX).unwrap().unwrap();
        assert_eq!(
            (frame.kind, frame.body),
            (Kind::RouteRefresh, &[0, 2, number, 1][..])
        );
        assert_eq!(RouteRefresh::decode(frame.body), Ok(refresh));
    }
}

// RFC 7313 §5: "If the length ... of the received ROUTE-REFRESH message with Message Subtype 1 and 2 is not 4, then the
// BGP speaker MUST send a NOTIFICATION message with the Error Code of ROUTE-REFRESH Message Error and the subcode of
// Invalid Message Length. The Data field ... MUST contain the complete ROUTE-REFRESH message."
#[test]
fn a_demarcation_of_another_length_is_shown_whole() {
    for subtype in [1, 2] {
        let body = [0, 1, subtype, 1, 9];
        let reset = RouteRefresh::decode(&body).unwrap_err();
        assert_eq!(reset.code, Code::InvalidRouteRefreshLength);
        assert_eq!(reset.data, header::message(Kind::RouteRefresh, &body));
    }
    let reset = RouteRefresh::decode(&[0, 1, 0]).unwrap_err();
    assert_eq!(
        (reset.code, &reset.data[..]),
        (Code::BadMessageLength, &[0, 22][..])
    );
    assert_eq!(
        RouteRefresh::decode(&[]).unwrap_err().code,
        Code::BadMessageLength
    );
}
