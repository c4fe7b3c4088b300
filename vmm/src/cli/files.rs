//! `ls`, `cat`, `readlink`, `stat` and `write`: names below a VM's /proc.
//!
//! What comes from a guest is printed as it is to a file or pipe, and made harmless for a terminal, which would obey its escapes.

use std::ffi::OsString;
use std::io::{IsTerminal, Read, stdin, stdout};

use procfs_core::Errno;
use procfs_core::ninep::wire::{Attr, FileKind};
use serde::Serialize;
use vmm::proc::client::Entry;
use vmm::proc::table::{columns, printable};
use vmm::proc::transport::ClientError;

use super::target::{Resolved, VmClient, below_proc};
use super::{Failure, complain, plain, print, print_json};

/// A path failed, the VM did not.
const PATH_FAILED: u8 = 1;
/// The most that `write` takes from standard input: no file of /proc takes more than Linux's write limit of a page, so this is ample.
const WRITE_MAX: u64 = 1 << 20;

/// One name, for `--json`; `error` stands alone.
#[derive(Debug, Default, Serialize)]
struct Item {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    attributes: Option<Attributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Attributes {
    mode: String,
    links: u64,
    uid: u32,
    gid: u32,
    size: u64,
    blocks: u64,
    block_size: u64,
    accessed: u64,
    modified: u64,
    changed: u64,
}

/// The outcome of one path: the VM's failures end the command, the path's are told and go on.
fn per_path<T>(target: &Resolved, result: Result<T, ClientError>) -> Result<Result<T, Errno>, Failure> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(ClientError::Remote(errno)) => Ok(Err(errno)),
        Err(error) => Err(target.failure(&error)),
    }
}

fn tell(path: &OsString, errno: Errno) {
    complain(&format!("{}: {}", path.to_string_lossy(), plain(&errno)));
}

/// Says that a path failed where the listing says everything else: in it, or on standard error.
fn report(path: &OsString, errno: Errno, json: bool, items: &mut Vec<Item>) {
    if json {
        items.push(Item { path: path.to_string_lossy().into_owned(), error: Some(plain(&errno)), ..Item::default() });
    } else {
        tell(path, errno);
    }
}

pub(crate) fn ls(target: &Resolved, json: bool, long: bool) -> Result<u8, Failure> {
    let mut client = target.connect()?;
    let root = [OsString::from("/")];
    let paths = if target.paths.is_empty() { &root[..] } else { &target.paths[..] };
    let mut status = 0;
    let mut items = vec![];
    for (index, path) in paths.iter().enumerate() {
        let listed = match per_path(target, client.ls(below_proc(path)))? {
            // Not a directory: a file or link is its own list.
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                per_path(target, client.getattr(below_proc(path)))?.map(|attr| vec![itself(path, &attr)])
            }
            other => other,
        };
        match listed {
            Err(errno) => {
                status = PATH_FAILED;
                report(path, errno, json, &mut items);
            }
            Ok(entries) if json => items.push(Item {
                path: path.to_string_lossy().into_owned(),
                entries: Some(entries.iter().map(json_entry).collect()),
                ..Item::default()
            }),
            Ok(entries) => {
                let mut text = String::new();
                if paths.len() > 1 {
                    let gap = if index > 0 { "\n" } else { "" };
                    text = format!("{gap}{}:\n", path.to_string_lossy());
                }
                text += &if long { long_list(target, &mut client, path, &entries)? } else { short_list(&entries) };
                print(text.as_bytes())?;
            }
        }
    }
    if json {
        print_json(&items)?;
    }
    Ok(status)
}

fn itself(path: &OsString, attr: &Attr) -> Entry {
    Entry { name: path.to_string_lossy().into_owned().into_bytes(), kind: kind_of_mode(attr.mode), qid: attr.qid }
}

fn json_entry(entry: &Entry) -> Item {
    Item {
        path: String::from_utf8_lossy(&entry.name).into_owned(),
        kind: Some(kind_word(entry.kind)),
        inode: Some(entry.qid.path),
        ..Item::default()
    }
}

