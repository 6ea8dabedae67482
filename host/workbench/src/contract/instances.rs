//! `archipel:cloud/{compute,volume,network,attachment}`: what an order is to a driver, and in which order kinds are tried.

use std::sync::Arc;

use archipel_model::LocalToken;
use archipel_model::order::Kind;
use archipel_model::plugin::{CreateContext, Created, Dependency, InstanceDriver, OrderRef};
use archipel_model::site::CloudBinding;

use super::{failing_cloud, life, order_id, power};
use crate::bench::Workbench;
use crate::case::CLOUD;
use crate::report::{Report, Tested, skip};

/// One kind of one driver, with what its tests share.
pub(super) struct Tried<'b> {
    pub(super) bench: &'b Workbench,
    pub(super) cloud: &'b CloudBinding,
    pub(super) kind: Kind,
    pub(super) driver: &'b dyn InstanceDriver,
    pub(super) token: LocalToken,
    pub(super) dependencies: Vec<Dependency>,
}

/// An instance that was made.
pub(super) struct Made {
    pub(super) order: OrderRef,
    pub(super) created: Created,
}

impl Tried<'_> {
    /// The `number`th order of this kind: the same in every run, so that recordings fit.
    pub(super) fn order(&self, number: u8) -> OrderRef {
        let id = order_id(self.kind, number);
        OrderRef {
            id,
            tag: format!("archipel:{}:{id}", self.bench.site),
            kind: self.kind,
            spec: self.spec(),
            dependencies: self.dependencies.clone(),
        }
    }

    /// What is ordered; an attachment names its dependencies by their orders.
    fn spec(&self) -> serde_json::Value {
        let mut spec = self.bench.case.spec(self.kind);
        if let (Kind::Attachment, Some(members)) = (self.kind, spec.as_object_mut()) {
            for dependency in &self.dependencies {
                let key = dependency.kind.as_str().to_owned();
                members.entry(key).or_insert_with(|| dependency.order.to_string().into());
            }
        }
        spec
    }

    /// What a create of this order is told.
    pub(super) fn create(&self, order: &OrderRef, attempt: u32) -> CreateContext {
        CreateContext { order: order.clone(), attempt, idempotency_key: format!("workbench-{}", order.id) }
    }
}

/// Tries every kind that the plugin drives.
pub(super) async fn check(bench: &Workbench, report: &mut Report) {
    let Some(cloud) = bench.cloud() else { return };
    let mut standing: Vec<(Kind, Made)> = Vec::new();
    for kind in Kind::ALL {
        if !bench.has(&format!("cloud/{kind}")) {
            continue;
        }
        let Some(driver) = cloud.drivers.get(&kind).map(Arc::clone) else { continue };
        let dependencies = if kind == Kind::Attachment { needs(&standing) } else { Vec::new() };
        let tried =
            Tried { bench, cloud: &cloud, kind, driver: &*driver, token: bench.case.token(), dependencies };
        if kind == Kind::Attachment && tried.dependencies.len() < 2 {
            let told: Tested =
                skip("the plugin drives no computes and volumes to attach, or they did not come to be");
            report.note(kind.as_str(), "the life of an attachment", told);
            continue;
        }
        let Some(made) = life::begin(&tried, report).await else { continue };
        if kind == Kind::Compute {
            power::check(&tried, &made, report).await;
        }
        standing.push((kind, made));
    }
    // What rests on others goes first.
    while let Some((kind, made)) = standing.pop() {
        let Some(driver) = cloud.drivers.get(&kind).map(Arc::clone) else { continue };
        let dependencies = made.order.dependencies.clone();
        let tried =
            Tried { bench, cloud: &cloud, kind, driver: &*driver, token: bench.case.token(), dependencies };
        life::end(&tried, &made, report).await;
        failing_cloud::check(&tried, report).await;
    }
}

fn needs(standing: &[(Kind, Made)]) -> Vec<Dependency> {
    standing
        .iter()
        .filter(|(kind, _)| matches!(kind, Kind::Compute | Kind::Volume))
        .filter_map(|(kind, made)| {
            Some(Dependency {
                order: made.order.id,
                kind: *kind,
                instance_id: made.created.id.clone(),
                cloud: CLOUD.to_owned(),
                site: made.order.tag.split(':').nth(1)?.parse().ok()?,
            })
        })
        .collect()
}
