//! Fuzzing of everything that reads what a program or a client has written.
//!
//! Each target holds the library to a second, simple implementation of Linux's rule, so that a wrong answer is found as well as a panic.
//! Needs no sanitizer and no nightly compiler: inputs are mutated from a corpus, and one whose outcome is new joins it.
//! `fuzz [--seconds N] [--seed N] [TARGET]...` tries each target for N seconds (0.2 without it, with a fixed seed);
//! `fuzz TARGET --input HEX` tries one input. It ends with 1 and the input as soon as one is answered wrongly.

mod input;
mod kstrto;
mod ninep;
mod targets;

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use input::{Corpus, Numbers};
use targets::{TARGETS, Target};

const DEFAULT_TIME: Duration = Duration::from_millis(200);
const DEFAULT_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the command line asks for.
struct Request {
    time: Duration,
    seed: u64,
    names: Vec<String>,
    input: Option<Vec<u8>>,
}

impl Request {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut request = Self { time: DEFAULT_TIME, seed: DEFAULT_SEED, names: Vec::new(), input: None };
        let mut has_seed = false;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--seconds" => {
                    let seconds: f64 = value()?.parse().map_err(|error| format!("--seconds: {error}"))?;
                    request.time =
                        Duration::try_from_secs_f64(seconds).map_err(|error| format!("--seconds: {error}"))?;
                    if !has_seed {
                        request.seed =
                            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64 | 1);
                    }
                }
                "--seed" => {
                    request.seed = value()?.parse().map_err(|error| format!("--seed: {error}"))?;
                    has_seed = true;
                }
                "--input" => request.input = Some(unhex(&value()?).ok_or("--input: no hexadecimal bytes")?),
                // What cargo test hands to every test program.
                "--quiet" | "-q" | "--nocapture" | "--show-output" => {}
                word if word.starts_with("--test-threads=") => {}
                word if word.starts_with('-') => return Err(format!("unknown option {word}")),
                _ => request.names.push(word),
            }
        }
        Ok(request)
    }

    fn wants(&self, target: &Target) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| target.name.contains(name.as_str()))
    }
}

fn main() -> ExitCode {
    let request = match Request::parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(message) => {
            eprintln!("fuzz: {message}");
            return ExitCode::from(2);
        }
    };
    // A wrong answer is told with its input below; the default message would come once more.
    std::panic::set_hook(Box::new(|_| {}));
    for target in TARGETS.iter().filter(|target| request.wants(target)) {
        let result = match &request.input {
            Some(input) => attempt(target, input).map(|_| (1, 0)),
            None => run(target, request.time, request.seed),
        };
        match result {
            Ok((inputs, outcomes)) => {
                println!("fuzz {:<16} ok: {inputs} inputs, {outcomes} kinds of outcome", target.name)
            }
            Err((input, message)) => {
                println!("fuzz {} FAILED (seed {}): {message}", target.name, request.seed);
                println!(
                    "  input {:?}\n  again with: {} --input {}",
                    input.escape_ascii().to_string(),
                    target.name,
                    hex(&input)
                );
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// An input that was answered wrongly, and how.
type Failure = (Vec<u8>, String);

/// Tries inputs for `time`: how many, and how many kinds of outcome they had.
fn run(target: &Target, time: Duration, seed: u64) -> Result<(u64, usize), Failure> {
    let mut numbers = Numbers::new(seed);
    let mut corpus = Corpus::new(target.seeds, target.words);
    let mut count = 0;
    for input in target.seeds {
        corpus.note(input, attempt(target, input)?);
    }
    let end = Instant::now() + time;
    while Instant::now() < end {
        for _ in 0..64 {
            let input = corpus.mutated(&mut numbers);
            let outcome = attempt(target, &input)?;
            corpus.note(&input, outcome);
            count += 1;
        }
    }
    Ok((count, corpus.outcomes()))
}

/// Tries one input; gives the kind of its outcome.
fn attempt(target: &Target, input: &[u8]) -> Result<u64, Failure> {
    catch_unwind(AssertUnwindSafe(|| (target.check)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        (input.to_vec(), text.unwrap_or("panicked").to_owned())
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}
