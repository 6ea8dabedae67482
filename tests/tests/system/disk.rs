//! A disk that is full, and one that is read-only: what is written is kept, what cannot be written is refused with
//! the reason, and the site goes on by itself when the disk does. On a real file system of its own, for which the tests
//! must be root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use archipel_client::Client;
use archipel_tests::daemon::Daemon;
use archipel_tests::orders::{create, id, reaches, show, small_compute};
use archipel_tests::site::Site;

/// How large the disk is (the store wants 64 MiB of it free), and whose.
const OPTIONS: &str = "size=160m,mode=700";

/// A file system that goes with it.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this machine does not let us.
    fn under(folder: &Path) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", OPTIONS, "tmpfs"]).arg(folder).output().ok()?;
        if !mounted.status.success() {
            eprintln!("not tried, for it needs root: {}", String::from_utf8_lossy(&mounted.stderr).trim());
            return None;
        }
        Some(Self(folder.to_owned()))
    }

    fn remount(&self, mode: &str) {
        let done =
            Command::new("mount").args(["-o", &format!("remount,{mode}")]).arg(&self.0).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Leaves so much free.
    fn fill(&self, left: u64) -> PathBuf {
        let filler = self.0.join("filler");
        let stat = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(&self.0).output().unwrap();
        let text = String::from_utf8(stat.stdout).unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let bytes = vec![1; usize::try_from(numbers[0] * numbers[1] - left).unwrap()];
        std::fs::write(&filler, bytes).unwrap();
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A daemon, who uses it, and the id of a machine that is there.
async fn with_a_machine(site: &Site) -> (Daemon, Client, String) {
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let order = create(&alice, "computes", &small_compute("before")).await.unwrap();
    reaches(&alice, id(&order), "fulfilled").await.unwrap();
    (daemon, alice, id(&order).to_owned())
}

/// Creates are refused with 503 and a reason; what is there is read; the site says that it is not ready.
async fn only_reads(daemon: &Daemon, alice: &Client, order: &str, reason: &str) {
    // The store looks at its disk once a second; what it takes until then has room.
    let until = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        let answer = alice.post("/v1/computes", &small_compute("late")).await.unwrap();
        if answer.status() == 503 || Instant::now() > until {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    let problem = refused.json().unwrap();
    assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    assert_eq!(show(alice, order).await.unwrap()["id"], order);
    assert_eq!(daemon.anonymous().get("/readyz").await.unwrap().status(), 503);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_everything_goes_on_when_there_is_room() {
    let site = Site::temporary().unwrap();
    let Some(disk) = Disk::under(&site.data_dir()) else { return };
    let (daemon, alice, before) = with_a_machine(&site).await;

    let filler = disk.fill(16 << 20);
    only_reads(&daemon, &alice, &before, "MiB left").await;
    std::fs::remove_file(filler).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = create(&alice, "computes", &small_compute("after")).await.unwrap();
    reaches(&alice, id(&after), "fulfilled").await.unwrap();
    assert!(daemon.stop().await.unwrap().success());
    site.archipel(&["store", "check"]).unwrap().with_code(0);
}

#[tokio::test]
async fn a_read_only_disk_is_told_at_the_start_and_nothing_is_lost() {
    let site = Site::temporary().unwrap();
    let Some(disk) = Disk::under(&site.data_dir()) else { return };
    let (daemon, _, before) = with_a_machine(&site).await;
    daemon.stop().await.unwrap();

    disk.remount("ro");
    site.write().unwrap();
    let refused = site.archipel(&["serve"]).unwrap().with_code(2);
    assert!(refused.err.contains("Read-only file system"), "{refused:?}");

    disk.remount("rw");
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    assert_eq!(show(&alice, &before).await.unwrap()["state"], "fulfilled");
    assert!(daemon.stop().await.unwrap().success());
    site.archipel(&["store", "check"]).unwrap().with_code(0);
}
