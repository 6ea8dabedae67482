//! From machine code to what instances are made of; and the one way in which it comes by machine code: from the cache, or
//! from the compile process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;
use wasmtime::component::InstancePre;

use crate::aot::{AotCache, Recipe, Trusted};
use crate::call::Plugin;
use crate::compile::Compiler;
use crate::explain::{self, Checked};
use crate::exports::Exports;
use crate::figures::Figures;
use crate::host::CallState;
use crate::job::{Answer, Done, Job, Preparation, Start, Work};
use crate::machine::Machine;
use crate::refusal::Refusal;
use crate::supervise::Supervisor;

/// A component as machine code, linked: every instance starts from it.
pub(crate) struct Image {
    pub(crate) pre: InstancePre<CallState>,
    pub(crate) exports: Exports,
    pub(crate) start: Start,
    pub(crate) from_cache: bool,
}

impl Image {
    /// Whether `lifecycle.init` has to run in each instance.
    pub(crate) fn prepares_itself(&self) -> bool {
        matches!(self.start, Start::Prepares { .. })
    }

    /// How its instances begin, in words.
    fn words(&self) -> String {
        let whence = if self.from_cache { "from the cache" } else { "compiled now" };
        match &self.start {
            Start::Plain => whence.to_owned(),
            Start::Snapshot => format!("from a snapshot, {whence}"),
            Start::Prepares { because: None } => format!("prepared in each instance, {whence}"),
            Start::Prepares { because: Some(reason) } => {
                format!("prepared in each instance, {whence}, because {reason}")
            }
        }
    }
}

/// How the instances of each binding begin, for people.
#[derive(Debug, Default)]
pub(crate) struct Starts(Mutex<BTreeMap<String, String>>);

impl Starts {
    /// Notes what a binding starts from.
    pub(crate) fn note(&self, binding: &str, image: &Image) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(binding.to_owned(), image.words());
    }

    /// In words; nothing where no binding was ever admitted.
    pub(crate) fn words(&self) -> String {
        let starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut distinct: Vec<&str> = starts.values().map(String::as_str).collect();
        distinct.sort_unstable();
        distinct.dedup();
        distinct.join("; ")
    }
}

/// Makes plugins of bytes, and images of plugins.
pub(crate) struct Loader {
    pub(crate) machine: Arc<Machine>,
    pub(crate) cache: AotCache,
    pub(crate) compiler: Compiler,
}

impl Loader {
    /// Makes a plugin of the bytes of a file.
    pub(crate) async fn load(
        &self,
        name: &str,
        bytes: Vec<u8>,
        figures: Arc<Figures>,
    ) -> Result<Plugin, Refusal> {
        let digest = explain::digest(&bytes);
        let wasm: Arc<[u8]> = bytes.into();
        let made = self.make(name, &digest, &wasm, Work::Load).await?;
        let prepares = made.checked.exports(explain::LIFECYCLE);
        Ok(Plugin {
            name: name.to_owned(),
            digest,
            manifest: made.checked.manifest.clone(),
            interfaces: made.checked.interfaces(),
            plain: OnceCell::new_with(made.image),
            // Needed again for every configuration.
            wasm: prepares.then_some(wasm),
            supervisor: Supervisor::new(&self.machine.limits),
            figures,
            starts: Starts::default(),
            shadow: Arc::default(),
            signed: ArcSwap::default(),
        })
    }

    /// What instances of a plugin start from, prepared for a binding or as it is.
    pub(crate) async fn image(
        &self,
        plugin: &Plugin,
        preparation: Option<Preparation>,
    ) -> Result<Arc<Image>, Refusal> {
        let made = |work: Work| async {
            let wasm =
                plugin.wasm.as_ref().ok_or_else(|| Refusal::Compile("its bytes are gone".to_owned()))?;
            let made = self.make(&plugin.name, &plugin.digest, wasm, work).await?;
            made.image.ok_or_else(|| Refusal::Compile("no machine code came of it".to_owned()))
        };
        match preparation {
            Some(preparation) if plugin.wasm.is_some() => made(Work::Prepare(preparation)).await,
            _ => plugin.plain.get_or_try_init(|| made(Work::Compile)).await.cloned(),
        }
    }

    /// From the cache, or from the compile process.
    async fn make(&self, name: &str, digest: &str, wasm: &Arc<[u8]>, work: Work) -> Result<Made, Refusal> {
        let cached = {
            let (cache, digest, work) = (self.cache.clone(), digest.to_owned(), work.clone());
            blocking(move || cache.get(&digest, recipe(&work))).await?
        };
        if let Some((done, code)) = cached {
            match self.link(done, &code, true) {
                Err(Refusal::Compile(reason)) => {
                    tracing::warn!(
                        plugin = name,
                        reason,
                        "cached machine code does not load; compiling again"
                    )
                }
                other => return other,
            }
        }
        let job = Job { limits: self.machine.limits.clone(), work: work.clone(), wasm: Arc::clone(wasm) };
        let (done, code) = match self.compiler.run(job).await? {
            (Answer::Done(done), code) => (*done, Trusted::from_own_compiler(code)),
            (Answer::Refused(refusal), _) => return Err(refusal),
            (Answer::Explained(_), _) => {
                return Err(Refusal::Compile("another question was answered".to_owned()));
            }
        };
        for line in &done.log {
            tracing::info!(target: "archipel::plugin", plugin = name, function = "lifecycle.init", "{line}");
        }
        let made = self.link(done.clone(), &code, false)?;
        let (cache, digest) = (self.cache.clone(), digest.to_owned());
        blocking(move || cache.put(&digest, recipe(&work), &done, &code)).await?;
        Ok(made)
    }

    fn link(&self, done: Done, code: &Trusted, from_cache: bool) -> Result<Made, Refusal> {
        let Done { checked, start, log: _ } = done;
        let Some(start) = start else { return Ok(Made { checked, image: None }) };
        let component = code.load(&self.machine.engine)?;
        let pre = self
            .machine
            .linker
            .instantiate_pre(&component)
            .map_err(|error| Refusal::Contract(format!("{error:#}")))?;
        let exports = Exports::find(&pre, &checked)?;
        Ok(Made { checked, image: Some(Arc::new(Image { pre, exports, start, from_cache })) })
    }
}

struct Made {
    checked: Checked,
    image: Option<Arc<Image>>,
}

fn recipe(work: &Work) -> Recipe<'_> {
    match work {
        Work::Prepare(preparation) => {
            Recipe::Prepared { config: &preparation.config, files: &preparation.files }
        }
        Work::Compile => Recipe::Plain,
        // What counts fuel is made for one run and not kept.
        Work::Load | Work::Explain | Work::Meter => Recipe::Load,
    }
}

/// Runs what reads files away from the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Unreadable(error.to_string()))
}
