//! `archipel check-config`: the question that a deployment script asks before it reloads a site.

use serde_json::json;

use crate::cli::DoorArgs;
use crate::config::{Config, ConfigError};
use crate::output::{Answer, Failure, Outcome, Printer};
use crate::serve::tls::Certificate;

pub(crate) fn run(door: &DoorArgs, printer: &Printer) -> Outcome {
    let config = match Config::load(&door.config) {
        Ok(config) => config,
        Err(ConfigError::Wrong(problems)) => {
            let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let list: Vec<_> = problems
                .iter()
                .map(|problem| json!({"line": problem.line(), "path": problem.path(), "message": problem.message()}))
                .collect();
            printer.say(&text, &json!({"ok": false, "problems": list}));
            return Ok(Answer::No);
        }
        Err(error @ ConfigError::Unreadable { .. }) => return Err(Failure::from(error)),
    };
    let secrets = config.load_vault().map(drop).map_err(|error| error.to_string());
    let certificate = config.site.tls.as_ref().map_or(Ok(()), |section| Certificate::load(section).map(drop));
    let problems: Vec<String> = [secrets, certificate].into_iter().filter_map(Result::err).collect();
    if problems.is_empty() {
        let text = format!(
            "{} is right: site {}, {}, {}, REST on {}",
            config.file.display(),
            config.site.id,
            counted(config.runtime.identity.len(), "way to log in", "ways to log in"),
            counted(config.runtime.cloud.len(), "cloud", "clouds"),
            config.site.listen
        );
        printer.say(&text, &json!({"ok": true, "site": config.site.id, "listen": config.site.listen}));
        return Ok(Answer::Yes);
    }
    let list: Vec<_> = problems.iter().map(|message| json!({ "message": message })).collect();
    printer.say(&problems.join("\n"), &json!({"ok": false, "problems": list}));
    Ok(Answer::No)
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
