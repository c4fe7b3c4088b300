//! The command line: its words, their defaults and their checks.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use vmm::config::DEFAULT_MEMORY_BYTES;
use vmm::proc::table::Column;
use vmm::top::view::Sort;

use super::config_file;
use super::log::{LogFormat, LogLevel};
use super::signal;

/// Boots Linux programs in a micro-VM and shows the host their /proc.
#[derive(Debug, Parser)]
#[command(name = "procvisor", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// Speak 9P2000.L to this unix socket (a VM's, or QEMU's for the port procvisor.proc); VM is then left out
    #[arg(long, global = true, value_name = "SOCKET")]
    pub(crate) connect: Option<PathBuf>,
    /// Tell on standard error what happens on the host's side
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value = "off", env = "PROCVISOR_LOG")]
    pub(crate) log_level: LogLevel,
    /// As lines of text or JSON
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Boot a VM, run PROGRAM as its process 1, exit with its status
    #[command(override_usage = "procvisor run [OPTIONS] [--] PROGRAM [ARG]...", after_help = RUN_EXAMPLES)]
    #[command(args_override_self = true)]
    Run(Box<Run>),
    /// List the VMs that run on this host, with the processor time and memory of guests and VMMs
    List {
        /// Print JSON, with all that guest and host know of each
        #[arg(long)]
        json: bool,
    },
    /// List directories of a VM's /proc
    #[command(
        override_usage = "procvisor ls [--json] [-l] VM [PATH]...",
        after_help = "Example:\n  procvisor ls web                # the files of /proc\n  procvisor ls -l web 1/fd        # the descriptors of process 1"
    )]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Print kind, owner and size too
        #[arg(short, long)]
        long: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Print files of a VM's /proc
    #[command(
        override_usage = "procvisor cat [--raw] VM PATH...",
        after_help = "Example:\n  procvisor cat web 1/status 1/maps\n  procvisor cat web 1/environ | tr '\\0' '\\n'"
    )]
    Cat {
        /// Print control characters as they are, on a terminal too
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Print where symbolic links of a VM's /proc lead
    #[command(
        override_usage = "procvisor readlink [--json] VM PATH...",
        after_help = "Example:\n  procvisor readlink web 1/exe 1/cwd"
    )]
    Readlink {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Print the attributes of names in a VM's /proc
    #[command(
        override_usage = "procvisor stat [--json] VM PATH...",
        after_help = "Example:\n  procvisor stat web 1/environ"
    )]
    Stat {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Write standard input into a file of a VM's /proc
    #[command(
        override_usage = "procvisor write VM PATH",
        after_help = "Example:\n  echo 500 | procvisor write web 7/oom_score_adj"
    )]
    Write {
        #[command(flatten)]
        target: Target,
    },
    /// Print the processes of a VM
    #[command(override_usage = "procvisor ps [-o COLUMNS] [--tree] [--threads] [--json] VM", after_help = PS_EXAMPLES)]
    Ps(Ps),
    /// Show the processes of one or all VMs, live
    #[command(override_usage = "procvisor top [OPTIONS] [VM]", after_help = TOP_EXAMPLES)]
    Top(Top),
    /// Mount a VM's /proc on a directory of the host, for ps, top, htop, psutil, Prometheus exporters
    #[command(override_usage = "procvisor mount [OPTIONS] VM DIR", after_help = MOUNT_EXAMPLES)]
    Mount(MountArgs),
    /// Print the completions for a shell
    #[command(after_help = COMPLETION_EXAMPLES)]
    Completions { shell: Shell },
    /// Write the man pages into a directory
    #[command(after_help = "Example:\n  procvisor man /usr/local/share/man/man1 && man procvisor-run")]
    Man {
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Tell Prometheus about the VMs of this host and their processes (OpenMetrics over HTTP)
    #[command(after_help = METRICS_EXAMPLES)]
    Metrics(MetricsArgs),
    /// Stop a VM: a signal to its process 1, and after the grace the end
    #[command(override_usage = "procvisor stop [--signal SIG] [--grace SECS] VM")]
    Stop {
        /// The signal, by name or number
        #[arg(long, value_name = "SIG", value_parser = signal::parse, default_value = "TERM")]
        signal: i32,
        /// How long the program may take to end by itself; with 0 it is not asked
        #[arg(long, value_name = "SECS", value_parser = parse_grace, default_value = "5")]
        grace: std::time::Duration,
        /// Its name, as `procvisor list` has it
        #[arg(value_name = "VM")]
        name: String,
    },
    /// Send a signal from outside to a process of a VM
    #[command(override_usage = "procvisor signal VM PID SIG")]
    Signal {
        /// The VM's name, a process number as the VM's /proc has it, and a signal by name or number (0 asks for the process only)
        #[arg(value_name = "VM PID SIG")]
        words: Vec<OsString>,
    },
    /// Let a VM's processor stand still until it is resumed; its clock goes on
    Pause {
        /// Its name, as `procvisor list` has it
        #[arg(value_name = "VM")]
        name: String,
    },
    /// Let a paused VM go on
    Resume {
        /// Its name, as `procvisor list` has it
        #[arg(value_name = "VM")]
        name: String,
    },
    /// Wait until a VM ends, print the status of its `run` and exit with it
    Wait {
        /// Its name, as `procvisor list` has it
        #[arg(value_name = "VM")]
        name: String,
    },
    /// Print what a detached VM has written
    #[command(override_usage = "procvisor logs [-f] [--kernel] VM")]
    Logs {
        /// Go on until the VM ends
        #[arg(long, short)]
        follow: bool,
        /// Print the end of the guest kernel's log instead, of any VM
        #[arg(long)]
        kernel: bool,
        /// Its name, as `procvisor list` has it
        #[arg(value_name = "VM")]
        name: String,
    },
}

