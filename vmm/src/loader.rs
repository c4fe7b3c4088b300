//! Puts kernel, command line, modules and PVH's start info into guest memory.
//!
//! Owns the boot contract's data side; registers and page tables are `vcpu::boot`'s. Everything in the kernel file and every size is checked
//! here: a bad `--kernel` or too little memory is an error that says what is wrong, never a guest that dies.
//! Source: Xen public/arch-x86/hvm/start_info.h; ARCHITECTURE.md.

use std::fs::File;
use std::io::{self, Cursor, Seek};

use linux_loader::loader::elf::start_info::{hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info};
use linux_loader::loader::{Elf, KernelLoader};
use object::LittleEndian;
use object::elf::{EM_X86_64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use vm_memory::{Bytes, GuestAddress};

use crate::config::{Initramfs, InitramfsPart, StdioKind, VmConfig};
use crate::kvm::Platform;
use crate::layout;
use crate::memory::{GuestMemory, GuestRam, unload_built_in_kernel};

/// `hvm_start_info.magic`.
const START_MAGIC: u32 = 0x336e_c578;
/// Version of `hvm_start_info` that has a memory map.
const START_VERSION: u32 = 1;
/// `XEN_HVM_MEMMAP_TYPE_RAM`.
const MEMMAP_RAM: u32 = 1;
/// `XEN_HVM_MEMMAP_TYPE_RESERVED`.
const MEMMAP_RESERVED: u32 = 2;
/// Name of module 1.
const INIT_MODULE: &[u8] = b"procvisor.init\0";
/// Where the kernel's virtual addresses begin: -2 GiB.
const KERNEL_VIRTUAL_BASE: u64 = 0xffff_ffff_8000_0000;
/// What the kernel needs beyond its image and modules to start at all: frame table, heap, page tables, a first process.
const WORKING_BYTES: u64 = 4 << 20;

/// Why a machine cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an ELF64 kernel of this architecture.
    #[error("the kernel is not usable: {0}")]
    Kernel(String),
    /// linux-loader could not put it into memory.
    #[error("the kernel cannot be loaded")]
    Load(#[source] linux_loader::loader::Error),
    /// RAM too small for kernel and root file system.
    #[error(
        "guest memory of {have_mib} MiB is too small for kernel and root file system; at least {need_mib} MiB are needed (--memory {need_mib}M)"
    )]
    TooSmall {
        /// RAM asked for, in MiB.
        have_mib: u64,
        /// The least that would do, in MiB.
        need_mib: u64,
    },
    /// Modules do not fit what the boot page tables reach.
    #[error("the root file system of {mib} MiB is too large; kernel and root must fit into the first GiB of memory")]
    RootTooLarge {
        /// Its size, in MiB.
        mib: u64,
    },
    /// Command line too long.
    #[error("the kernel command line of {len} bytes is too long (at most {max})")]
    CommandLine {
        /// Its length in bytes.
        len: usize,
        /// The most that fits, in bytes.
        max: usize,
    },
    /// A NUL byte where records are NUL-terminated.
    #[error("an argument, the environment, the directory, the host name or the kernel command line holds a NUL byte")]
    Nul,
    /// Initramfs not a regular file.
    #[error("the root archive is not a regular file")]
    NotRegular,
    /// Initramfs unreadable.
    #[error("cannot read the root archive")]
    ReadRoot(#[source] io::Error),
    /// Guest memory access failed.
    #[error("cannot write guest memory")]
    Memory(#[from] vm_memory::GuestMemoryError),
}

/// Where the kernel lies and where it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelExtent {
    /// Virtual address of the 64-bit entry.
    pub entry: u64,
    /// Physical address of its first byte.
    pub start: u64,
    /// Physical address behind its last byte, zero-filled data included.
    pub end: u64,
}

/// The facts about the host that the kernel is told.
#[derive(Debug, Clone, Copy)]
pub struct HostFacts {
    /// Which CPU platform it runs on.
    pub platform: Platform,
    /// Frequency of the guest's TSC in kHz, where known.
    pub tsc_khz: Option<u32>,
    /// Wall-clock time in ns since 1970 at `epoch_tsc`.
    pub epoch_ns: u64,
    /// The guest's TSC at `epoch_ns`.
    pub epoch_tsc: u64,
}

