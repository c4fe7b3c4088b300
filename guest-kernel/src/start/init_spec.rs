//! What to run first: from the `procvisor.init` module, or from the command line as Linux has it.

use alloc::vec::Vec;

use super::module_bytes;
use crate::boot::BootInfo;
use crate::cred::OVERFLOW_ID;

/// Where Linux looks for init when nothing names one.
const DEFAULT_INIT: &[u8] = b"/sbin/init";
/// Linux's own environment for init (init/main.c envp_init).
const DEFAULT_ENV: [&[u8]; 2] = [b"HOME=/", b"TERM=linux"];

/// The first program, its arguments and surroundings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InitSpec {
    pub(super) args: Vec<Vec<u8>>,
    pub(super) env: Vec<Vec<u8>>,
    pub(super) cwd: Option<Vec<u8>>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) hostname: Option<Vec<u8>>,
}

impl InitSpec {
    pub(super) fn read(boot: &BootInfo) -> Self {
        let records = module_bytes(boot.init_records);
        let mut spec = if records.is_empty() { Self::from_command_line(boot) } else { Self::from_records(&records) };
        if spec.hostname.is_none() {
            spec.hostname = boot.value(b"hostname").map(<[u8]>::to_vec);
        }
        spec
    }

    /// The path of the program: its first argument.
    pub(super) fn path(&self) -> Vec<u8> {
        self.args.first().cloned().unwrap_or_default()
    }

    fn from_records(records: &[u8]) -> Self {
        let mut spec = InitSpec::default();
        for record in records.split(|&b| b == 0) {
            let Some(at) = record.iter().position(|&b| b == b'=') else { continue };
            let value = record[at + 1..].to_vec();
            // What is no number must not make the program root.
            let number = || core::str::from_utf8(&value).ok().and_then(|text| text.parse().ok()).unwrap_or(OVERFLOW_ID);
            match &record[..at] {
                b"arg" => spec.args.push(value),
                b"env" => spec.env.push(value),
                b"cwd" => spec.cwd = Some(value),
                b"uid" => spec.uid = number(),
                b"gid" => spec.gid = number(),
                b"hostname" => spec.hostname = Some(value),
                _ => {}
            }
        }
        spec
    }

    fn from_command_line(boot: &BootInfo) -> Self {
        let program = boot.value(b"init").unwrap_or(DEFAULT_INIT).to_vec();
        let words = boot.command_line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let rest = words.skip_while(|word| *word != b"--").skip(1);
        // QEMU puts its devices at the end of the line, behind the program's arguments.
        let rest = rest.filter(|word| !word.starts_with(b"virtio_mmio.device="));
        let mut args = alloc::vec![program];
        args.extend(rest.map(<[u8]>::to_vec));
        InitSpec { args, env: DEFAULT_ENV.map(<[u8]>::to_vec).to_vec(), ..InitSpec::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::InitSpec;

    #[test]
    fn records_keep_their_order_and_any_byte_but_nul() {
        let spec = InitSpec::from_records(b"arg=/bin/sh\0arg=-c\0arg=a=b\xff\0env=K=V\0uid=7\0cwd=/tmp\0");
        assert_eq!(spec.args, [b"/bin/sh".to_vec(), b"-c".to_vec(), b"a=b\xff".to_vec()]);
        assert_eq!(spec.env, [b"K=V".to_vec()]);
        assert_eq!((spec.uid, spec.cwd.as_deref()), (7, Some(b"/tmp".as_slice())));
    }
}