/// The words `VM PATH...`, or `PATH...` with `--connect`.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The VM's name, then paths below its /proc
    #[arg(value_name = "VM [PATH]")]
    pub(crate) words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Columns, by their names in ps(1)
    #[arg(short = 'o', long = "columns", value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) columns: Vec<Column>,
    /// Show which process is whose child
    #[arg(long)]
    pub(crate) tree: bool,
    /// A line for each thread
    #[arg(long, short = 'L')]
    pub(crate) threads: bool,
    /// Print JSON, with every column
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

const PS_EXAMPLES: &str =
    "Columns: pid tid ppid pgid sid user group stat state pcpu pmem time etime etimes start vsz rss pss nlwp pri ni
min_flt maj_flt tty comm args. Users and groups are numbers: their names are the guest's own affair. Sizes are KiB.

Examples:
  procvisor ps web
  procvisor ps -o pid,pcpu,rss,pss,start,args web
  procvisor ps --tree web
  procvisor ps --threads -o pid,tid,stat,time,comm web
  procvisor ps --json web | jq '.[] | select(.cpu_percent > 50)'";

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Print tables instead of a screen
    #[arg(long, short = 'b')]
    pub(crate) batch: bool,
    /// With --batch: how many tables [default: no end]
    #[arg(long, short = 'n', value_name = "N", requires = "batch", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Seconds from one look to the next
    #[arg(long, short = 'd', value_name = "SECS", value_parser = parse_seconds, default_value = "2")]
    pub(crate) delay: std::time::Duration,
    /// What to sort by: pid, threads, cpu, memory, time or command
    #[arg(long, value_name = "COLUMN", default_value = "cpu")]
    pub(crate) sort: Sort,
    /// Only what has this text in its command or its VM's name
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// Children below their parents
    #[arg(long)]
    pub(crate) tree: bool,
    /// Print to standard error at the end what top itself has cost
    #[arg(long)]
    pub(crate) timing: bool,
    /// The VM's name [default: all VMs]
    #[arg(value_name = "VM")]
    pub(crate) words: Vec<OsString>,
}

const TOP_EXAMPLES: &str =
    "Keys: q quit, h help, P M T N sort, / filter, t tree, tab next VM, enter one process, space pause.

Examples:
  procvisor top
  procvisor top --sort memory web
  procvisor top --batch -n 2 -d 5 --filter nginx";

#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// Let other users in too, by the modes and owners of the guest's files [default: the user who mounts, as the guest's root]
    #[arg(long)]
    pub(crate) allow_other: bool,
    /// Return once it is mounted, and leave it so until umount or the VM's end
    #[arg(long, short = 'b')]
    pub(crate) background: bool,
    /// This process is the one in the background; its standard output goes to the one that the user started
    #[arg(long, hide = true)]
    pub(crate) detached_child: bool,
    /// The VM's name and an empty directory
    #[arg(value_name = "VM DIR")]
    pub(crate) words: Vec<OsString>,
}

const EXAMPLES: &str = "Examples:
  procvisor run -- /bin/busybox sh                # a shell in a VM of its own
  procvisor run --name web --detach -- ./server   # leave it running
  procvisor ps web
  procvisor cat web 1/status
  procvisor stop web

