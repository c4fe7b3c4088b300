//! `run --config FILE`: the flags of `run`, written down in TOML.
//!
//! A key is a flag's name and its value what would stand behind the flag; the file's words are put in front of those of the command line and
//! both are parsed as one. So a key means what its flag means, by construction, and the command line has the last word.

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgAction, CommandFactory, Parser};
use toml::{Table, Value};

use super::args::{Cli, Command};
use super::{Failure, plain};

/// The subcommand that takes a configuration file.
const RUN: &str = "run";
/// The key for PROGRAM and its arguments, which have no flag.
const COMMAND: &str = "command";
/// Flags that say how this process was started, and nothing of a VM.
const NOT_KEYS: [&str; 4] = ["config", "detached-child", "help", "version"];

/// The words of a command line, with those of its `--config FILE` behind `run`. A line that has none, or is wrong, comes back as it was.
///
/// # Errors
/// A `Failure` that names the file and what is wrong with it.
pub(crate) fn expand(words: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    // A look that costs nothing, since most command lines have none; the program may have a `--config` of its own.
    if !words.iter().any(|word| word.as_encoded_bytes().starts_with(b"--config")) {
        return Ok(words);
    }
    let Ok(Cli { command: Command::Run(run), .. }) = Cli::try_parse_from(&words) else { return Ok(words) };
    let Some(path) = &run.config else { return Ok(words) };
    let refuse = |why: String| Failure::ours(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(format!("cannot be read: {}", plain(&error))))?;
    let file = Words::of(&text).map_err(refuse)?;
    Ok(insert(words, file, run.command.is_empty()))
}

fn insert(words: Vec<OsString>, file: Words, wants_program: bool) -> Vec<OsString> {
    let mut all = words;
    // No option that may stand before `run` takes a value of that name.
    let run = all.iter().position(|word| word == RUN).map_or(all.len(), |at| at + 1);
    all.splice(run..run, file.options);
    if wants_program && !file.command.is_empty() {
        if !all.iter().any(|word| word == "--") {
            all.push("--".into());
        }
        all.extend(file.command);
    }
    all
}

/// What a file says, as words of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    options: Vec<OsString>,
    command: Vec<OsString>,
}

impl Words {
    fn of(text: &str) -> Result<Self, String> {
        let table: Table = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            format!("line {line}: {}", error.message().replace('\n', " "))
        })?;
        let mut words = Self::default();
        for (key, value) in &table {
            if key == COMMAND {
                words.command = command(value)?;
            } else {
                words.options.extend(option(key, value)?);
            }
        }
        Ok(words)
    }
}

fn command(value: &Value) -> Result<Vec<OsString>, String> {
    let wrong = || format!("{COMMAND} is a list of words, such as {COMMAND} = [\"/bin/busybox\", \"sh\"]");
    let Value::Array(words) = value else { return Err(wrong()) };
    words.iter().map(|word| word.as_str().map(OsString::from).ok_or_else(wrong)).collect()
}

/// The words of one key.
fn option(key: &str, value: &Value) -> Result<Vec<OsString>, String> {
    let cli = Cli::command();
    let run = cli.find_subcommand(RUN).expect("run is a command");
    let known = run.get_arguments().find(|argument| argument.get_long() == Some(key));
    let flag = known.filter(|_| !NOT_KEYS.contains(&key)).ok_or_else(|| {
        format!("{key} is no option of run; its keys are the long options, without the dashes: procvisor run --help")
    })?;
    let is_switch = matches!(flag.get_action(), ArgAction::SetTrue);
    let takes_many = matches!(flag.get_action(), ArgAction::Append);
    let word = |value: &str| OsString::from(format!("--{key}={value}"));
    match value {
        Value::Boolean(true) if is_switch => Ok(vec![format!("--{key}").into()]),
        Value::Boolean(false) if is_switch => Ok(vec![]),
        _ if is_switch => Err(format!("{key} is true or false")),
        Value::String(text) => Ok(vec![word(text)]),
        Value::Integer(number) => Ok(vec![word(&number.to_string())]),
        Value::Float(number) => Ok(vec![word(&number.to_string())]),
        Value::Array(values) if takes_many => {
            let texts = values.iter().map(|value| value.as_str().map(word));
            texts.collect::<Option<_>>().ok_or_else(|| format!("{key} is a list of texts"))
        }
        Value::Table(pairs) if takes_many => {
            let texts = pairs.iter().map(|(name, value)| value.as_str().map(|value| word(&format!("{name}={value}"))));
            texts.collect::<Option<_>>().ok_or_else(|| format!("the values below {key} are texts"))
        }
        _ => Err(format!("the value of {key} has the wrong kind: give what would follow --{key}")),
    }
}

