//! Sizes, and how cost grows with them.

use anyhow::anyhow;

use super::*;

#[test]
fn a_cost_that_doubles_with_the_size_grows_as_its_first_power() {
    let power = |more| power(10.0, Some(3.0), 20.0, Some(more)).unwrap();
    assert!((power(6.0) - 1.0).abs() < 1e-9);
    assert!((power(12.0) - 2.0).abs() < 1e-9);
    assert!(power(3.0).abs() < 1e-9);
    assert_eq!(super::power(10.0, None, 20.0, Some(1.0)), None);
    assert_eq!(super::power(10.0, Some(0.0), 20.0, Some(1.0)), None);
}

#[test]
fn peers_share_the_same_routes() {
    for series in &SERIES {
        for &size in series.sizes {
            let workload = series.workload(size, 1);
            assert!(workload.prefixes > 0, "{} {size}", series.name);
            assert_eq!(workload.name, series.name);
            if series.name == "peers" {
                assert_eq!(workload.senders * workload.prefixes, SHARED);
            }
        }
    }
}

#[test]
fn a_table_has_a_line_a_size_and_how_it_grows() {
    let routes = &SERIES[0];
    let mut growth = Growth::default();
    for &size in routes.sizes {
        let outcome = Outcome {
            load: Some(Measured {
                wall_s: count(size) / 1e6,
                cpu_s: 0.5,
                ..Measured::default()
            }),
            ..Outcome::default()
        };
        growth.add(routes, size, Daemon::Windrosed, Ok(outcome));
    }
    growth.add(routes, 10_000, Daemon::Bird, Err(anyhow!("it fell over")));
    let table = growth.table(routes);
    assert!(table.contains("1.000"), "{table}");
    assert!(
        table.contains("n^1.00") && table.contains("n^0.00"),
        "{table}"
    );
    assert!(table.contains("bird at 10000: it fell over"), "{table}");
    assert_eq!(table.lines().count(), 2 + routes.sizes.len() + 2, "{table}");
    let text = serde_json::to_string(&growth).unwrap();
    let read: Growth = serde_json::from_str(&text).unwrap();
    assert_eq!(read.table(routes), table);
}