/// Reads the extent of an ELF64 kernel.
///
/// # Errors
/// [`Error::Kernel`] for anything that is not such a kernel, or lies where it may not.
pub fn kernel_extent(image: &[u8]) -> Result<KernelExtent, Error> {
    let bad = |text: &str| Error::Kernel(text.to_owned());
    let header = FileHeader64::<LittleEndian>::parse(image).map_err(|_| bad("not an ELF64 file"))?;
    let endian = header.endian().map_err(|_| bad("not a little-endian ELF file"))?;
    if header.e_machine(endian) != EM_X86_64 {
        return Err(bad("not built for x86-64"));
    }
    let segments = header.program_headers(endian, image).map_err(|_| bad("its program headers are cut off"))?;
    let entry = header.e_entry(endian);
    let (mut start, mut end, mut holds_entry) = (u64::MAX, 0, false);
    for segment in segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD && segment.p_memsz(endian) != 0) {
        let (physical, memory) = (segment.p_paddr(endian), segment.p_memsz(endian));
        let segment_end = physical.checked_add(memory).ok_or_else(|| bad("a segment wraps around"))?;
        let file_end = segment.p_offset(endian).checked_add(segment.p_filesz(endian));
        if segment.p_filesz(endian) > memory || file_end.is_none_or(|file_end| file_end > image.len() as u64) {
            return Err(bad("a segment is cut off"));
        }
        if physical < layout::HANDOVER_END || segment_end > layout::BOOT_MAPPED_BYTES {
            return Err(bad("a segment lies outside 1 MiB .. 1 GiB of physical memory"));
        }
        holds_entry |= (physical..segment_end).contains(&entry.wrapping_sub(KERNEL_VIRTUAL_BASE));
        start = start.min(physical);
        end = end.max(segment_end);
    }
    if end == 0 {
        return Err(bad("no segment to load"));
    }
    if !holds_entry {
        return Err(bad("its entry point is not in a segment at -2 GiB plus physical address"));
    }
    Ok(KernelExtent { entry, start, end })
}

/// Where module contents go, by size.
#[derive(Debug, PartialEq, Eq)]
struct Modules {
    initramfs: Option<layout::RamRange>,
    init: Option<layout::RamRange>,
}

/// Where everything goes.
#[derive(Debug)]
pub struct Plan {
    /// Where the kernel lies.
    pub extent: KernelExtent,
    modules: Modules,
    records: Option<Vec<u8>>,
}

/// Checks what is to be loaded and finds a place for it.
///
/// # Errors
/// See [`Error`]: a kernel that is none, memory too small, a NUL byte.
pub fn plan(ram: &GuestRam, config: &VmConfig) -> Result<Plan, Error> {
    let extent = kernel_extent(&config.kernel)?;
    let records = config.init.as_ref().map(|init| if init.has_nul() { Err(Error::Nul) } else { Ok(init.to_records()) });
    let records = records.transpose()?;
    let initramfs_bytes = initramfs_len(&config.initramfs)?;
    let modules = place_modules(ram.len_bytes(), &extent, initramfs_bytes, records.as_deref().map(<[u8]>::len))?;
    Ok(Plan { extent, modules, records })
}

/// Puts kernel and modules into memory: what takes time, and touches nothing that `describe` writes.
///
/// # Errors
/// [`Error::ReadRoot`], [`Error::Load`] and [`Error::Memory`].
pub fn load(ram: &GuestRam, plan: &Plan, kernel: &[u8], initramfs: Initramfs) -> Result<(), Error> {
    let memory = ram.view();
    Elf::load(memory, None, &mut Cursor::new(kernel), None).map_err(Error::Load)?;
    if let Some(range) = plan.modules.initramfs {
        copy_initramfs(memory, initramfs, range)?;
    }
    if let (Some(range), Some(records)) = (plan.modules.init, &plan.records) {
        memory.write_slice(records, GuestAddress(range.start))?;
    }
    if std::ptr::eq(kernel, crate::GUEST_KERNEL) {
        unload_built_in_kernel();
    }
    Ok(())
}

