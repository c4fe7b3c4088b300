//! `/proc/PID/net` of a new network namespace of Linux, which has the interface `lo`, against one without any.

use crate::{assert_same, golden_text};
use procfs_core::net::{Forwards, Settings, find, render};

const SETTINGS: Settings = Settings { forwards: Forwards::No, default_ttl: 64, cpus: 1 };

fn ours(name: &str) -> String {
    let mut out = Vec::new();
    render(find(name.as_bytes()).unwrap(), &SETTINGS, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn files_without_rows_for_the_loopback_interface() {
    for name in [
        "arp",
        "raw",
        "tcp",
        "udp",
        "icmp",
        "igmp",
        "raw6",
        "snmp",
        "tcp6",
        "udp6",
        "unix",
        "icmp6",
        "route",
        "snmp6",
        "packet",
        "psched",
        "udplite",
        "mcfilter",
        "udplite6",
        "mcfilter6",
        "rt6_stats",
        "sockstat6",
        "ip6_flowlabel",
    ] {
        assert_same(ours(name).as_bytes(), golden_text(&format!("net/{name}")).as_bytes());
    }
}

#[test]
fn headers_of_files_that_list_what_a_kernel_has() {
    for (name, lines) in [("dev", 2), ("ptype", 1), ("netlink", 1), ("protocols", 1)] {
        let linux: String = golden_text(&format!("net/{name}")).split_inclusive('\n').take(lines).collect();
        assert_same(ours(name).as_bytes(), linux.as_bytes());
    }
}

#[test]
fn netstat_without_the_lines_of_multipath_tcp() {
    let linux: String = golden_text("net/netstat").split_inclusive('\n').take(4).collect();
    assert_same(ours("netstat").as_bytes(), linux.as_bytes());
}

#[test]
fn sockstat_counts_nothing() {
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace().filter(|word| word.parse::<u64>().is_err()).map(String::from).collect()
    };
    assert_eq!(words(&ours("sockstat")), words(&golden_text("net/sockstat")));
}
