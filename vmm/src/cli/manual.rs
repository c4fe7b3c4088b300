//! `completions` and `man`: what shells and man(1) know of the command, made from its own definition.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::{Failure, plain, print};

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) -> Result<u8, Failure> {
    let mut text = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "procvisor", &mut text);
    print(&text)?;
    Ok(0)
}

/// Writes the man pages into a directory, one for each command.
pub(crate) fn man(directory: &Path) -> Result<u8, Failure> {
    let failed = |error: io::Error| {
        Failure::ours(format!("cannot write man pages to {}: {}", directory.display(), plain(&error)))
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    Ok(0)
}