/// Writes the command line and the start info.
///
/// # Errors
/// [`Error::Nul`] and [`Error::CommandLine`] for what the user added to the command line.
pub fn describe(ram: &GuestRam, config: &VmConfig, facts: &HostFacts, plan: &Plan) -> Result<(), Error> {
    let memory = ram.view();
    memory.write_slice(&command_line(config, facts)?, GuestAddress(layout::COMMAND_LINE))?;
    write_start_info(memory, ram.len_bytes(), facts.platform, &plan.modules)
}

/// The kernel command line with its NUL.
fn command_line(config: &VmConfig, facts: &HostFacts) -> Result<Vec<u8>, Error> {
    let mut words = Vec::with_capacity(8);
    if facts.platform == Platform::Pvm {
        words.push("procvisor.platform=pvm".to_owned());
        words.push(format!("procvisor.shared_page={:#x}", layout::PVM_SHARED_PAGE));
    }
    if let Some(khz) = facts.tsc_khz {
        words.push(format!("procvisor.tsc_khz={khz}"));
    }
    words.push(format!("procvisor.epoch_ns={} procvisor.epoch_tsc={}", facts.epoch_ns, facts.epoch_tsc));
    words.push(format!("virtio_mmio.device=4K@{:#x}:{}", layout::VIRTIO_CONSOLE_MMIO, layout::VIRTIO_CONSOLE_IRQ));
    let stdio = match config.stdio {
        StdioKind::Console => "console",
        StdioKind::Streams => "streams",
    };
    words.push(format!("procvisor.stdio={stdio}"));
    if config.timing.is_on() {
        words.push("procvisor.timing".to_owned());
    }
    if !config.extra_cmdline.is_empty() {
        words.push(config.extra_cmdline.clone());
    }
    let mut line = words.join(" ").into_bytes();
    if line.contains(&0) {
        return Err(Error::Nul);
    }
    line.push(0);
    if line.len() > layout::COMMAND_LINE_MAX_BYTES {
        return Err(Error::CommandLine { len: line.len() - 1, max: layout::COMMAND_LINE_MAX_BYTES - 1 });
    }
    Ok(line)
}

fn initramfs_len(initramfs: &Initramfs) -> Result<Option<u64>, Error> {
    Ok(match initramfs {
        Initramfs::None => None,
        Initramfs::Bytes(bytes) => Some(bytes.len() as u64),
        Initramfs::File(file) => {
            let metadata = file.metadata().map_err(Error::ReadRoot)?;
            if !metadata.is_file() {
                return Err(Error::NotRegular);
            }
            Some(metadata.len())
        }
        Initramfs::Parts(parts) => {
            let len_of = |part: &InitramfsPart| match part {
                InitramfsPart::Bytes(bytes) => bytes.len() as u64,
                InitramfsPart::File { len_bytes, .. } => *len_bytes,
            };
            Some(parts.iter().map(len_of).fold(0, u64::saturating_add))
        }
    })
}

/// Puts the modules at the end of the RAM that the boot page tables reach, the initramfs on a page of its own.
fn place_modules(
    memory_bytes: u64,
    extent: &KernelExtent,
    initramfs: Option<u64>,
    init: Option<usize>,
) -> Result<Modules, Error> {
    let root_bytes = initramfs.unwrap_or(0);
    let too_large = Error::RootTooLarge { mib: root_bytes.div_ceil(1 << 20) };
    let Some(root_pages) = layout::page_ceil(root_bytes) else { return Err(too_large) };
    let init_bytes = init.map_or(0, |len| len as u64);
    let Some(init_pages) = layout::page_ceil(init_bytes) else { return Err(too_large) };
    let need = extent.end.saturating_add(WORKING_BYTES).saturating_add(root_pages).saturating_add(init_pages);
    if need > layout::BOOT_MAPPED_BYTES {
        return Err(too_large);
    }
    if need > memory_bytes {
        let need_mib = need.next_multiple_of(layout::LARGE_PAGE_BYTES) >> 20;
        return Err(Error::TooSmall { have_mib: memory_bytes >> 20, need_mib });
    }
    let init_start = layout::boot_ram_end(memory_bytes) - init_pages;
    let root_start = init_start - root_pages;
    Ok(Modules {
        initramfs: initramfs.map(|len_bytes| layout::RamRange { start: root_start, len_bytes }),
        init: init.map(|_| layout::RamRange { start: init_start, len_bytes: init_bytes }),
    })
}

