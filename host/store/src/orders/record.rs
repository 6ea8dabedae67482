//! An order as it lies in the store: the order, and what it was counted for. The second is kept because what an order
//! counts for may change (another allocation, another version of this program), and exactly what was added must be
//! given back.

use archipel_model::Error;
use archipel_model::order::Order;
use archipel_model::plugin::Usage;
use serde::{Deserialize, Serialize};

use crate::record::Record;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) counted: Counted,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// See `Limit::counter`.
    pub(crate) counters: Vec<String>,
    /// In each of them.
    pub(crate) amounts: Usage,
}

impl Record for Stored {
    const NAME: &'static str = "order";
    /// 2: an order may have a power action under way. What does not know of it would forget what was asked.
    const VERSION: u8 = 2;

    fn upgrade(version: u8, value: serde_json::Value) -> Result<serde_json::Value, Error> {
        match version {
            1 => Ok(value),
            _ => Err(Error::internal(format!("an order of version {version} cannot be upgraded"))),
        }
    }
}
