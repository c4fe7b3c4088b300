//! `/proc/PID/net`: what a network namespace without interfaces, addresses, routes and sockets shows.
//!
//! Owns names, order, headers and the names of the counters. Rows of tables and counters that rise come with a network;
//! until then every table is its header and every counter is 0, which is what Linux shows of an empty namespace.
//! Names of counters are as recorded on Linux 6.18.
//! Source: Linux 6.12 net/ipv4/proc.c, net/ipv6/proc.c, net/ipv4/{tcp_ipv4,udp,raw,ping,igmp,arp,fib_trie}.c,
//! net/core/{net-procfs,sock}.c, net/unix/af_unix.c, net/packet/af_packet.c, net/netlink/af_netlink.c,
//! net/sched/sch_api.c psched_show(); proc_pid_net(5).

use crate::Sink;

/// What a file shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// This, and a line for each object, of which there are none.
    Table(&'static str),
    /// The header of IPv4 sockets, padded as their lines are.
    Sockets4 {
        /// The header.
        header: &'static str,
        /// How wide a line is.
        width: usize,
    },
    /// `snmp`.
    Snmp,
    /// `netstat`.
    Netstat,
    /// `snmp6`.
    Snmp6,
    /// `psched`.
    Psched,
    /// `softnet_stat`.
    Softnet,
}

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    text: Text,
}

/// What some of the counters' neighbours say that are no counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether packets are forwarded (`net.ipv4.ip_forward`).
    pub forwards: Forwards,
    /// `net.ipv4.ip_default_ttl`.
    pub default_ttl: i64,
    /// How many processors there are.
    pub cpus: u32,
}

/// RFC 1213's ipForwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwards {
    /// It is a router: 1.
    Yes,
    /// It is not: 2.
    No,
}

const fn table(name: &'static str, header: &'static str) -> Entry {
    Entry { name, text: Text::Table(header) }
}

const fn sockets4(name: &'static str, header: &'static str, width: usize) -> Entry {
    Entry { name, text: Text::Sockets4 { header, width } }
}

const fn other(name: &'static str, text: Text) -> Entry {
    Entry { name, text }
}

const TCP4: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
const UDP4: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
const RAW4: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
/// IPv6 sockets of all kinds but TCP.
const SOCKETS6: &str = concat!(
    "  sl  local_address                         remote_address              ",
    "          st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
);
const TCP6: &str = concat!(
    "  sl  local_address                         remote_address              ",
    "          st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
);
const DEV: &str = concat!(
    "Inter-|   Receive                                           ",
    "     |  Transmit\n",
    " face |bytes    packets errs drop fifo frame compressed mult",
    "icast|bytes    packets errs drop fifo colls carrier compressed\n"
);
const PROTOCOLS: &str = concat!(
    "protocol  size sockets  memory press maxhdr  slab module    ",
    " cl co di ac io in de sh ss gs se re bi br ha uh gp em\n"
);
const SOCKSTAT: &str = concat!(
    "sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\n",
    "UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n"
);
const SOCKSTAT6: &str = "TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n";

/// The files, in the order of the directory: by length and then by bytes.
pub const ENTRIES: &[Entry] = &[
    table("arp", "IP address       HW type     Flags       HW address            Mask     Device\n"),
    table("dev", DEV),
    sockets4("raw", RAW4, 0),
    sockets4("tcp", TCP4, 149),
    sockets4("udp", UDP4, 127),
    sockets4("icmp", RAW4, 127),
    table("igmp", "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"),
    table("raw6", SOCKETS6),
    other("snmp", Text::Snmp),
    table("tcp6", TCP6),
    table("udp6", SOCKETS6),
    table("unix", "Num       RefCount Protocol Flags    Type St Inode Path\n"),
    table("icmp6", SOCKETS6),
    table("igmp6", ""),
    table("ptype", "Type Device      Function\n"),
    table("route", ""),
    other("snmp6", Text::Snmp6),
    table("packet", "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"),
    other("psched", Text::Psched),
    table("netlink", "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"),
    other("netstat", Text::Netstat),
    sockets4("udplite", UDP4, 127),
    table("anycast6", ""),
    table("if_inet6", ""),
    table("mcfilter", "Idx Device        MCA        SRC    INC    EXC\n"),
    table("sockstat", SOCKSTAT),
    table("udplite6", SOCKETS6),
    table("dev_mcast", ""),
    table("mcfilter6", "Idx Device                Multicast Address                   Source Address    INC    EXC\n"),
    table("protocols", PROTOCOLS),
    table("rt6_stats", "0000 0000 0000 0000 0000 0000 0000\n"),
    table("sockstat6", SOCKSTAT6),
    table("ipv6_route", ""),
    other("softnet_stat", Text::Softnet),
    table("ip6_flowlabel", "Label S Owner  Users  Linger Expires  Dst                              Opt\n"),
];

/// Ip of `snmp` behind its two settings.
const IP: &str = "InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards \
    OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits";

