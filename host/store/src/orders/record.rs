//! An order as it lies in the store: the order, and what it was counted for. The second is kept because what an order
//! counts for may change (another allocation, another version of this program), and exactly what was added must be
//! given back.

use archipel_model::order::Order;
use archipel_model::plugin::Usage;
use serde::{Deserialize, Serialize};

use crate::record::Record;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) order: Order,
    pub(super) counted: Counted,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// See `Limit::counter`.
    pub(super) counters: Vec<String>,
    /// In each of them.
    pub(super) amounts: Usage,
}

impl Record for Stored {
    const NAME: &'static str = "order";
}