fn copy_initramfs(memory: &GuestMemory, initramfs: Initramfs, range: layout::RamRange) -> Result<(), Error> {
    match initramfs {
        Initramfs::None => Ok(()),
        Initramfs::Bytes(bytes) => Ok(memory.write_slice(&bytes, GuestAddress(range.start))?),
        Initramfs::File(file) => copy_file(memory, file, range.start, range.len_bytes),
        Initramfs::Parts(parts) => {
            let mut at = range.start;
            for part in parts {
                at += match part {
                    InitramfsPart::Bytes(bytes) => {
                        memory.write_slice(&bytes, GuestAddress(at))?;
                        bytes.len() as u64
                    }
                    InitramfsPart::File { file, len_bytes } => {
                        copy_file(memory, file, at, len_bytes)?;
                        len_bytes
                    }
                };
            }
            Ok(())
        }
    }
}

/// Reads up to `len_bytes` of `file` straight into guest memory; what a shorter file does not fill stays zero.
fn copy_file(memory: &GuestMemory, mut file: File, start: u64, len_bytes: u64) -> Result<(), Error> {
    file.rewind().map_err(Error::ReadRoot)?;
    let mut done = 0;
    while done < len_bytes {
        let rest = usize::try_from(len_bytes - done).expect("fits guest memory");
        let read = match memory.read_volatile_from(GuestAddress(start + done), &mut file, rest) {
            Ok(read) => read,
            Err(vm_memory::GuestMemoryError::IOError(error)) => return Err(Error::ReadRoot(error)),
            Err(error) => return Err(error.into()),
        };
        if read == 0 {
            break;
        }
        done += read as u64;
    }
    Ok(())
}

fn write_start_info(
    memory: &GuestMemory,
    memory_bytes: u64,
    platform: Platform,
    modules: &Modules,
) -> Result<(), Error> {
    let mut list = Vec::with_capacity(2);
    // The init module's place in the list is fixed: an absent initramfs is an empty module 0.
    if modules.initramfs.is_some() || modules.init.is_some() {
        let range = modules.initramfs.unwrap_or(layout::RamRange { start: 0, len_bytes: 0 });
        list.push(hvm_modlist_entry { paddr: range.start, size: range.len_bytes, ..Default::default() });
    }
    if let Some(range) = modules.init {
        memory.write_slice(INIT_MODULE, GuestAddress(layout::INIT_MODULE_NAME))?;
        list.push(hvm_modlist_entry {
            paddr: range.start,
            size: range.len_bytes,
            cmdline_paddr: layout::INIT_MODULE_NAME,
            reserved: 0,
        });
    }
    for (slot, entry) in (layout::MODULE_LIST..).step_by(size_of::<hvm_modlist_entry>()).zip(&list) {
        memory.write_obj(*entry, GuestAddress(slot))?;
    }
    let map = memory_map(memory_bytes, platform);
    for (slot, entry) in (layout::MEMORY_MAP..).step_by(size_of::<hvm_memmap_table_entry>()).zip(&map) {
        memory.write_obj(*entry, GuestAddress(slot))?;
    }
    let info = hvm_start_info {
        magic: START_MAGIC,
        version: START_VERSION,
        nr_modules: u32::try_from(list.len()).expect("two at most"),
        modlist_paddr: if list.is_empty() { 0 } else { layout::MODULE_LIST },
        cmdline_paddr: layout::COMMAND_LINE,
        memmap_paddr: layout::MEMORY_MAP,
        memmap_entries: u32::try_from(map.len()).expect("a handful"),
        ..Default::default()
    };
    memory.write_obj(info, GuestAddress(layout::START_INFO))?;
    Ok(())
}

