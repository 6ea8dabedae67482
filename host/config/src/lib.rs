//! A TOML file read into types, for the person who wrote the file.
//!
//! Every mistake is told with its line, its key path and what was expected; an unknown key with the nearest known one;
//! and all mistakes of a file at once, because correcting one per start is what people hate about daemons. Any key can
//! be set from the environment, and a mistake there names the variable instead of a line.
//!
//! ```
//! #[derive(serde::Deserialize)]
//! struct Door { listen: String, port: u16 }
//!
//! let mut tree = archipel_config::Tree::parse("door.toml", "[door]\nlistn = \"::1\"\nport = \"80\"\n").unwrap();
//! tree.override_from([("DOOR__DOOR__PORT".to_owned(), "8080".to_owned())], "DOOR");
//! let mut reader = tree.reader();
//! let door: Option<Door> = reader.section("door");
//! assert!(door.is_none());
//! let told: Vec<String> = reader.finish().unwrap_err().iter().map(|problem| problem.to_string()).collect();
//! assert_eq!(told, [
//!     "door.toml:1: door: the key \"listen\" is missing",
//!     "door.toml:2: door.listn: unknown key; did you mean \"listen\"?",
//! ]);
//! ```

mod deserialize;
mod environment;
mod expected;
mod problem;
mod reader;
mod tree;

pub use problem::Problem;
pub use reader::Reader;
pub use tree::Tree;
