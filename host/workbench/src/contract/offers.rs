//! `archipel:cloud/{quota,spec,image}`, and the networks that a cloud has.

use std::collections::BTreeSet;
use std::fmt::Debug;

use archipel_model::plugin::{ImageDriver, QuotaDriver, SpecDriver};
use archipel_model::{Error, ErrorKind, LocalToken};

use super::{answered, worked};
use crate::bench::Workbench;
use crate::report::{Report, Tested, ensure, fail, skip};

/// Tries all of it.
pub(super) async fn check(bench: &Workbench, report: &mut Report) {
    let Some(cloud) = bench.cloud() else { return };
    let token = bench.case.token();
    if let Some(quota) = cloud.quota.as_ref().filter(|_| bench.has("cloud/quota")) {
        report.note("quota", "each resource is counted once", counted(&**quota, &token).await);
    }
    if let Some(specs) = cloud.specs.as_ref().filter(|_| bench.has("cloud/spec")) {
        check_specs(&**specs, &token, report).await;
    }
    if let Some(images) = cloud.images.as_ref().filter(|_| bench.has("cloud/image")) {
        check_images(&**images, &token, report).await;
    }
    if let Some(networks) = cloud.networks.as_ref().filter(|_| bench.has("cloud/network")) {
        let listed = worked("get-all-networks", networks.get_all_networks(&token).await);
        let listed = listed.and_then(|all| each_once(all.iter().map(|network| network.id.as_str())));
        report.note("network", "networks of the cloud are listed once each", listed);
    }
}

async fn counted(quota: &dyn QuotaDriver, token: &LocalToken) -> Tested {
    let entries = worked("get-user-quota", quota.get_user_quota(token).await)?;
    each_once(entries.iter().map(|entry| entry.name.as_str()))
}

async fn check_specs(specs: &dyn SpecDriver, token: &LocalToken, report: &mut Report) {
    let all = worked("get-all-specs", specs.get_all_specs(token).await);
    let Some(all) = report.note("spec", "sizes are listed", all) else { return };
    report.note("spec", "each is listed once", each_once(all.iter().map(|spec| spec.id.as_str())));
    let sorted = all.is_sorted_by_key(|spec| (spec.vcpu, spec.ram_mib, spec.disk_gib));
    report.note(
        "spec",
        "the smallest comes first",
        ensure(sorted, || "the host takes the first that fits".to_owned()),
    );
    let one = match all.first() {
        Some(first) => same(first, specs.get_spec(&first.id, token).await),
        None => skip("there is none"),
    };
    report.note("spec", "one by its id is the one that was listed", one);
    report.note(
        "spec",
        "an unknown id is not-found",
        unknown(specs.get_spec("no-such-id-7f3a", token).await),
    );
}

async fn check_images(images: &dyn ImageDriver, token: &LocalToken, report: &mut Report) {
    let all = worked("get-all-images", images.get_all_images(token).await);
    let Some(all) = report.note("image", "images are listed", all) else { return };
    report.note("image", "each is listed once", each_once(all.iter().map(|image| image.id.as_str())));
    let one = match all.first() {
        Some(first) => same(first, images.get_image(&first.id, token).await),
        None => skip("there is none"),
    };
    report.note("image", "one by its id is the one that was listed", one);
    report.note(
        "image",
        "an unknown id is not-found",
        unknown(images.get_image("no-such-id-7f3a", token).await),
    );
}

fn each_once<'a>(names: impl Iterator<Item = &'a str>) -> Tested {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure(!name.is_empty(), || "one has no name".to_owned())?;
        ensure(seen.insert(name), || format!("{name:?} comes twice"))?;
    }
    Ok(())
}

fn same<T: PartialEq + Debug>(listed: &T, single: Result<T, Error>) -> Tested {
    let single = worked("by id", single)?;
    ensure(*listed == single, || format!("listed {listed:?}, by id {single:?}"))
}

fn unknown<T: Debug>(answer: Result<T, Error>) -> Tested {
    match answered("by id", answer)? {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind == ErrorKind::Transient => skip(error.message),
        Err(error) => fail(format!("it is {} ({error})", error.kind)),
        Ok(found) => fail(format!("it was found: {found:?}")),
    }
}