/// Icmp of `snmp`.
const ICMP: &str = "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps \
    InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost \
    OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps \
    OutTimestampReps OutAddrMasks OutAddrMaskReps";

/// Tcp of `snmp` behind the four that are no counters.
const TCP: &str = "ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts \
    InCsumErrors";

/// Udp and UdpLite of `snmp`.
const UDP: &str =
    "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors";

/// TcpExt of `netstat`.
const TCP_EXT: &str = "SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled RcvPruned OfoPruned OutOfWindowIcmps \
    LockDroppedIcmps ArpFilter TW TWRecycled TWKilled PAWSActive PAWSEstab BeyondWindow TSEcrRejected PAWSOldAck \
    PAWSTimewait DelayedACKs DelayedACKLocked DelayedACKLost ListenOverflows ListenDrops TCPHPHits TCPPureAcks \
    TCPHPAcks TCPRenoRecovery TCPSackRecovery TCPSACKReneging TCPSACKReorder TCPRenoReorder TCPTSReorder TCPFullUndo \
    TCPPartialUndo TCPDSACKUndo TCPLossUndo TCPLostRetransmit TCPRenoFailures TCPSackFailures TCPLossFailures \
    TCPFastRetrans TCPSlowStartRetrans TCPTimeouts TCPLossProbes TCPLossProbeRecovery TCPRenoRecoveryFail \
    TCPSackRecoveryFail TCPRcvCollapsed TCPBacklogCoalesce TCPDSACKOldSent TCPDSACKOfoSent TCPDSACKRecv \
    TCPDSACKOfoRecv TCPAbortOnData TCPAbortOnClose TCPAbortOnMemory TCPAbortOnTimeout TCPAbortOnLinger \
    TCPAbortFailed TCPMemoryPressures TCPMemoryPressuresChrono TCPSACKDiscard TCPDSACKIgnoredOld \
    TCPDSACKIgnoredNoUndo TCPSpuriousRTOs TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure TCPSackShifted TCPSackMerged \
    TCPSackShiftFallback TCPBacklogDrop PFMemallocDrop TCPMinTTLDrop TCPDeferAcceptDrop IPReversePathFilter \
    TCPTimeWaitOverflow TCPReqQFullDoCookies TCPReqQFullDrop TCPRetransFail TCPRcvCoalesce TCPOFOQueue TCPOFODrop \
    TCPOFOMerge TCPChallengeACK TCPSYNChallenge TCPFastOpenActive TCPFastOpenActiveFail TCPFastOpenPassive \
    TCPFastOpenPassiveFail TCPFastOpenListenOverflow TCPFastOpenCookieReqd TCPFastOpenBlackhole \
    TCPSpuriousRtxHostQueues BusyPollRxPackets TCPAutoCorking TCPFromZeroWindowAdv TCPToZeroWindowAdv \
    TCPWantZeroWindowAdv TCPSynRetrans TCPOrigDataSent TCPHystartTrainDetect TCPHystartTrainCwnd \
    TCPHystartDelayDetect TCPHystartDelayCwnd TCPACKSkippedSynRecv TCPACKSkippedPAWS TCPACKSkippedSeq \
    TCPACKSkippedFinWait2 TCPACKSkippedTimeWait TCPACKSkippedChallenge TCPWinProbe TCPKeepAlive TCPMTUPFail \
    TCPMTUPSuccess TCPDelivered TCPDeliveredCE TCPAckCompressed TCPZeroWindowDrop TCPRcvQDrop TCPWqueueTooBig \
    TCPFastOpenPassiveAltKey TcpTimeoutRehash TcpDuplicateDataRehash TCPDSACKRecvSegs TCPDSACKIgnoredDubious \
    TCPMigrateReqSuccess TCPMigrateReqFailure TCPPLBRehash TCPAORequired TCPAOBad TCPAOKeyNotFound TCPAOGood \
    TCPAODroppedIcmps";

/// IpExt of `netstat`.
const IP_EXT: &str = "InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets InMcastOctets \
    OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts \
    ReasmOverlaps";

