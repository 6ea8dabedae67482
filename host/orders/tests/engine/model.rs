//! Random commands, faults and crashes against what must hold: never two live instances of an order once it has settled, none
//! left behind by a delete, nothing lost that was acknowledged.

use std::time::Duration;

use archipel_model::order::{Kind, State, Status};
use archipel_model::plugin::CreateBehaviour;
use archipel_model::power::PowerAction;
use archipel_model::{Error, ErrorKind, OrderId};
use futures::FutureExt as _;
use proptest::prelude::*;

use crate::support::cloud::Fault;
use crate::support::*;

#[derive(Clone, Debug)]
enum Command {
    Compute,
    Deadline(u64),
    Network,
    Pair,
    Delete(usize, bool),
    Patch(usize),
    Refresh(usize),
    Pass(u64),
    Crash,
    Stop,
    Steal,
    RequestFault(FaultKind),
    OtherFault(u8, FaultKind),
    Away(bool),
    Disk(u64),
    Late(u64),
    Destroy(usize),
    Unlist(usize),
    Stale(usize, bool),
    Act(usize, PowerAction),
    Found(usize, Status),
}

#[derive(Clone, Copy, Debug)]
enum FaultKind {
    LoseAnswer,
    LoseRequest,
    Transient,
    Permanent,
    Slow(u64),
    SlowThenLost(u64),
    Ignore,
    Panic,
}

impl FaultKind {
    fn fault(self) -> Fault {
        match self {
            Self::LoseAnswer => Fault::LoseAnswer,
            Self::LoseRequest => Fault::LoseRequest,
            Self::Transient => Fault::Refuse(Error::transient("busy")),
            Self::Permanent => Fault::Refuse(Error::new(ErrorKind::Permanent, "no")),
            Self::Slow(ms) => Fault::Slow(Duration::from_millis(ms)),
            Self::SlowThenLost(ms) => Fault::SlowThenLost(Duration::from_millis(ms)),
            Self::Ignore => Fault::Ignore,
            Self::Panic => Fault::Panic,
        }
    }
}

fn faults() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        4 => Just(FaultKind::LoseAnswer),
        3 => Just(FaultKind::LoseRequest),
        2 => Just(FaultKind::Transient),
        1 => Just(FaultKind::Permanent),
        2 => (1_u64..15_000).prop_map(FaultKind::Slow),
        2 => (1_u64..15_000).prop_map(FaultKind::SlowThenLost),
        1 => Just(FaultKind::Panic),
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        6 => Just(Command::Compute),
        2 => (1_u64..40_000).prop_map(Command::Deadline),
        1 => Just(Command::Network),
        2 => Just(Command::Pair),
        4 => (0_usize..20, any::<bool>()).prop_map(|(at, cascade)| Command::Delete(at, cascade)),
        1 => (0_usize..20).prop_map(Command::Patch),
        1 => (0_usize..20).prop_map(Command::Refresh),
        6 => (0_u64..12_000).prop_map(Command::Pass),
        3 => Just(Command::Crash),
        1 => Just(Command::Stop),
        1 => Just(Command::Steal),
        6 => faults().prop_map(Command::RequestFault),
        3 => (0_u8..4, faults()).prop_map(|(what, fault)| Command::OtherFault(what, fault)),
        2 => prop_oneof![3 => faults(), 1 => Just(FaultKind::Ignore)].prop_map(|fault| Command::OtherFault(4, fault)),
        1 => any::<bool>().prop_map(Command::Away),
        1 => (1_u64..3_000).prop_map(Command::Disk),
        1 => (0_u64..18_000).prop_map(Command::Late),
        1 => (0_usize..20).prop_map(Command::Destroy),
        1 => (0_usize..20).prop_map(Command::Unlist),
        1 => (0_usize..20, any::<bool>()).prop_map(|(at, failed)| Command::Stale(at, failed)),
        6 => (0_usize..20, prop::sample::select(PowerAction::ALL)).prop_map(|(at, action)| Command::Act(at, action)),
        2 => (0_usize..20, prop::sample::select(&[Status::Ready, Status::Paused, Status::Stopped, Status::Hibernated][..]))
            .prop_map(|(at, status)| Command::Found(at, status)),
    ]
}