/// RAM, less the page that stays the hypervisor's for the machine's life.
fn memory_map(memory_bytes: u64, platform: Platform) -> Vec<hvm_memmap_table_entry> {
    let entry = |addr, end: u64, type_| hvm_memmap_table_entry { addr, size: end - addr, type_, reserved: 0 };
    let mut map = Vec::with_capacity(4);
    for range in layout::ram_ranges(memory_bytes) {
        let end = range.start + range.len_bytes;
        let shared = layout::PVM_SHARED_PAGE;
        if platform == Platform::Pvm && (range.start..end).contains(&shared) {
            map.push(entry(range.start, shared, MEMMAP_RAM));
            map.push(entry(shared, shared + layout::PAGE_BYTES, MEMMAP_RESERVED));
            map.push(entry(shared + layout::PAGE_BYTES, end, MEMMAP_RAM));
        } else {
            map.push(entry(range.start, end, MEMMAP_RAM));
        }
    }
    map
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::config::InitSpec;
    use std::borrow::Cow;
    use std::io::Write;

    /// A kernel of one segment, at 2 MiB, holding `code`, with `bss` zero bytes behind it.
    pub(crate) fn elf(code: &[u8], bss: u64) -> Vec<u8> {
        let mut out = vec![0u8; 0x1000];
        out[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &2u16.to_le_bytes());
        put(18, &62u16.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(24, &(KERNEL_VIRTUAL_BASE + 0x20_0000).to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(52, &64u16.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &1u16.to_le_bytes());
        put(58, &64u16.to_le_bytes());
        put(64, &1u32.to_le_bytes());
        put(68, &5u32.to_le_bytes());
        put(72, &0x1000u64.to_le_bytes());
        put(80, &(KERNEL_VIRTUAL_BASE + 0x20_0000).to_le_bytes());
        put(88, &0x20_0000u64.to_le_bytes());
        put(96, &(code.len() as u64).to_le_bytes());
        put(104, &(code.len() as u64 + bss).to_le_bytes());
        out.extend_from_slice(code);
        out
    }

    fn facts(platform: Platform) -> HostFacts {
        HostFacts { platform, tsc_khz: Some(2_500_000), epoch_ns: 17, epoch_tsc: 4 }
    }

    fn load_all(ram: &GuestRam, config: &mut VmConfig, platform: Platform) -> Result<KernelExtent, Error> {
        let plan = plan(ram, config)?;
        load(ram, &plan, &config.kernel, std::mem::replace(&mut config.initramfs, Initramfs::None))?;
        describe(ram, config, &facts(platform), &plan)?;
        Ok(plan.extent)
    }

    fn config() -> VmConfig {
        VmConfig {
            kernel: Cow::Owned(elf(b"code", 0x100)),
            initramfs: Initramfs::Bytes(Cow::Borrowed(b"070701 not really")),
            init: Some(InitSpec { args: vec!["/init".into()], ..InitSpec::default() }),
            extra_cmdline: "quiet -- a b".to_owned(),
            ..VmConfig::default()
        }
    }

    fn text_at(memory: &GuestMemory, at: u64, len: u64) -> String {
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn everything_the_contract_names_is_in_memory() {
        let ram = GuestRam::new(16 << 20).unwrap();
        let mut config = config();
        let extent = load_all(&ram, &mut config, Platform::Pvm).unwrap();
        assert_eq!(extent, KernelExtent { entry: KERNEL_VIRTUAL_BASE + 0x20_0000, start: 0x20_0000, end: 0x20_0104 });
        let memory = ram.view();
        assert_eq!(text_at(memory, 0x20_0000, 4), "code");
        let info: hvm_start_info = memory.read_obj(GuestAddress(layout::START_INFO)).unwrap();
        assert_eq!((info.magic, info.version, info.nr_modules, info.memmap_entries), (START_MAGIC, 1, 2, 3));
        let root: hvm_modlist_entry = memory.read_obj(GuestAddress(info.modlist_paddr)).unwrap();
        assert!(root.paddr.is_multiple_of(layout::PAGE_BYTES));
        assert_eq!(text_at(memory, root.paddr, root.size), "070701 not really");
        let init: hvm_modlist_entry = memory.read_obj(GuestAddress(info.modlist_paddr + 32)).unwrap();
        assert_eq!(text_at(memory, init.cmdline_paddr, 15), "procvisor.init\0");
        assert_eq!(text_at(memory, init.paddr, init.size), "arg=/init\0uid=0\0gid=0\0");
        let line = text_at(memory, info.cmdline_paddr, 400);
        assert!(
            line.starts_with(
                "procvisor.platform=pvm procvisor.shared_page=0x3000 procvisor.tsc_khz=2500000 procvisor.epoch_ns=17 \
                 procvisor.epoch_tsc=4 virtio_mmio.device=4K@0xd0000000:5 procvisor.stdio=streams quiet -- a b\0"
            ),
            "{line}"
        );
    }

    #[test]
    fn hardware_machines_hear_nothing_of_pvm() {
        let line = command_line(&config(), &facts(Platform::Hardware)).unwrap();
        assert!(line.starts_with(b"procvisor.tsc_khz="));
        assert_eq!(memory_map(16 << 20, Platform::Hardware).len(), 1);
        assert_eq!(memory_map(4 << 30, Platform::Hardware)[1].addr, 4 << 30);
    }

    #[test]
    fn too_little_memory_names_what_is_needed() {
        let ram = GuestRam::new(2 << 20).unwrap();
        let error = load_all(&ram, &mut config(), Platform::Pvm).unwrap_err();
        assert!(matches!(error, Error::TooSmall { have_mib: 2, need_mib: 8 }), "{error}");
        let enough = GuestRam::new(8 << 20).unwrap();
        load_all(&enough, &mut config(), Platform::Pvm).unwrap();
    }

    #[test]
    fn files_and_parts_are_read_from_their_start() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"from a file").unwrap();
        let parts = vec![
            InitramfsPart::Bytes(b"head ".to_vec()),
            InitramfsPart::File { file: file.try_clone().unwrap(), len_bytes: 14 },
            InitramfsPart::Bytes(b"tail".to_vec()),
        ];
        for (initramfs, expected) in
            [(Initramfs::File(file), "from a file"), (Initramfs::Parts(parts), "head from a file\0\0\0tail")]
        {
            let ram = GuestRam::new(8 << 20).unwrap();
            let mut config = VmConfig { initramfs, init: None, ..config() };
            load_all(&ram, &mut config, Platform::Hardware).unwrap();
            let module: hvm_modlist_entry = ram.view().read_obj(GuestAddress(layout::MODULE_LIST)).unwrap();
            assert_eq!(text_at(ram.view(), module.paddr, module.size), expected);
        }
    }

    #[test]
    fn bad_kernels_are_refused_with_a_reason() {
        let good = elf(b"code", 0);
        let with = |at: usize, bytes: &[u8]| {
            let mut image = good.clone();
            image[at..at + bytes.len()].copy_from_slice(bytes);
            kernel_extent(&image).unwrap_err().to_string()
        };
        assert!(kernel_extent(b"#!/bin/sh").unwrap_err().to_string().contains("ELF64"));
        assert!(with(18, &183u16.to_le_bytes()).contains("x86-64"));
        assert!(with(56, &9999u16.to_le_bytes()).contains("cut off"));
        assert!(with(96, &u64::MAX.to_le_bytes()).contains("cut off"));
        assert!(with(104, &u64::MAX.to_le_bytes()).contains("wraps"));
        assert!(with(88, &0x1000u64.to_le_bytes()).contains("1 MiB"));
        assert!(with(24, &0x1000u64.to_le_bytes()).contains("entry"));
        assert!(with(64, &6u32.to_le_bytes()).contains("no segment"));
        for len in 0..good.len() {
            assert!(kernel_extent(&good[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn oversized_command_lines_and_roots_are_refused() {
        let long = VmConfig { extra_cmdline: "x".repeat(20_000), ..config() };
        assert!(matches!(command_line(&long, &facts(Platform::Pvm)), Err(Error::CommandLine { .. })));
        let extent = kernel_extent(&elf(b"code", 0)).unwrap();
        assert!(matches!(place_modules(8 << 30, &extent, Some(2 << 30), None), Err(Error::RootTooLarge { .. })));
        assert!(matches!(place_modules(8 << 30, &extent, Some(u64::MAX), None), Err(Error::RootTooLarge { .. })));
    }
}
