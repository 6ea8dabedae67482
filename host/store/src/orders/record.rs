//! An order as it lies in the store: the order, and what was written elsewhere because of it. The second is kept because
//! what an order counts for may change (another allocation, another version of this program), and exactly what was added
//! must be given back.

use std::net::IpAddr;

use archipel_model::order::Order;
use archipel_model::plugin::Usage;
use archipel_model::{Error, Timestamp};
use archipel_orders::usage::Class;
use serde::{Deserialize, Serialize};

use crate::record::Record;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) counted: Counted,
    /// As what it is metered now; `None` = not at all.
    pub(crate) metered: Option<Metered>,
    /// The addresses that are noted as its own.
    pub(crate) addresses: Vec<HeldAddress>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// See `Limit::counter`.
    pub(crate) counters: Vec<String>,
    /// In each of them.
    pub(crate) amounts: Usage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metered {
    pub(crate) class: Class,
    pub(crate) amounts: Usage,
    pub(crate) since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldAddress {
    pub(crate) address: IpAddr,
    /// As in the key of its history.
    pub(crate) from: Timestamp,
}

impl Record for Stored {
    const NAME: &'static str = "order";
    /// 2: an order may have a power action under way. 3: usage, and the history of addresses.
    const VERSION: u8 = 3;

    fn upgrade(version: u8, mut value: serde_json::Value) -> Result<serde_json::Value, Error> {
        match (version, value.as_object_mut()) {
            (1, _) => Ok(value),
            (2, Some(stored)) => {
                stored.insert("metered".to_owned(), serde_json::Value::Null);
                stored.insert("addresses".to_owned(), serde_json::Value::Array(Vec::new()));
                Ok(value)
            }
            _ => Err(Error::internal(format!("an order of version {version} cannot be upgraded"))),
        }
    }
}
