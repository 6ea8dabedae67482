//! Fuzzing without a compiler of its own: inputs that are right are bent, spliced and cut at random, and given to a parser for a
//! while. It must answer each before [`SLOWEST`], and never panic. Included by the fuzz tests of the crates whose parsers read
//! foreign bytes. Why not libFuzzer: host/decisions/0025.
//!
//! `ARCHIPEL_FUZZ_MS` says how long each target runs (1500); `ARCHIPEL_FUZZ_SEED` repeats a run. A failure prints its seed and
//! the input.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The longest that one input of at most [`LARGEST`] bytes may take, on a busy machine.
const SLOWEST: Duration = Duration::from_secs(5);

/// Bytes of an input.
const LARGEST: usize = 64 << 10;

/// A generator that needs no crate: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next() % bound as u64) as usize }
    }
}

/// Gives `target` inputs made of `seeds` and `words` until the time is up; says how many there were.
pub(crate) fn fuzz(name: &str, seeds: &[Vec<u8>], words: &[&[u8]], target: impl Fn(&[u8])) -> u64 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_millis(number("ARCHIPEL_FUZZ_MS").unwrap_or(1_500));
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |now| now.as_nanos() as u64);
    let seed = number("ARCHIPEL_FUZZ_SEED").unwrap_or(clock) | 1;
    let (mut random, began, mut tried) = (Random(seed), Instant::now(), 0);
    while began.elapsed() < time {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(6) {
            bend(&mut input, seeds, words, &mut random);
        }
        input.truncate(LARGEST);
        let at = Instant::now();
        let survived = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let shown = || String::from_utf8_lossy(&input[..input.len().min(2_000)]).into_owned();
        assert!(survived.is_ok(), "{name} panicked; ARCHIPEL_FUZZ_SEED={seed}, input {tried}: {:?}", shown());
        assert!(
            at.elapsed() < SLOWEST,
            "{name} took {:?}; ARCHIPEL_FUZZ_SEED={seed}, input {tried}: {:?}",
            at.elapsed(),
            shown()
        );
        tried += 1;
    }
    println!("{name}: {tried} inputs, seed {seed}");
    tried
}

/// One change.
fn bend(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let to = (at + random.below(64)).min(input.len());
    match random.below(9) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..to)),
        2 => {
            let piece = input[at..to].to_vec();
            for _ in 0..=random.below(8) {
                input.splice(at..at, piece.iter().copied());
            }
        }
        3 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        4 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.next() as u8;
            }
        }
        // Numbers at the edge: lengths and counts are written like this.
        5 => drop(input.splice(at..to, [0xff, 0xff, 0xff, 0xff, 0x0f])),
        6 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ if words.is_empty() => input.push(random.next() as u8),
        _ => {
            let word = words[random.below(words.len())];
            input.splice(at..at, word.iter().copied());
        }
    }
}