/// Whether `path` may be given to `--config`.
pub(crate) fn exists(path: &str) -> Result<std::path::PathBuf, String> {
    let path = Path::new(path);
    if path.is_dir() { Err("is a directory".into()) } else { Ok(path.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Run, Size};

    fn line(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    fn parsed(words: &[&str], file: &str) -> Run {
        let wants_program = words.len() == 2;
        let words = insert(line(words), Words::of(file).unwrap(), wants_program);
        match Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}")).command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    const FILE: &str = r#"
        name = "web"
        memory = "64M"
        timeout = 2.5
        detach = true
        kernel-log = false
        command = ["/bin/busybox", "sh", "-c", "exit 7"]
        env = { A = "b", HOME = "/x" }
    "#;

    #[test]
    fn a_file_says_what_its_flags_would() {
        let run = parsed(&["procvisor", "run"], FILE);
        assert_eq!((run.name.as_deref(), run.memory, run.detach), (Some("web"), Size(64 << 20), true));
        assert_eq!(run.timeout.map(|time| time.as_millis()), Some(2500));
        assert_eq!((run.env, run.kernel_log), (line(&["A=b", "HOME=/x"]), false));
        assert_eq!(run.command, ["/bin/busybox", "sh", "-c", "exit 7"]);
    }

    #[test]
    fn the_command_line_has_the_last_word() {
        let run = parsed(&["procvisor", "run", "--name", "db", "--memory=1G", "-e", "A=c", "/bin/true", "x"], FILE);
        assert_eq!((run.name.as_deref(), run.memory), (Some("db"), Size(1 << 30)));
        assert_eq!((run.env, run.command), (line(&["A=b", "HOME=/x", "A=c"]), line(&["/bin/true", "x"])));
    }

    #[test]
    fn every_option_of_run_may_be_a_key() {
        let cli = Cli::command();
        let run = cli.find_subcommand(RUN).unwrap();
        for long in run.get_arguments().filter(|argument| !argument.is_global_set()).filter_map(|flag| flag.get_long())
        {
            let values = [Value::Boolean(true), Value::from("1"), Value::Array(vec![])];
            let is_taken = values.iter().any(|value| option(long, value).is_ok());
            assert_eq!(is_taken, !NOT_KEYS.contains(&long), "{long}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (file, part) in [
            ("memory = ", "line 1"),
            ("\n\nname = \"a\"\nname = \"b\"", "duplicate key"),
            ("colour = 1", "colour is no option"),
            ("config = \"x\"", "config is no option"),
            ("detach = 1", "detach is true or false"),
            ("name = true", "name has the wrong kind"),
            ("name = [\"a\"]", "name has the wrong kind"),
            ("env = [1]", "env is a list of texts"),
            ("command = \"sh\"", "command is a list of words"),
        ] {
            let error = Words::of(file).unwrap_err();
            assert!(error.contains(part) && !error.contains('\n'), "{file}: {error}");
        }
    }

    #[test]
    fn a_config_option_of_the_program_is_its_own() {
        let words = line(&["procvisor", "run", "--", "prog", "--config", "/nonexistent"]);
        assert_eq!(expand(words.clone()).unwrap(), words);
        let missing = line(&["procvisor", "run", "--config", "/nonexistent", "prog"]);
        assert!(expand(missing).unwrap_err().message.unwrap().starts_with("/nonexistent: cannot be read"));
    }
}
