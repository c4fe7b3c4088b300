//! The options of a mount of procfs: who is hidden from whom, and whether there is more than processes.
//!
//! Owns their syntax and how `mounts` shows them. Whom they concern is the caller's.
//! Source: Linux 6.12 fs/proc/root.c proc_parse_param(), proc_apply_options(); fs/proc/inode.c proc_show_options();
//! fs/fs_context.c vfs_parse_monolithic_sep(); proc(5).

use crate::c_integer::parse_u64;
use crate::{Errno, Sink};

/// How processes hide from who may not look at them (`hidepid=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum HidePid {
    /// Not.
    #[default]
    Off = 0,
    /// Their directories are listed and closed.
    NoAccess = 1,
    /// They are not to be seen.
    Invisible = 2,
    /// As if they did not exist; the exempt group counts for nothing.
    NotPtraceable = 4,
}

impl HidePid {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Off, "off"),
        (Self::NoAccess, "noaccess"),
        (Self::Invisible, "invisible"),
        (Self::NotPtraceable, "ptraceable"),
    ];

    /// The one with that number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.iter().map(|&(hide, _)| hide).find(|&hide| hide as u64 == number)
    }

    /// A number of any base, or a name.
    fn parse(text: &[u8]) -> Option<Self> {
        match parse_u64(text, 0) {
            Ok(number) => Self::from_number(number),
            Err(_) => Self::ALL.iter().find(|(_, name)| name.as_bytes() == text).map(|&(hide, _)| hide),
        }
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|&&(hide, _)| hide == self).map_or("unknown", |&(_, name)| name)
    }
}

/// What there is beside processes (`subset=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Subset {
    /// All files.
    #[default]
    All,
    /// Nothing but `self` and `thread-self` (`subset=pid`).
    Pid,
}

/// What one mount(2) says; what it does not mention stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// The group that nothing hides from, as the mounter's user namespace numbers it.
    pub gid: Option<u32>,
    /// Whether processes hide.
    pub hide_pid: Option<HidePid>,
    /// What else there is.
    pub subset: Option<Subset>,
}

impl Change {
    /// The options in the comma-separated `data`; of several of one name the last counts.
    ///
    /// # Errors
    /// `EINVAL` for an unknown option, and for a value that is none.
    pub fn parse(data: &[u8]) -> Result<Self, Errno> {
        let mut change = Self::default();
        for option in data.split(|&byte| byte == b',').filter(|option| !option.is_empty()) {
            let at = option.iter().position(|&byte| byte == b'=');
            let (key, value) = at.map_or((option, &[][..]), |at| (&option[..at], &option[at + 1..]));
            match key {
                // An option without a name is passed over.
                b"" => {}
                b"gid" => {
                    let gid = parse_u64(value, 0).ok().and_then(|gid| u32::try_from(gid).ok());
                    change.gid = Some(gid.ok_or(Errno::EINVAL)?);
                }
                b"hidepid" => change.hide_pid = Some(HidePid::parse(value).ok_or(Errno::EINVAL)?),
                b"subset" if value == b"pid" => change.subset = Some(Subset::Pid),
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(change)
    }
}

/// The options of a mount, as its line in `mounts` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// The group that nothing hides from, as the initial user namespace numbers it.
    pub gid: u32,
    /// Whether processes hide.
    pub hide_pid: HidePid,
    /// What else there is.
    pub subset: Subset,
}

/// Renders the options that are not as usual, with commas between them.
pub fn render<S: Sink + ?Sized>(options: &Options, out: &mut S) {
    let mut comma = "";
    if options.gid != 0 {
        out.put(b"gid=");
        out.put_u64(options.gid.into());
        comma = ",";
    }
    if options.hide_pid != HidePid::Off {
        out.put_str(comma);
        out.put(b"hidepid=");
        out.put_str(options.hide_pid.name());
        comma = ",";
    }
    if options.subset == Subset::Pid {
        out.put_str(comma);
        out.put(b"subset=pid");
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, HidePid, Options, Subset, render};
    use crate::Errno;
    use alloc::vec::Vec;

    #[test]
    fn numbers_and_names_of_hidepid() {
        let hide = |text: &str| Change::parse(text.as_bytes()).map(|change| change.hide_pid);
        for (text, value) in [
            ("hidepid=0", HidePid::Off),
            ("hidepid=off", HidePid::Off),
            ("hidepid=01", HidePid::NoAccess),
            ("hidepid=0x2", HidePid::Invisible),
            ("hidepid=ptraceable", HidePid::NotPtraceable),
            ("hidepid=1,hidepid=2", HidePid::Invisible),
        ] {
            assert_eq!(hide(text), Ok(Some(value)), "{text}");
        }
        for text in ["hidepid=3", "hidepid=5", "hidepid=-1", "hidepid=", "hidepid", "hidepid=on", "hidepid=1x"] {
            assert_eq!(hide(text), Err(Errno::EINVAL), "{text}");
        }
    }

    #[test]
    fn what_is_not_mentioned_stays() {
        assert_eq!(Change::parse(b""), Ok(Change::default()));
        assert_eq!(Change::parse(b",gid=010,"), Ok(Change { gid: Some(8), ..Change::default() }));
        for text in ["gid=-1", "gid=4294967296", "subset=", "subset=sys", "size=5", "nothing"] {
            assert_eq!(Change::parse(text.as_bytes()), Err(Errno::EINVAL), "{text}");
        }
    }

    #[test]
    fn options_are_shown_in_linuxs_order() {
        let text = |options: &Options| {
            let mut out = Vec::new();
            render(options, &mut out);
            out
        };
        assert_eq!(text(&Options::default()), b"");
        let all = Options { gid: 7, hide_pid: HidePid::Invisible, subset: Subset::Pid };
        assert_eq!(text(&all), b"gid=7,hidepid=invisible,subset=pid");
        assert_eq!(text(&Options { subset: Subset::Pid, ..Options::default() }), b"subset=pid");
    }
}
