//! `/v1/computes`, `/v1/volumes`, `/v1/networks`, `/v1/attachments`, `/v1/orders`: the same methods on each; a collection
//! shows one kind, `/v1/orders` all.

use archipel_model::order::Kind;

use super::orders;
use crate::input::create::{AttachmentCreate, ComputeCreate, Create, NetworkCreate, VolumeCreate};
use crate::input::patch::PatchOrder;
use crate::openapi::{Op, Routes};
use crate::page::List;
use crate::query;
use crate::view::order::{DryRun, OrderView};

/// What the operations on one kind are called.
struct Ids {
    create: &'static str,
    list: &'static str,
    get: &'static str,
    patch: &'static str,
    delete: &'static str,
}

macro_rules! ids {
    ($one:literal, $many:literal) => {
        Ids {
            create: concat!("create-", $one),
            list: concat!("list-", $many),
            get: concat!("get-", $one),
            patch: concat!("update-", $one),
            delete: concat!("delete-", $one),
        }
    };
}

pub(crate) fn routes(routes: Routes) -> Routes {
    let routes = collection::<ComputeCreate>(
        routes,
        "/v1/computes",
        "/v1/computes/{id}",
        &ids!("compute", "computes"),
    );
    let routes =
        collection::<VolumeCreate>(routes, "/v1/volumes", "/v1/volumes/{id}", &ids!("volume", "volumes"));
    let routes = collection::<NetworkCreate>(
        routes,
        "/v1/networks",
        "/v1/networks/{id}",
        &ids!("network", "networks"),
    );
    let routes = collection::<AttachmentCreate>(
        routes,
        "/v1/attachments",
        "/v1/attachments/{id}",
        &ids!("attachment", "attachments"),
    );
    let ids = ids!("order", "orders");
    let list = list_op(ids.list, "Orders of all kinds").query(query::ORDERS);
    let routes =
        routes.get("/v1/orders", list, move |app, who, raw, uri| orders::list(app, who, raw, uri, None));
    one(routes, "/v1/orders/{id}", &ids, None)
}

fn collection<T: Create + 'static>(routes: Routes, all: &str, each: &str, ids: &Ids) -> Routes {
    let create = Op::new(ids.create, "Order one")
        .about("201 once it is durable; the cloud is asked afterwards. Watch `state`, or send Prefer.")
        .keyed()
        .waits()
        .body::<T>()
        .answer::<OrderView<'_>>(201, "Accepted; `Location` and `ETag` are the order's.")
        .links(201, &[ids.get, ids.patch, ids.delete, "get-order", "list-order-events"])
        .problems(&[409, 422]);
    let list = list_op(ids.list, "Orders of this kind").query(query::ORDERS_OF_KIND);
    let routes = routes
        .post(all, create, orders::create::<T>)
        .get(all, list, move |app, who, raw, uri| orders::list(app, who, raw, uri, Some(T::KIND)));
    one(routes, each, ids, Some(T::KIND))
}

fn list_op(id: &'static str, summary: &'static str) -> Op {
    Op::new(id, summary).about("Oldest first. Closed orders only when `state` asks for them.").answer::<List<
        OrderView<'_>,
    >>(
        200,
        "A page; `Link` has the next.",
    )
}

fn one(routes: Routes, path: &str, ids: &Ids, kind: Option<Kind>) -> Routes {
    let get = Op::new(ids.get, "One order")
        .query(query::ONE)
        .if_none_match()
        .waits()
        .answer::<OrderView<'_>>(200, "As it stands; closed ones too while they are kept.")
        .problems(&[422]);
    let patch = Op::new(ids.patch, "Change labels and lease")
        .about("A JSON merge patch: what is absent stays, null removes.")
        .if_match()
        .patch_body::<PatchOrder>()
        .answer::<OrderView<'_>>(200, "As it stands now.")
        .problems(&[409]);
    let delete = Op::new(ids.delete, "Delete it")
        .query(query::DELETE)
        .if_match()
        .answer::<DryRun>(200, "With dry_run: what would be deleted.")
        .answer::<OrderView<'_>>(202, "It is closing.")
        .empty(204, "It is closed.")
        .problems(&[409, 428]);
    routes
        .get(path, get, move |app, who, path, raw, headers| orders::get(app, who, path, raw, headers, kind))
        .patch(path, patch, move |app, who, path, raw, headers, body| {
            orders::patch(app, who, path, raw, headers, body, kind)
        })
        .delete(path, delete, move |app, who, path, raw, headers| {
            orders::delete(app, who, path, raw, headers, kind)
        })
}
