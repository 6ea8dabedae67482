//! `archipel store backup`: the site streams everything durable as of one moment; here it is held against its own last
//! line and written.

use std::path::Path;

use archipel_client::Client;
use archipel_store::upkeep::Whole;

use super::Target;
use crate::output::{Answer, Failure, Outcome, Printer};

pub(super) async fn run(file: &Path, client: &Client, printer: &Printer) -> Outcome {
    let mut out = Target::create(file)?;
    let mut whole = Whole::default();
    let written = client.stream("/v1/admin/store/export", |bytes| {
        whole.look(bytes);
        out.write(bytes)
    });
    written.await?;
    let told = whole
        .end()
        .ok_or_else(|| Failure::environment("the backup was cut short; nothing is kept of it. Try again"))?;
    out.finish()?;
    let text = format!(
        "{} records in {} bytes: {}\nwithout the site's keys (DATA_DIR/keys): keep those apart",
        told.records,
        told.bytes,
        file.display()
    );
    if !Target::is_stdout(file) {
        printer.say(&text, &serde_json::to_value(&told).map_err(Failure::environment)?);
    }
    Ok(Answer::Yes)
}
