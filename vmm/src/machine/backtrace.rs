//! Names for the addresses of a kernel panic.
//!
//! The kernel writes `backtrace: 0xADDRESS` lines to its log; names come from the symbol table of the very image that was booted.

use object::{Object, ObjectSymbol, ObjectSymbolTable, SymbolKind};

/// What marks an address in the log.
const MARK: &str = "backtrace: 0x";
/// The most addresses that get a name.
const MAX_FRAMES: usize = 64;

/// One line for each address in `log`: the address and, where known, function and offset.
pub(super) fn symbolized(kernel: &[u8], log: &str) -> Vec<String> {
    let addresses = log.lines().filter_map(|line| {
        let digits = &line[line.find(MARK)? + MARK.len()..];
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        u64::from_str_radix(&digits[..end], 16).ok()
    });
    let names = Names::read(kernel);
    addresses.take(MAX_FRAMES).map(|address| names.line(address)).collect()
}

/// The name of the function that `rip` of a register dump is in.
pub(super) fn place_of(kernel: &[u8], registers: &str) -> Option<String> {
    let digits = registers.strip_prefix("rip ")?.get(..16)?;
    let address = u64::from_str_radix(digits, 16).ok()?;
    Names::read(kernel).name(address)
}

/// Functions by address, sorted.
struct Names(Vec<(u64, u64, String)>);

impl Names {
    fn read(kernel: &[u8]) -> Self {
        let Ok(file) = object::File::parse(kernel) else { return Self(Vec::new()) };
        let symbols = file.symbol_table().into_iter().flat_map(|table| table.symbols());
        let functions = symbols.filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition());
        let mut names: Vec<_> = functions
            .filter_map(|symbol| Some((symbol.address(), symbol.size(), symbol.name().ok()?.to_owned())))
            .collect();
        names.sort_unstable();
        Self(names)
    }

    fn name(&self, address: u64) -> Option<String> {
        let behind = self.0.partition_point(|(start, ..)| *start <= address);
        let (start, size, name) = self.0.get(behind.checked_sub(1)?)?;
        let offset = address - start;
        // Assembly routines often have no size.
        let is_inside = offset < *size || *size == 0;
        is_inside.then(|| format!("{:#}+{offset:#x}", rustc_demangle::demangle(name)))
    }

    fn line(&self, address: u64) -> String {
        // A return address belongs to the call before it, which may be a function's last instruction.
        match self.name(address.saturating_sub(1)) {
            Some(name) => format!("{address:#018x} {name}"),
            None => format!("{address:#018x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn landmark() -> u64 {
        std::hint::black_box(landmark as fn() -> u64 as usize as u64)
    }

    #[test]
    fn addresses_of_a_log_get_names_from_the_image() {
        let image = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = object::File::parse(&*image).unwrap();
        let symbol = file.symbols().find(|symbol| symbol.name().is_ok_and(|name| name.contains("landmark"))).unwrap();
        assert_ne!(landmark(), 0);
        let address = symbol.address() + 2;
        let log = format!("panic: x\n[  0.1] backtrace: {address:#x} \nbacktrace: 0x1\nbacktrace: zz\n");
        let lines = symbolized(&image, &log);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("landmark+0x1"), "{lines:?}");
        assert_eq!(lines[1], "0x0000000000000001");
        let place = place_of(&image, &format!("rip {:016x}  rsp", address - 1)).unwrap();
        assert!(place.ends_with("landmark+0x1"), "{place}");
    }

    #[test]
    fn an_image_without_symbols_still_gives_addresses() {
        assert_eq!(symbolized(b"not an ELF", "backtrace: 0xff"), ["0x00000000000000ff"]);
    }
}