/// `snmp6`, each on its line.
const SNMP6: &str = "Ip6InReceives Ip6InHdrErrors Ip6InTooBigErrors Ip6InNoRoutes Ip6InAddrErrors Ip6InUnknownProtos \
    Ip6InTruncatedPkts Ip6InDiscards Ip6InDelivers Ip6OutForwDatagrams Ip6OutRequests Ip6OutDiscards Ip6OutNoRoutes \
    Ip6ReasmTimeout Ip6ReasmReqds Ip6ReasmOKs Ip6ReasmFails Ip6FragOKs Ip6FragFails Ip6FragCreates Ip6InMcastPkts \
    Ip6OutMcastPkts Ip6InOctets Ip6OutOctets Ip6InMcastOctets Ip6OutMcastOctets Ip6InBcastOctets Ip6OutBcastOctets \
    Ip6InNoECTPkts Ip6InECT1Pkts Ip6InECT0Pkts Ip6InCEPkts Ip6OutTransmits Icmp6InMsgs Icmp6InErrors Icmp6OutMsgs \
    Icmp6OutErrors Icmp6InCsumErrors Icmp6OutRateLimitHost Icmp6InDestUnreachs Icmp6InPktTooBigs Icmp6InTimeExcds \
    Icmp6InParmProblems Icmp6InEchos Icmp6InEchoReplies Icmp6InGroupMembQueries Icmp6InGroupMembResponses \
    Icmp6InGroupMembReductions Icmp6InRouterSolicits Icmp6InRouterAdvertisements Icmp6InNeighborSolicits \
    Icmp6InNeighborAdvertisements Icmp6InRedirects Icmp6InMLDv2Reports Icmp6OutDestUnreachs Icmp6OutPktTooBigs \
    Icmp6OutTimeExcds Icmp6OutParmProblems Icmp6OutEchos Icmp6OutEchoReplies Icmp6OutGroupMembQueries \
    Icmp6OutGroupMembResponses Icmp6OutGroupMembReductions Icmp6OutRouterSolicits Icmp6OutRouterAdvertisements \
    Icmp6OutNeighborSolicits Icmp6OutNeighborAdvertisements Icmp6OutRedirects Icmp6OutMLDv2Reports Udp6InDatagrams \
    Udp6NoPorts Udp6InErrors Udp6OutDatagrams Udp6RcvbufErrors Udp6SndbufErrors Udp6InCsumErrors Udp6IgnoredMulti \
    Udp6MemErrors UdpLite6InDatagrams UdpLite6NoPorts UdpLite6InErrors UdpLite6OutDatagrams UdpLite6RcvbufErrors \
    UdpLite6SndbufErrors UdpLite6InCsumErrors UdpLite6MemErrors";

/// The entry with that name.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name.as_bytes() == name)
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(entry: &Entry, settings: &Settings, out: &mut S) {
    match entry.text {
        Text::Table(header) => out.put_str(header),
        Text::Sockets4 { header, width } => {
            out.put_left(header, width);
            out.put_byte(b'\n');
        }
        Text::Snmp => {
            let ip = [if settings.forwards == Forwards::Yes { 1 } else { 2 }, settings.default_ttl];
            put_group("Ip", &["Forwarding", "DefaultTTL"], &ip, IP, out);
            put_group("Icmp", &[], &[], ICMP, out);
            // The algorithm of RFC 2988 is "other", its bounds are in ms, and connections are not bounded.
            put_group("Tcp", &["RtoAlgorithm", "RtoMin", "RtoMax", "MaxConn"], &[1, 200, 120_000, -1], TCP, out);
            put_group("Udp", &[], &[], UDP, out);
            put_group("UdpLite", &[], &[], UDP, out);
        }
        Text::Netstat => {
            put_group("TcpExt", &[], &[], TCP_EXT, out);
            put_group("IpExt", &[], &[], IP_EXT, out);
        }
        Text::Snmp6 => {
            for name in SNMP6.split(' ') {
                out.put_left(name, 32);
                out.put(b"\t0\n");
            }
        }
        Text::Psched => {
            // ns in a us, ns in a tick of the scheduler, us in a second, and the clock's resolution of 1 ns.
            for (at, number) in [1000, 64, 1_000_000, 1_000_000_000].into_iter().enumerate() {
                if at > 0 {
                    out.put_byte(b' ');
                }
                out.put_hex(number, 8);
            }
            out.put_byte(b'\n');
        }
        Text::Softnet => {
            const COLUMNS: usize = 15;
            const CPU_COLUMN: usize = 12;
            for cpu in 0..settings.cpus {
                for column in 0..COLUMNS {
                    if column > 0 {
                        out.put_byte(b' ');
                    }
                    out.put_hex(if column == CPU_COLUMN { cpu.into() } else { 0 }, 8);
                }
                out.put_byte(b'\n');
            }
        }
    }
}

/// A line of names and one of values: `settings` and then counters, each 0.
fn put_group<S: Sink + ?Sized>(group: &str, labels: &[&str], settings: &[i64], counters: &str, out: &mut S) {
    out.put_str(group);
    out.put_byte(b':');
    for name in labels.iter().copied().chain(counters.split(' ')) {
        out.put_byte(b' ');
        out.put_str(name);
    }
    out.put_byte(b'\n');
    out.put_str(group);
    out.put_byte(b':');
    for &value in settings {
        out.put_byte(b' ');
        out.put_i64(value);
    }
    for _ in counters.split(' ') {
        out.put(b" 0");
    }
    out.put_byte(b'\n');
}

#[cfg(test)]
mod tests {
    use super::ENTRIES;

    #[test]
    fn entries_are_in_the_order_of_linuxs_tree() {
        assert!(ENTRIES.is_sorted_by_key(|entry| (entry.name.len(), entry.name)));
    }
}
