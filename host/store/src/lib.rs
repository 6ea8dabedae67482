//! The Engine trait and sled; typed collections for everything durable.
