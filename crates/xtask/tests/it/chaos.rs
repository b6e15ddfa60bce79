//! A short run of `cargo xtask chaos`.

use xtask::chaos;

#[test]
fn under_faults_of_every_kind_nothing_is_lost_doubled_or_out_of_order() {
    let verdict = chaos::wreak(1, chaos::SHORT).expect("it runs to its end");
    assert!(verdict.is_good(), "the table above says what went wrong");
}
