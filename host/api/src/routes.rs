//! All paths. Each file adds its own, with their description.

pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod clouds;
pub(crate) mod collections;
pub(crate) mod egress;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod me;
pub(crate) mod orders;
pub(crate) mod power;
pub(crate) mod publishers;
pub(crate) mod sweep;
pub(crate) mod tokens;
pub(crate) mod usage;

use crate::openapi::Routes;

/// Everything that is served.
pub(crate) fn all() -> Routes {
    let routes = Routes::new();
    let routes = tokens::routes(routes);
    let routes = me::routes(routes);
    let routes = clouds::routes(routes);
    let routes = collections::routes(routes);
    let routes = egress::routes(routes);
    let routes = power::routes(routes);
    let routes = bulk::routes(routes);
    let routes = events::routes(routes);
    let routes = admin::routes(routes);
    let routes = publishers::routes(routes);
    let routes = sweep::routes(routes);
    let routes = audit::routes(routes);
    let routes = usage::routes(routes);
    health::routes(routes)
}
