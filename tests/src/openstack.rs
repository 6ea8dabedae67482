//! A site over a real OpenStack: the [`peer::Peer`] that `tests/peers/openstack/up` started, what its services say
//! themselves ([`cloud::Cloud`]), the [`site`] that uses it, the search for [`secrets`] where none may be, and the
//! [`counter`] of requests to it.

pub mod cloud;
pub mod counter;
pub mod peer;
pub mod secrets;
pub mod site;
pub mod tee;
