//! `archipel store`: what an operator does to everything durable as a whole. All but `backup` open the store themselves,
//! so they need the site to be stopped and say so; `backup` asks the site that serves.

mod backup;

use std::fs::File;
use std::io::{BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archipel_model::SystemClock;
use archipel_store::upkeep::{self, CompactError, Export, Exported, ImportError};
use archipel_store::{Engine as _, EngineError, OpenError, SledEngine, SledOptions};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::DoorArgs;
use crate::config::Config;
use crate::output::{Answer, Failure, Outcome, Printer, table};

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Count what the store holds: keys and bytes, records by version, bytes on disk. The site must be stopped.
    Stats,

    /// Read everything and tell what is wrong: records, indexes, sums, numbers. The site must be stopped.
    ///
    /// Nothing is changed. Exit code 1 when something is wrong; each thing is told with where it is, and at the end what
    /// to do.
    #[command(after_help = "Example:\n  systemctl stop archipel && archipel store check")]
    Check,

    /// Write everything durable into a file as JSON Lines. The site must be stopped; `backup` is for one that serves.
    ///
    /// The file is new, and only its owner may read it (0600). It holds orders, events, idempotency keys, sessions and
    /// what plugins keep. Tokens in sessions are sealed and open only with the site's keys (DATA_DIR/keys), which are not
    /// in it: keep those apart, and both away from others. Nor are the site file, secrets and plugins.
    #[command(after_help = "Example:\n  archipel store export /var/backups/site-a.jsonl")]
    Export {
        /// The file to make; `-` writes to standard output.
        file: PathBuf,
        /// Leave out what cannot be read, and name it, instead of ending there.
        #[arg(long)]
        leave_out_damaged: bool,
    },

    /// Make a store of an export or a backup. The site must be stopped, and its store empty or not there.
    ///
    /// All of it or nothing: a file that is cut short, altered, of another site or of a newer archipel is refused. The new
    /// store is checked before it takes its place, and gets a new incarnation: what the site's clouds made since the
    /// export is then unknown to it, and is listed rather than deleted.
    #[command(
        after_help = "Example:\n  mv /var/lib/archipel/store /var/lib/archipel/store.damaged\n  archipel store import /var/backups/site-a.jsonl"
    )]
    Import {
        /// The file; `-` reads standard input.
        file: PathBuf,
    },

    /// Give disk space back: write the store anew and put it in the place of the old one. The site must be stopped.
    ///
    /// Needs room for a second copy. The old files are removed after the new ones were read back and found the same.
    Compact,

    /// Copy everything durable of a site that serves into a file, as of one moment.
    ///
    /// The same file as `export` makes, for `import`. It holds what `export --help` says, and not the site's keys
    /// (DATA_DIR/keys): without them, sessions and sealed data in it are worthless. Copy those once, to another place.
    #[command(after_help = "Example:\n  archipel store backup /var/backups/site-a-$(date +%F).jsonl")]
    Backup {
        /// The file to make; `-` writes to standard output.
        file: PathBuf,
    },
}

pub(crate) async fn run(command: &StoreCommand, door: &DoorArgs, printer: &Printer) -> Outcome {
    if let StoreCommand::Backup { file } = command {
        return backup::run(file, &door.client()?, printer).await;
    }
    archipel_store::quiet_panics();
    let config = Config::load(&door.config)?;
    let dir = config.site.data_dir.join("store");
    match command {
        StoreCommand::Stats => stats(&dir, printer).await,
        StoreCommand::Check => check(&config, &dir, printer).await,
        StoreCommand::Export { file, leave_out_damaged } => {
            export(&dir, file, *leave_out_damaged, printer).await
        }
        StoreCommand::Import { file } => import(&config, &dir, file, printer).await,
        StoreCommand::Compact => compact(&dir, printer).await,
        // Asked above, without a site file where a socket is named.
        StoreCommand::Backup { .. } => Ok(Answer::No),
    }
}

/// What to do about a store that is damaged.
const WAY_OUT: &str = "what can still be read is saved by `archipel store export FILE --leave-out-damaged`; then move the \
    folder away and `archipel store import` that file, or the last backup. An import makes indexes and sums anew";