fn short_list(entries: &[Entry]) -> String {
    entries.iter().map(|entry| shown_name(&entry.name) + "\n").collect()
}

fn long_list(
    target: &Resolved,
    client: &mut VmClient,
    directory: &OsString,
    entries: &[Entry],
) -> Result<String, Failure> {
    let mut lines = vec![];
    for entry in entries {
        let mut path = below_proc(directory).to_vec();
        if kind_of_entry_is_itself(&path, &entry.name) {
            path.clear();
        } else {
            path.push(b'/');
        }
        path.extend_from_slice(below_proc(&name_of(&entry.name)));
        // A process that ended meanwhile is left out, as ls(1) would say and go on.
        let Ok(attr) = per_path(target, client.getattr(&path))? else { continue };
        let mut name = shown_name(&entry.name);
        if kind_of_mode(attr.mode) == FileKind::Symlink
            && let Ok(link) = per_path(target, client.readlink(&path))?
        {
            name += " -> ";
            name += &shown_name(&link);
        }
        lines.push([
            mode_text(attr.mode),
            attr.nlink.to_string(),
            attr.uid.to_string(),
            attr.gid.to_string(),
            attr.size.to_string(),
            name,
        ]);
    }
    Ok(columns(&lines, &[false, true, true, true, true, false], None))
}

/// Whether the entry is the named path itself, which was no directory.
fn kind_of_entry_is_itself(path: &[u8], name: &[u8]) -> bool {
    name.contains(&b'/') || below_proc(&name_of(name)) == path
}

fn name_of(name: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    OsString::from_vec(name.to_vec())
}

fn shown_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if stdout().is_terminal() { printable(&text) } else { text.into_owned() }
}

pub(crate) fn cat(target: &Resolved, raw: bool) -> Result<u8, Failure> {
    let mut client = target.connect()?;
    let paths: Vec<&[u8]> = target.paths.iter().map(below_proc).collect();
    let texts = client.read_files(&paths).map_err(|error| target.failure(&error))?;
    let harmless = !raw && stdout().is_terminal();
    let mut status = 0;
    for (path, text) in target.paths.iter().zip(texts) {
        match text {
            Ok(text) if harmless => print(&for_terminal(&text))?,
            Ok(text) => print(&text)?,
            Err(errno) => {
                tell(path, errno);
                status = PATH_FAILED;
            }
        }
    }
    Ok(status)
}

/// Text with control characters as `cat -v` shows them; lines and tabs stay.
pub(crate) fn for_terminal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for letter in String::from_utf8_lossy(text).chars() {
        match letter {
            '\n' | '\t' => out.push(letter as u8),
            '\0'..='\x1f' => out.extend([b'^', letter as u8 + b'@']),
            '\x7f' => out.extend(b"^?"),
            letter => out.extend(printable(letter.encode_utf8(&mut [0; 4])).bytes()),
        }
    }
    out
}

pub(crate) fn readlink(target: &Resolved, json: bool) -> Result<u8, Failure> {
    let mut client = target.connect()?;
    let paths: Vec<&[u8]> = target.paths.iter().map(below_proc).collect();
    let links = client.readlinks(&paths).map_err(|error| target.failure(&error))?;
    let mut status = 0;
    let mut items = vec![];
    for (path, link) in target.paths.iter().zip(links) {
        match link {
            Ok(link) if json => items.push(Item {
                path: path.to_string_lossy().into_owned(),
                target: Some(String::from_utf8_lossy(&link).into_owned()),
                ..Item::default()
            }),
            Ok(mut link) => {
                if stdout().is_terminal() {
                    link = printable(&String::from_utf8_lossy(&link)).into_bytes();
                }
                link.push(b'\n');
                print(&link)?;
            }
            Err(errno) => {
                status = PATH_FAILED;
                report(path, errno, json, &mut items);
            }
        }
    }
    if json {
        print_json(&items)?;
    }
    Ok(status)
}