Exit status: of run, the program's, or 128+n when signal n ended it; 124 for --timeout, 126 and 127 as shells have them. Of the commands
that read, 1 when a path fails. 125 for every failure of procvisor's own, which is one line on standard error.";

const RUN_EXAMPLES: &str = "Examples:
  procvisor run -- /bin/busybox sh -c 'exit 7'
  echo hi | procvisor run -- /bin/busybox cat
  procvisor run --root ./debian --memory 512M --env LANG=C.UTF-8 -- /bin/bash
  procvisor run --config web.toml

A configuration file (TOML) has the long options as keys, and PROGRAM as command; options given here count for more:
  name = \"web\"
  memory = \"64M\"
  env = { MODE = \"test\" }
  command = [\"/bin/busybox\", \"httpd\", \"-f\"]

Exit status: PROGRAM's, or 128+n when signal n ended it; 124 for --timeout; 125 for a failure of procvisor's own; 126 when PROGRAM cannot
be executed; 127 when it is not found.";

const COMPLETION_EXAMPLES: &str = "Examples:
  procvisor completions bash > /etc/bash_completion.d/procvisor
  procvisor completions zsh > ~/.zfunc/_procvisor
  procvisor completions fish > ~/.config/fish/completions/procvisor.fish";

const MOUNT_EXAMPLES: &str =
    "It ends, with status 0, when the directory is unmounted (umount DIR, or ^C here) or the VM ends.

Examples:
  procvisor mount --background web /mnt/web
  cat /mnt/web/1/status; ls -l /mnt/web/1/fd
  prometheus-node-exporter --path.procfs=/mnt/web
  python3 -c 'import psutil; psutil.PROCFS_PATH = \"/mnt/web\"; print(psutil.pids())'
  unshare -m sh -c 'mount --bind /mnt/web /proc && exec ps -ef'   # tools that know /proc only: ps, top, htop
  umount /mnt/web";

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Serve http://ADDR/metrics; whoever can reach ADDR can read the names of all processes
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9977")]
    pub(crate) listen: std::net::SocketAddr,
    /// Print the metrics once and end
    #[arg(long, conflicts_with = "listen")]
    pub(crate) once: bool,
    /// Processes of each VM that get series; of the others only their count is told
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub(crate) max_processes: usize,
    /// How long one VM may take to answer; keep it below scrape_timeout of Prometheus
    #[arg(long, value_name = "SECS", value_parser = parse_seconds, default_value = "3")]
    pub(crate) timeout: std::time::Duration,
}

const METRICS_EXAMPLES: &str =
    "It runs until it is ended (^C, SIGTERM). A VM that does not answer has procvisor_vm_up 0 and no other figures.

Examples:
  procvisor metrics --once | grep ^procvisor_vm_
  procvisor metrics &
  curl http://127.0.0.1:9977/metrics
  procvisor metrics --listen [::1]:9000 --max-processes 50

In prometheus.yml:
  scrape_configs:
    - job_name: procvisor
      static_configs: [{targets: [127.0.0.1:9977]}]";

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Take options, and PROGRAM if none is given here, from this file (TOML; below)
    #[arg(long, value_name = "FILE", value_parser = config_file::exists)]
    pub(crate) config: Option<PathBuf>,
    /// Name of the VM, unique on this host [default: made from PROGRAM]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Root file system: a directory, or a cpio archive (newc) [default: PROGRAM with its libraries]
    #[arg(long, value_name = "DIR|FILE.cpio")]
    pub(crate) root: Option<PathBuf>,
    /// Guest RAM, such as 64M or 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value_t = Size(DEFAULT_MEMORY_BYTES))]
    pub(crate) memory: Size,
    /// Environment variable of PROGRAM; K alone takes the host's value
    #[arg(long = "env", short = 'e', value_name = "K=V")]
    pub(crate) env: Vec<OsString>,
    /// Working directory of PROGRAM
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) cwd: PathBuf,
    /// User that PROGRAM runs as, by number
    #[arg(long, value_name = "UID[:GID]", value_parser = parse_user, default_value = "0:0")]
    pub(crate) user: User,
    /// Host name in the guest [default: the VM's name]
    #[arg(long, value_name = "NAME", value_parser = parse_hostname)]
    pub(crate) hostname: Option<String>,
    /// Print the VM's name once it answers, and leave it running
    #[arg(long, short = 'd')]
    pub(crate) detach: bool,
    /// Mount the guest's /proc on this empty directory of the host while the VM runs
    #[arg(long, value_name = "DIR")]
    pub(crate) proc_mount: Option<PathBuf>,
    /// Boot this kernel (ELF) instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// Stop the VM after this many seconds, with status 124
    #[arg(long, value_name = "SECS", value_parser = parse_seconds)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// Copy the kernel's log to standard error
    #[arg(long)]
    pub(crate) kernel_log: bool,
    /// Print to standard error when each step was reached: `timing: STEP MICROSECONDS`, from the start of this process
    #[arg(long)]
    pub(crate) timing: bool,
    /// This process is the detached one; its standard output goes to the one that the user started
    #[arg(long, hide = true)]
    pub(crate) detached_child: bool,
    /// The program, found in PATH when it has no slash, and its arguments
    #[arg(required_unless_present = "config", trailing_var_arg = true, value_name = "PROGRAM [ARG]")]
    pub(crate) command: Vec<OsString>,
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(30, 'G'), (20, 'M'), (10, 'K')];
        match units.iter().find(|(shift, _)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A user and a group of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

fn parse_size(text: &str) -> Result<Size, String> {
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err("give a number with K, M or G, such as 64M".into()),
    };
    let number: u64 = number.parse().map_err(|_| "give a number with K, M or G, such as 64M")?;
    number.checked_mul(1 << shift).filter(|size| *size > 0).map(Size).ok_or_else(|| "out of range".into())
}