fn open(dir: &Path) -> Result<Arc<SledEngine>, OpenError> {
    SledEngine::open_existing(dir, SledOptions::default())
}

/// A store that cannot be read any further.
fn unreadable(error: EngineError) -> Failure {
    Failure::environment(format!("{error}; {WAY_OUT}"))
}

async fn stats(dir: &Path, printer: &Printer) -> Outcome {
    let bytes = upkeep::disk_bytes(dir).unwrap_or(0);
    let engine = open(dir).map_err(Failure::environment)?;
    let survey = upkeep::survey(&*engine).await;
    engine.close().await;
    let survey = survey.map_err(unreadable)?;
    let rows: Vec<Vec<String>> = survey
        .collections
        .iter()
        .map(|collection| {
            let versions =
                collection.versions.iter().map(|(version, count)| format!("{count} of version {version}"));
            let versions: Vec<String> = versions.collect();
            vec![
                collection.name.to_owned(),
                collection.keys.to_string(),
                collection.bytes.to_string(),
                versions.join(", "),
            ]
        })
        .collect();
    let keys: u64 = survey.collections.iter().map(|collection| collection.keys).sum();
    let held: u64 = survey.collections.iter().map(|collection| collection.bytes).sum();
    let label = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
    let text = format!(
        "{}\n\nsite {}, schema {}, incarnation {}\n{keys} keys of {held} bytes; {bytes} bytes on disk{}",
        table(&["COLLECTION", "KEYS", "BYTES", "RECORDS"], &rows),
        label(&survey.site),
        label(&survey.schema),
        label(&survey.incarnation),
        match survey.unknown_keys {
            0 => String::new(),
            unknown => format!("; {unknown} keys that this archipel does not know"),
        }
    );
    let mut json = serde_json::to_value(&survey).map_err(Failure::environment)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("bytes_on_disk".to_owned(), json!(bytes));
    }
    printer.say(&text, &json);
    Ok(Answer::Yes)
}

async fn check(config: &Config, dir: &Path, printer: &Printer) -> Outcome {
    let no = |reason: String| {
        printer.say(&reason, &json!({"ok": false, "wrong": 1, "problems": [{"what": reason}]}));
        Ok(Answer::No)
    };
    let engine = match open(dir) {
        Ok(engine) => engine,
        Err(error @ (OpenError::Damaged { .. } | OpenError::Cut { .. })) => return no(error.to_string()),
        Err(error) => return Err(Failure::environment(error)),
    };
    let found = match engine.snapshot(&[]).await {
        Ok(snapshot) => upkeep::check(&*engine, Some(&config.site.id), Some(snapshot.stamp())).await,
        Err(error) => Err(error),
    };
    engine.close().await;
    let found = match found {
        Ok(found) => found,
        Err(error) => return no(format!("{error}; the files are damaged: {WAY_OUT}")),
    };
    let mut json = serde_json::to_value(&found).map_err(Failure::environment)?;
    if let Some(object) = json.as_object_mut() {
        object.insert("ok".to_owned(), json!(found.wrong == 0));
    }
    if found.wrong == 0 {
        let text = format!(
            "nothing is wrong: {} records read, {} keys looked at{}",
            found.records,
            found.keys,
            match found.leftovers {
                0 => String::new(),
                leftovers => format!(" ({leftovers} harmless leftovers, which retention removes)"),
            }
        );
        printer.say(&text, &json);
        return Ok(Answer::Yes);
    }
    let mut lines: Vec<String> = found
        .problems
        .iter()
        .map(|problem| format!("{} {}: {}", problem.collection, problem.key, problem.what))
        .collect();
    if found.wrong > found.problems.len() as u64 {
        lines.push(format!("... and {} more", found.wrong - found.problems.len() as u64));
    }
    lines.push(format!("{} wrong in {} keys: {WAY_OUT}", found.wrong, found.keys));
    printer.say(&lines.join("\n"), &json);
    Ok(Answer::No)
}

