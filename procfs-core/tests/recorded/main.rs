//! Files of `/proc` as Linux printed them (`golden-6.18`), read back into snapshots and rendered again: each byte must be
//! the same. Some tests do that with the processes of the machine they run on, too.

mod net;
mod pid;
mod properties;
mod reading;
mod root;

use std::fs;

fn golden(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/golden-6.18/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn golden_text(name: &str) -> String {
    String::from_utf8(golden(name)).unwrap()
}

/// Compares line by line first, so that a failure names the line.
fn assert_same(rendered: &[u8], recorded: &[u8]) {
    let (rendered, recorded) = (String::from_utf8_lossy(rendered), String::from_utf8_lossy(recorded));
    for (ours, linux) in rendered.lines().zip(recorded.lines()) {
        assert_eq!(ours, linux);
    }
    assert_eq!(rendered, recorded);
}
