//! What is asked of the process that checks and compiles, and what it answers, as bytes on its standard input and output.
//!
//! Question and answer are one line of JSON each, behind its length, and then the bytes that belong to it: the component
//! and the files of its granted folders; the machine code. Both ends are of one build, so nothing here has a version.

use std::io::{Read, Write};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::explain::Checked;
use crate::explanation::Explanation;
use crate::limits::RuntimeLimits;
use crate::refusal::Refusal;

/// Bytes of the JSON of a question or an answer.
const HEAD: u64 = 64 << 20;

/// What is to be done with a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Say all that can be said of it.
    Explain,
    /// Check it, and compile it unless it has a `lifecycle.init`.
    Load,
    /// Check and compile it as it is.
    Compile,
    /// Check it, and compile it for the engine that counts fuel.
    Meter,
    /// Check it, run its `lifecycle.init`, and compile it with its memory as that leaves it.
    Prepare(Preparation),
}

/// What `lifecycle.init` gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preparation {
    /// The binding's name, for what the plugin logs.
    pub(crate) binding: String,
    /// The configuration as JSON.
    pub(crate) config: String,
    /// The files of its granted folders, path and contents; they travel behind the component.
    #[serde(skip)]
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// A whole question.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// All bounds of the site.
    pub(crate) limits: RuntimeLimits,
    /// What to do.
    pub(crate) work: Work,
    /// The component.
    pub(crate) wasm: Arc<[u8]>,
}

/// How instances of a compiled component begin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Start {
    /// It has no `lifecycle.init`.
    Plain,
    /// From the memory that its `lifecycle.init` left.
    Snapshot,
    /// Plainly, and `lifecycle.init` runs in each of them.
    Prepares {
        /// Why there is no snapshot; nothing where none was wanted.
        because: Option<String>,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// To [`Work::Explain`].
    Explained(Box<Explanation>),
    /// To the others.
    Done(Box<Done>),
    /// Why there is nothing.
    Refused(Refusal),
}

/// A component that is in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// What it is.
    pub(crate) checked: Checked,
    /// How the instances of its machine code begin; none where none was made.
    pub(crate) start: Option<Start>,
    /// The last lines that `lifecycle.init` logged.
    #[serde(default)]
    pub(crate) log: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    limits: RuntimeLimits,
    work: Work,
    wasm: u64,
    files: Vec<(String, u64)>,
}

impl Job {
    fn files(&self) -> &[(String, Vec<u8>)] {
        match &self.work {
            Work::Prepare(preparation) => &preparation.files,
            _ => &[],
        }
    }

    /// The component and the files, in the order in which they are sent.
    pub(crate) fn parts(&self) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = vec![&self.wasm];
        parts.extend(self.files().iter().map(|(_, contents)| contents.as_slice()));
        parts
    }

    /// What goes before them.
    pub(crate) fn head(&self) -> std::io::Result<Vec<u8>> {
        framed(&Head {
            limits: self.limits.clone(),
            work: self.work.clone(),
            wasm: length(&self.wasm),
            files: self.files().iter().map(|(path, contents)| (path.clone(), length(contents))).collect(),
        })
    }

    /// Reads a question.
    pub(crate) fn read(mut from: impl Read) -> std::io::Result<Self> {
        let head: Head = unframed(&mut from)?;
        let wasm = exactly(&mut from, head.wasm)?.into();
        let mut work = head.work;
        if let Work::Prepare(preparation) = &mut work {
            for (path, bytes) in head.files {
                preparation.files.push((path, exactly(&mut from, bytes)?));
            }
        }
        Ok(Self { limits: head.limits, work, wasm })
    }
}

impl Answer {
    /// Writes the answer with its machine code.
    pub(crate) fn write(&self, mut into: impl Write, code: &[u8]) -> std::io::Result<()> {
        into.write_all(&framed(self)?)?;
        into.write_all(code)?;
        into.flush()
    }

    /// Takes an answer and its machine code apart.
    pub(crate) fn read(bytes: &[u8]) -> std::io::Result<(Self, Vec<u8>)> {
        let mut rest = bytes;
        let answer = unframed(&mut rest)?;
        Ok((answer, rest.to_vec()))
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn framed(head: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let json = serde_json::to_vec(head)?;
    let mut bytes = length(&json).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}

fn unframed<T: DeserializeOwned>(from: &mut impl Read) -> std::io::Result<T> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > HEAD {
        return Err(std::io::Error::other("a head longer than any is"));
    }
    Ok(serde_json::from_slice(&exactly(from, length)?)?)
}

fn exactly(from: &mut impl Read, count: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(count).read_to_end(&mut bytes)?;
    if length(&bytes) == count { Ok(bytes) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_an_answer_arrive_as_they_were_sent() {
        let preparation = Preparation {
            binding: "authorization/p".into(),
            config: "{}".into(),
            files: vec![("a".into(), vec![1, 2]), ("b".into(), vec![])],
        };
        let job = Job {
            limits: RuntimeLimits::default(),
            work: Work::Prepare(preparation),
            wasm: b"component".as_slice().into(),
        };
        let mut sent = job.head().unwrap();
        for part in job.parts() {
            sent.extend(part);
        }
        let read = Job::read(sent.as_slice()).unwrap();
        assert_eq!((read.work, read.wasm), (job.work, job.wasm));
        for cut in 0..sent.len() {
            assert!(Job::read(&sent[..cut]).is_err(), "{cut}");
        }
        let mut told = Vec::new();
        Answer::Refused(Refusal::NoManifest).write(&mut told, b"code").unwrap();
        let (answer, code) = Answer::read(&told).unwrap();
        assert!(matches!(answer, Answer::Refused(Refusal::NoManifest)));
        assert_eq!(code, b"code");
    }
}