async fn export(dir: &Path, file: &Path, leave_out_damaged: bool, printer: &Printer) -> Outcome {
    let mut out = Target::create(file)?;
    let engine = open(dir).map_err(Failure::environment)?;
    let written = write_export(&engine, leave_out_damaged, &mut out).await;
    engine.close().await;
    let exported = written?;
    out.finish()?;
    let mut text = format!("{} records in {} bytes: {}", exported.records, exported.bytes, file.display());
    for one in &exported.left_out {
        text.push_str(&format!("\nleft out: {one}"));
    }
    text.push_str("\nwithout the site's keys (DATA_DIR/keys): keep those apart");
    if !Target::is_stdout(file) {
        printer.say(&text, &serde_json::to_value(&exported).map_err(Failure::environment)?);
    }
    Ok(if exported.left_out.is_empty() { Answer::Yes } else { Answer::No })
}

async fn write_export(
    engine: &SledEngine,
    leave_out_damaged: bool,
    out: &mut Target,
) -> Result<Exported, Failure> {
    let mut export =
        Export::begin(engine, &SystemClock, leave_out_damaged).await.map_err(Failure::environment)?;
    while let Some(lines) = export.next().await.map_err(Failure::environment)? {
        out.write(&lines)?;
    }
    Ok(export.exported())
}

async fn import(config: &Config, dir: &Path, file: &Path, printer: &Printer) -> Outcome {
    let mut input: Box<dyn std::io::BufRead> = match Target::is_stdout(file) {
        true => Box::new(BufReader::new(std::io::stdin())),
        false => Box::new(BufReader::with_capacity(
            1 << 20,
            File::open(file).map_err(|error| Failure::environment(format!("{}: {error}", file.display())))?,
        )),
    };
    let imported = match upkeep::import(&mut *input, dir, &config.site.id, &SledOptions::default()).await {
        Ok(imported) => imported,
        Err(error @ (ImportError::Store(_) | ImportError::Engine(_) | ImportError::Unreadable(_))) => {
            return Err(Failure::environment(error));
        }
        Err(error) => return Err(Failure::Refused { message: error.to_string(), problem: Value::Null }),
    };
    let text = format!(
        "{} records of {} are in place, incarnation {}; what clouds made since then is unknown to this store",
        imported.records, imported.made_at, imported.incarnation
    );
    printer.say(&text, &serde_json::to_value(&imported).map_err(Failure::environment)?);
    Ok(Answer::Yes)
}

async fn compact(dir: &Path, printer: &Printer) -> Outcome {
    let done = upkeep::compact(dir, &SledOptions::default()).await.map_err(|error| match error {
        CompactError::Engine(error) => unreadable(error),
        other => Failure::environment(other),
    })?;
    let text =
        format!("{} keys: {} bytes before, {} bytes after", done.keys, done.bytes_before, done.bytes_after);
    printer.say(&text, &serde_json::to_value(done).map_err(Failure::environment)?);
    Ok(Answer::Yes)
}

/// A file that is there whole or not at all, for its owner only; or standard output.
struct Target {
    out: Box<dyn Write>,
    file: Option<File>,
    part: PathBuf,
    path: PathBuf,
}

impl Target {
    fn is_stdout(path: &Path) -> bool {
        path == Path::new("-")
    }

    /// Refuses a file that is there.
    fn create(path: &Path) -> Result<Self, Failure> {
        if Self::is_stdout(path) {
            let out = Box::new(std::io::stdout().lock());
            return Ok(Self { out, file: None, part: PathBuf::new(), path: PathBuf::new() });
        }
        let wrong =
            |reason: &dyn std::fmt::Display| Failure::environment(format!("{}: {reason}", path.display()));
        if path.exists() {
            return Err(wrong(&"it is there already; choose another name"));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // What an earlier try left.
        let _ = std::fs::remove_file(&part);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(|error| wrong(&error))?;
        let out = Box::new(std::io::BufWriter::with_capacity(1 << 20, file.try_clone()?));
        Ok(Self { out, file: Some(file), part, path: path.to_owned() })
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.out.write_all(bytes)
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.out.flush()?;
        if let Some(file) = self.file.take() {
            file.sync_all()?;
            std::fs::rename(&self.part, &self.path)?;
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.part);
        }
    }
}
