//! What clients send, parsed at the edge into the model's types. The same types are the schemas of the OpenAPI document,
//! so that what is documented is what is taken.

pub(crate) mod bulk;
pub(crate) mod create;
pub(crate) mod login;
pub(crate) mod patch;
