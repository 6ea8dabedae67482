//! Version 0.1.0 in the words of the newest.

use archipel_bindings::probe::v0_1::archipel::probe::host;
use archipel_bindings::probe::v0_1::{PluginPre, archipel};
use archipel_model::Error;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker};

use super::{Answer, Level, Question, State};

/// Its name in a component.
pub(super) const INTERFACE: &str = "archipel:probe/probe@0.1.0";

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    archipel::probe::host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl host::Host for State {
    /// There were no levels: what was noted is worth knowing.
    fn note(&mut self, text: String) -> wasmtime::Result<()> {
        self.notes.push((Level::Info, text));
        Ok(())
    }
}

/// The locale has no place in it; reasons were not asked for; a failure was a text, and meant the question.
pub(super) async fn check(
    pre: &InstancePre<State>,
    store: &mut Store<State>,
    question: &Question,
) -> wasmtime::Result<Result<Answer, Error>> {
    let plugin = PluginPre::new(pre.clone())?.instantiate_async(&mut *store).await?;
    let answer = plugin.archipel_probe_probe().call_check(&mut *store, &question.word).await?;
    Ok(answer.map(|answer| Answer { score: answer.score, reasons: Vec::new() }).map_err(Error::invalid))
}