async fn play(behaviour: CreateBehaviour, commands: Vec<Command>) {
    if let Some(file) = std::env::var_os("ARCHIPEL_MODEL_TRACE") {
        std::fs::write(file, format!("{commands:?}")).unwrap();
    }
    let mut rig = Rig::with(behaviour, &["emulated"]);
    // Two looks are a list, and three instances a page: lists are met as often as looks.
    rig.settings.list_from = 2;
    *rig.cloud().page.lock().unwrap() = 3;
    rig.start();
    let mut acknowledged: Vec<OrderId> = Vec::new();
    for command in commands {
        let at = |at: usize, all: &[OrderId]| all.get(at % all.len().max(1)).copied();
        match command {
            Command::Compute => acknowledged.extend(rig.create(compute()).await.map(|order| order.id)),
            Command::Deadline(ms) => {
                let mut request = compute();
                request.deadline = Some(rig.clock.now().plus(Duration::from_millis(ms)));
                acknowledged.extend(rig.create(request).await.map(|order| order.id));
            }
            Command::Network => {
                if let Ok(net) = rig.create(network()).await {
                    acknowledged.push(net.id);
                    acknowledged.extend(rig.create(compute_on(net.id)).await.map(|order| order.id));
                }
            }
            Command::Pair => {
                if let (Ok(machine), Ok(disk)) = (rig.create(compute()).await, rig.create(volume()).await) {
                    acknowledged.extend([machine.id, disk.id]);
                    let link = rig.create(attachment(machine.id, disk.id)).await;
                    acknowledged.extend(link.map(|order| order.id));
                }
            }
            Command::Delete(n, cascade) => {
                if let Some(id) = at(n, &acknowledged) {
                    let version = rig.order(id).version;
                    let _ = rig.orders.delete(id, Some(version), cascade, false).await;
                }
            }
            Command::Patch(n) => {
                if let Some(id) = at(n, &acknowledged) {
                    let labels = std::collections::BTreeMap::from([("n".to_owned(), Some(n.to_string()))]);
                    let patch = archipel_orders::OrderPatch { labels, ..Default::default() };
                    let _ = rig.orders.patch(id, None, patch).await;
                }
            }
            Command::Refresh(n) => {
                if let Some(id) = at(n, &acknowledged) {
                    let refresh = tokio::time::timeout(Duration::from_secs(5), rig.orders.refresh(id));
                    let _ = std::panic::AssertUnwindSafe(refresh).catch_unwind().await;
                }
            }
            Command::Pass(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Command::Crash => {
                rig.crash().await;
                rig.start();
            }
            Command::Stop => {
                rig.stop().await;
                rig.start();
            }
            Command::Steal => rig.store.steal(&"emulated".parse().unwrap(), 5_000),
            Command::RequestFault(fault) => rig.cloud().ledger().request_faults.push_back(fault.fault()),
            Command::OtherFault(what, fault) => {
                let mut ledger = rig.cloud().ledger();
                match what {
                    0 => ledger.get_faults.push_back(fault.fault()),
                    1 => ledger.delete_faults.push_back(fault.fault()),
                    2 => ledger.list_faults.push_back(fault.fault()),
                    4 => ledger.power_faults.push_back(fault.fault()),
                    _ => ledger.find_faults.push_back(fault.fault()),
                }
            }
            Command::Away(away) => {
                rig.cloud().ledger().away = away.then(|| Error::transient("down"));
            }
            Command::Disk(ms) => {
                rig.store.down.store(true, std::sync::atomic::Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(ms)).await;
                rig.store.down.store(false, std::sync::atomic::Ordering::SeqCst);
            }
            // Where creates are idempotent `settle` is 0: nothing is late.
            Command::Late(_) if behaviour == CreateBehaviour::Idempotent => {}
            Command::Late(ms) => {
                *rig.cloud().visible_after.lock().unwrap() =
                    Duration::from_millis(ms.min(SETTLE.as_millis() as u64 - 1000))
            }
            Command::Destroy(n) => {
                let instance = at(n, &acknowledged).and_then(|id| rig.order(id).instance);
                if let Some(instance) = instance {
                    rig.cloud().destroy(&instance.id);
                }
            }
            Command::Unlist(n) => {
                let instance = at(n, &acknowledged).and_then(|id| rig.order(id).instance);
                rig.cloud().ledger().unlisted.extend(instance.map(|instance| instance.id));
            }
            Command::Stale(n, failed) => {
                let status = if failed { Status::Failed } else { Status::Stopped };
                let instance = at(n, &acknowledged).and_then(|id| rig.order(id).instance);
                rig.cloud().ledger().stale.extend(instance.map(|instance| (instance.id, status)));
            }
            Command::Act(n, action) => {
                if let Some(id) = at(n, &acknowledged) {
                    let _ = rig.act(id, action).await;
                }
            }
            // Users use the cloud's own tools too; volumes and networks have no power.
            Command::Found(n, status) => {
                let order = at(n, &acknowledged).map(|id| rig.order(id));
                let instance =
                    order.filter(|order| order.kind == Kind::Compute).and_then(|order| order.instance);
                if let Some(instance) = instance {
                    rig.cloud().set_status(&instance.id, status);
                }
            }
        }
    }
    heal(&rig);
    wait_until(&rig, |rig| rig.store.all().iter().all(|order| order.power.is_none())).await;
    // What rests on a hibernated machine waits for somebody to wake it.
    rig.cloud().wake_all();
    let quiet =
        |rig: &Rig| rig.store.all().iter().all(|order| order.is_settled() && order.unreachable.is_none());
    wait_until(&rig, quiet).await;
    // A look at everything that was destroyed behind our backs.
    pass(300).await;
    wait_until(&rig, quiet).await;
    for id in &acknowledged {
        let order = rig.order(*id);
        let live = rig.cloud().live(*id);
        let steady = match order.state {
            State::Fulfilled => Some(Status::Ready),
            State::Paused => Some(Status::Paused),
            State::Stopped => Some(Status::Stopped),
            _ => None,
        };
        match order.state {
            _ if steady.is_some() => {
                assert_eq!(live.len(), 1, "{order:#?} {:?}", rig.cloud().calls_of(*id));
                assert_eq!(Some(live[0].status), steady, "{order:#?} {:?}", rig.cloud().calls_of(*id));
                assert_eq!(live[0].id, order.instance.unwrap().id);
            }
            _ => assert_eq!(live.len(), 0, "{order:#?} {:?}", rig.cloud().calls_of(*id)),
        }
    }
    let known = rig.store.all();
    assert_eq!(known.len(), acknowledged.len(), "what was acknowledged is there, and nothing else is");

    for id in &acknowledged {
        let order = rig.order(*id);
        let _ = rig.orders.delete(*id, Some(order.version), true, false).await.unwrap();
    }
    wait_until(&rig, |rig| rig.store.all().iter().all(|order| order.state == State::Closed)).await;
    assert_eq!(rig.cloud().all_live(), 0, "{:#?}", rig.cloud().ledger().made);
    for order in rig.store.all() {
        check_history(&rig, order.id, order.kind);
    }
    rig.stop().await;
}

fn heal(rig: &Rig) {
    let mut ledger = rig.cloud().ledger();
    ledger.away = None;
    ledger.request_faults.clear();
    ledger.get_faults.clear();
    ledger.delete_faults.clear();
    ledger.find_faults.clear();
    ledger.list_faults.clear();
    ledger.power_faults.clear();
}

async fn wait_until(rig: &Rig, so: impl Fn(&Rig) -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(4 * 3600);
    while !so(rig) {
        assert!(tokio::time::Instant::now() < end, "it never settles: {:#?}", rig.store.all());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Every state that an order's events tell of can follow the one before.
fn check_history(rig: &Rig, id: OrderId, kind: Kind) {
    let words = rig.events(id);
    let states: Vec<State> = words.iter().filter_map(|word| word.parse().ok()).collect();
    assert_eq!(states.first(), Some(&State::Open));
    assert_eq!(states.iter().filter(|state| **state == State::Closed).count(), 1, "{kind} {words:?}");
    for pair in states.windows(2) {
        let known = archipel_orders::table::TABLE
            .rows
            .iter()
            .any(|row| row.to == pair[1] && row.from.contains(&pair[0]));
        assert!(known, "{} to {} in {words:?}", pair[0], pair[1]);
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_order_ends_with_one_instance_or_none(commands in prop::collection::vec(commands(), 1..40)) {
        block_on(play(CreateBehaviour::Searchable, commands));
    }

    #[test]
    fn whatever_happens_the_same_holds_where_creates_are_idempotent(commands in prop::collection::vec(commands(), 1..30)) {
        block_on(play(CreateBehaviour::Idempotent, commands));
    }
}
