//! Wakes the manager when something happens in the plugins' folder. What happened is only a hint: the manager looks
//! for itself. One hint matters: a file that was renamed into the folder is finished.

use std::path::Path;

use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Names of plugins whose file was renamed into the folder; empty = something else happened.
pub(crate) type Hint = Vec<String>;

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Starts to watch a folder.
    pub(crate) fn start(path: &Path, hints: mpsc::UnboundedSender<Hint>) -> notify::Result<Self> {
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let hint = match event {
                Ok(event) if matters(&event.kind) => renamed_in(&event),
                Ok(_) => return,
                // Events were lost: look at everything.
                Err(_) => Vec::new(),
            };
            // The manager is gone: so is the runtime.
            let _ = hints.send(hint);
        })?;
        watcher.watch(path, RecursiveMode::NonRecursive)?;
        Ok(Self { _watcher: watcher })
    }
}

fn matters(kind: &EventKind) -> bool {
    // Reading a file is an event too, and the manager reads files.
    !matches!(kind, EventKind::Access(_))
}

fn renamed_in(event: &notify::Event) -> Hint {
    let moved = match event.kind {
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => event.paths.first(),
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => event.paths.get(1),
        _ => None,
    };
    let name = moved.and_then(|path| path.file_name()).and_then(|name| name.to_str());
    name.and_then(|name| name.strip_suffix(".wasm")).map(str::to_owned).into_iter().collect()
}
