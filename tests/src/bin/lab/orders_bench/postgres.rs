//! The same rows in PostgreSQL, inserted by its own load generator, which is faster than any client of ours would be.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::accepts;

/// More connections than this make PostgreSQL slower on a small machine; a pool in front of it would have no more.
const POOL: usize = 64;

/// A database with a table for orders and one for events.
pub(super) struct Postgres {
    url: String,
    pgbench: PathBuf,
    folder: tempfile::TempDir,
}

/// What the store writes for an order: its record, the event, and what they are listed by.
const TABLES: &str = "\
DROP TABLE IF EXISTS archipel_orders, archipel_events;
CREATE TABLE archipel_orders (id uuid PRIMARY KEY, owner text NOT NULL, grp text NOT NULL, cloud text NOT NULL, record text NOT NULL);
CREATE INDEX ON archipel_orders (owner, id);
CREATE INDEX ON archipel_orders (grp, id);
CREATE INDEX ON archipel_orders (cloud, id);
CREATE TABLE archipel_events (sequence bigserial PRIMARY KEY, id uuid NOT NULL, owner text NOT NULL, grp text NOT NULL, record text NOT NULL);
CREATE INDEX ON archipel_events (id, sequence);
CREATE INDEX ON archipel_events (owner, sequence);
CREATE INDEX ON archipel_events (grp, sequence);
";

impl Postgres {
    pub(super) fn prepare(url: &str, pgbench: &Path) -> Result<Self> {
        let postgres = Self {
            url: url.to_owned(),
            pgbench: pgbench.to_owned(),
            folder: tempfile::tempdir().context("a folder for scripts")?,
        };
        // pgbench takes statements from a file, one transaction, once; so nothing else of PostgreSQL is needed.
        postgres.run("tables.sql", TABLES, &["-t", "1", "-c", "1"])?;
        Ok(postgres)
    }

    /// Committed transactions per second of `clients` that share a pool, each of one order and its event.
    pub(super) fn transactions_per_second(&self, clients: usize, seconds: u64) -> Result<f64> {
        let order = accepts::order(0);
        // pgbench would take a colon for the beginning of a variable, in texts too.
        let quoted = |text: String| {
            format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace(':', "\\x3a"))
        };
        let record = quoted(serde_json::to_string(&order)?);
        let event = quoted(accepts::event().data.to_string());
        let (owner, group) = (order.user.subject.clone(), order.group.clone().unwrap_or_default());
        let script = format!(
            "\\set user random(0, 99)\n\
             BEGIN;\n\
             WITH made AS (INSERT INTO archipel_orders VALUES (gen_random_uuid(), '{owner}' || :user, '{group}', '{}', {record}) RETURNING id, owner)\n\
             INSERT INTO archipel_events (id, owner, grp, record) SELECT id, owner, '{group}', {event} FROM made;\n\
             COMMIT;\n",
            order.cloud
        );
        let connections = clients.min(POOL).to_string();
        let text = self.run(
            "insert.sql",
            &script,
            &["-T", &seconds.to_string(), "-c", &connections, "-j", "2", "-M", "prepared"],
        )?;
        let told =
            text.lines().find_map(|line| line.strip_prefix("tps = ")).context("tps in pgbench's words")?;
        let number = told.split_whitespace().next().context("a number of tps")?;
        number.parse().with_context(|| format!("reading {number:?}"))
    }

    fn run(&self, name: &str, script: &str, options: &[&str]) -> Result<String> {
        let file = self.folder.path().join(name);
        std::fs::write(&file, script)?;
        let output = Command::new(&self.pgbench)
            .args(["-n", "-f"])
            .arg(&file)
            .args(options)
            .arg(&self.url)
            .output()
            .with_context(|| format!("starting {}", self.pgbench.display()))?;
        if !output.status.success() {
            bail!("pgbench ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}