fn parse_user(text: &str) -> Result<User, String> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    // Linux takes -1 (u32::MAX) for "no user".
    let number = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
    match (number(uid), number(gid)) {
        (Some(uid), Some(gid)) => Ok(User { uid, gid }),
        _ => Err("give numbers, such as 1000 or 1000:1000".into()),
    }
}

fn parse_hostname(text: &str) -> Result<String, String> {
    let usual = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(usual);
    if fits { Ok(text.to_owned()) } else { Err("use up to 64 letters, digits, '-', '_' and '.'".into()) }
}

fn parse_grace(text: &str) -> Result<std::time::Duration, String> {
    if text == "0" { Ok(std::time::Duration::ZERO) } else { parse_seconds(text) }
}

fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds, such as 10 or 0.5")?;
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "give a number of seconds above 0".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"procvisor").chain(words))
    }

    fn run(words: &[&str]) -> Run {
        match parse(words).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn what_follows_program_is_its_own() {
        let parsed = run(&["run", "--memory", "64M", "/bin/busybox", "sh", "-c", "x", "--name", "y"]);
        assert_eq!(parsed.command, ["/bin/busybox", "sh", "-c", "x", "--name", "y"]);
        assert_eq!((parsed.memory, parsed.name), (Size(64 << 20), None));
        let parsed = run(&["run", "--user", "5:6", "-e", "A=b", "--", "-odd", "--", "x"]);
        assert_eq!(parsed.command, ["-odd", "--", "x"]);
        assert_eq!((parsed.user, parsed.env), (User { uid: 5, gid: 6 }, vec![OsString::from("A=b")]));
        assert!(parse(&["run"]).is_err());
        assert!(parse(&["run", "--nosuch", "x"]).is_err());
    }

    #[test]
    fn values_are_checked() {
        for size in ["", "M", "64Q", "-1M", "0", "99999999999999999999", "18446744073709551615K"] {
            assert!(parse_size(size).is_err(), "{size}");
        }
        assert_eq!(parse_size("1g").unwrap().to_string(), "1G");
        assert_eq!(parse_user("7").unwrap(), User { uid: 7, gid: 7 });
        for user in ["", "root", "1:", "-1", "4294967295"] {
            assert!(parse_user(user).is_err(), "{user}");
        }
        for seconds in ["", "x", "0", "-1", "nan", "inf"] {
            assert!(parse_seconds(seconds).is_err(), "{seconds}");
        }
        assert_eq!(parse_seconds("0.5").unwrap().as_millis(), 500);
        assert!(parse_hostname("a b").is_err());
    }

    #[test]
    fn connect_may_stand_anywhere_before_the_words() {
        for words in [["--connect", "/s", "cat", "1/stat"], ["cat", "--connect", "/s", "1/stat"]] {
            let cli = parse(&words).unwrap();
            assert_eq!(cli.connect.as_deref(), Some(std::path::Path::new("/s")));
            assert!(matches!(cli.command, Command::Cat { target, .. } if target.words == ["1/stat"]));
        }
    }
}
