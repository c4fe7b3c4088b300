//! The `procvisor` command.

fn main() {
    println!("{}", vmm::GUEST_KERNEL.len());
}
