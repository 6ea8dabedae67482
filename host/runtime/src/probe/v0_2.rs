//! Version 0.2.0, the newest: word for word.

use archipel_bindings::probe::v0_2::archipel::probe::host;
use archipel_bindings::probe::v0_2::exports::archipel::probe::probe::{ErrorKind, Request};
use archipel_bindings::probe::v0_2::{PluginPre, archipel};
use archipel_model::Error;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::{Answer, Level, Question, State};

/// Its name in a component.
pub(super) const INTERFACE: &str = "archipel:probe/probe@0.2.0";

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    archipel::probe::host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl host::Host for State {
    fn note(&mut self, level: host::Level, text: String) -> wasmtime::Result<()> {
        let level = match level {
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
        };
        self.notes.push((level, text));
        Ok(())
    }
}

pub(super) async fn check(
    pre: &InstancePre<State>,
    store: &mut Store<State>,
    question: &Question,
) -> wasmtime::Result<Result<Answer, Error>> {
    let plugin = PluginPre::new(pre.clone())?.instantiate_async(&mut *store).await?;
    let request = Request { word: question.word.clone(), locale: question.locale.clone() };
    let answer = plugin.archipel_probe_probe().call_check(&mut *store, &request).await?;
    Ok(answer.map(|answer| Answer { score: answer.score, reasons: answer.reasons }).map_err(|error| {
        match error.kind {
            ErrorKind::Invalid => Error::invalid(error.message),
            ErrorKind::Transient => Error::transient(error.message),
        }
    }))
}