pub(crate) fn stat(target: &Resolved, json: bool) -> Result<u8, Failure> {
    let mut client = target.connect()?;
    let mut status = 0;
    let mut items = vec![];
    for path in &target.paths {
        match per_path(target, client.getattr(below_proc(path)))? {
            Ok(attr) if json => items.push(Item {
                path: path.to_string_lossy().into_owned(),
                kind: Some(kind_word(kind_of_mode(attr.mode))),
                inode: Some(attr.qid.path),
                attributes: Some(attributes(&attr)),
                ..Item::default()
            }),
            Ok(attr) => print(stat_text(path, &attr).as_bytes())?,
            Err(errno) => {
                status = PATH_FAILED;
                report(path, errno, json, &mut items);
            }
        }
    }
    if json {
        print_json(&items)?;
    }
    Ok(status)
}

fn attributes(attr: &Attr) -> Attributes {
    Attributes {
        mode: format!("{:04o}", attr.mode & 0o7777),
        links: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        size: attr.size,
        blocks: attr.blocks,
        block_size: attr.blksize,
        accessed: attr.atime.sec,
        modified: attr.mtime.sec,
        changed: attr.ctime.sec,
    }
}

fn stat_text(path: &OsString, attr: &Attr) -> String {
    format!(
        "  File: {}\n  Size: {:<10} Blocks: {:<8} IO Block: {:<6} {}\n Inode: {:<10} Links: {}\nAccess: ({:04o}/{}) Uid: {} Gid: {}\n",
        path.to_string_lossy(),
        attr.size,
        attr.blocks,
        attr.blksize,
        kind_word(kind_of_mode(attr.mode)),
        attr.qid.path,
        attr.nlink,
        attr.mode & 0o7777,
        mode_text(attr.mode),
        attr.uid,
        attr.gid,
    )
}

pub(crate) fn write(target: &Resolved) -> Result<u8, Failure> {
    let [path] = &target.paths[..] else {
        return Err(Failure::ours("write takes one path; standard input goes into it"));
    };
    let mut data = vec![];
    stdin()
        .lock()
        .take(WRITE_MAX + 1)
        .read_to_end(&mut data)
        .map_err(|error| Failure::ours(format!("cannot read standard input: {}", plain(&error))))?;
    if data.len() as u64 > WRITE_MAX {
        return Err(Failure::ours(format!(
            "standard input has more than {WRITE_MAX} bytes; no file of /proc takes as much"
        )));
    }
    let mut client = target.connect()?;
    match per_path(target, client.write_file(below_proc(path), &data))? {
        Ok(_) => Ok(0),
        Err(errno) => {
            tell(path, errno);
            Ok(PATH_FAILED)
        }
    }
}

fn kind_of_mode(mode: u32) -> FileKind {
    // The type bits of a mode are the d_type's shifted by twelve (`S_DT`, include/linux/fs_types.h).
    FileKind::from_d_type(u8::try_from(mode >> 12 & 0xf).expect("four bits"))
}

fn kind_word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Unknown => "unknown",
        FileKind::Fifo => "fifo",
        FileKind::Char => "character device",
        FileKind::Dir => "directory",
        FileKind::Block => "block device",
        FileKind::File => "file",
        FileKind::Symlink => "symlink",
        FileKind::Socket => "socket",
    }
}

/// Type and permissions as ls(1) shows them.
fn mode_text(mode: u32) -> String {
    let kind = match kind_of_mode(mode) {
        FileKind::Unknown => '?',
        FileKind::Fifo => 'p',
        FileKind::Char => 'c',
        FileKind::Dir => 'd',
        FileKind::Block => 'b',
        FileKind::File => '-',
        FileKind::Symlink => 'l',
        FileKind::Socket => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_in_ls() {
        assert_eq!(mode_text(0o100_644), "-rw-r--r--");
        assert_eq!(mode_text(0o040_555), "dr-xr-xr-x");
        assert_eq!(mode_text(0o120_777), "lrwxrwxrwx");
        assert_eq!(mode_text(0o104_711), "-rws--x--x");
        assert_eq!(mode_text(0o041_776), "drwxrwxrwT");
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(for_terminal(b"a\0b\n\x1b[2J\x7f\xc3\xa9\t\xff"), "a^@b\n^[[2J^?\u{e9}\t\u{fffd}".as_bytes());
    }
}
