//! `archipel store`: a site is stopped, looked at, copied, damaged, restored; and copied while it serves.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use archipel_tests::orders::{all, create, id, reaches, small_compute};
use archipel_tests::site::{Site, copy_folder};
use serde_json::{Value, json};

/// A stopped site with a few orders, one of them deleted.
async fn used() -> (Site, Vec<Value>) {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(create(&alice, "computes", &small_compute(&format!("c{n}"))).await.unwrap());
    }
    for order in &made {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
    alice.delete(&format!("/v1/orders/{}", id(&made[4]))).await.unwrap().success().unwrap();
    reaches(&alice, id(&made[4]), "closed").await.unwrap();
    assert!(daemon.stop().await.unwrap().success());
    (site, made)
}

fn path(site: &Site, name: &str) -> String {
    site.folder().join(name).to_str().unwrap().to_owned()
}

/// Everything between the first and the last line, which name times and incarnations.
fn records(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[1..lines.len() - 1].to_vec()
}

#[tokio::test]
async fn a_stopped_site_is_counted_checked_exported_imported_and_compacted() {
    let (site, made) = used().await;
    let stats = site.archipel(&["store", "stats", "--output", "json"]).unwrap().with_code(0).json();
    let of = |name: &str| {
        stats["collections"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!((&of("orders")["keys"], &of("orders")["versions"]), (&json!(5), &json!({"3": 5})));
    assert_eq!((&stats["site"], &stats["unknown_keys"]), (&json!("site-a.example.org"), &json!(0)));
    assert!(stats["bytes_on_disk"].as_u64().unwrap() > 10_000);
    let text = site.archipel(&["store", "stats"]).unwrap().with_code(0).out;
    assert!(text.contains("5 of version 3") && text.contains("bytes on disk"), "{text}");

    let checked = site.archipel(&["store", "check"]).unwrap().with_code(0);
    assert!(checked.out.starts_with("nothing is wrong: "), "{checked:?}");

    let file = path(&site, "export.jsonl");
    let ran = site.archipel(&["store", "export", &file]).unwrap().with_code(0);
    assert!(ran.out.contains("without the site's keys"), "{ran:?}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = site.archipel(&["store", "export", &file]).unwrap().with_code(2);
    assert!(ran.err.contains("it is there already"), "{ran:?}");
    let piped = site.archipel(&["store", "export", "-"]).unwrap().with_code(0);
    assert_eq!(piped.out.lines().skip(1).map(str::len).sum::<usize>(), {
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines().skip(1).map(str::len).sum::<usize>()
    });

    let ran = site.archipel(&["store", "import", &file]).unwrap().with_code(1);
    assert!(ran.err.contains("is not empty; move the folder away first"), "{ran:?}");
    let store = site.data_dir().join("store");
    std::fs::rename(&store, site.data_dir().join("store.old")).unwrap();
    let ran = site.archipel(&["store", "check"]).unwrap().with_code(2);
    assert!(ran.err.contains("there is no store in"), "{ran:?}");
    let cut = path(&site, "cut.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&cut, &text[..text.len() / 2]).unwrap();
    let ran = site.archipel(&["store", "import", &cut]).unwrap().with_code(1);
    assert!(ran.err.contains("cut short") && !store.exists(), "{ran:?}");
    let ran = site.archipel(&["store", "import", &file]).unwrap().with_code(0);
    assert!(ran.out.contains("are in place, incarnation"), "{ran:?}");
    let again = path(&site, "again.jsonl");
    site.archipel(&["store", "export", &again]).unwrap().with_code(0);
    assert_eq!(records(&again), records(&file));

    let done = site.archipel(&["store", "compact", "--output", "json"]).unwrap().with_code(0).json();
    assert!(done["bytes_after"].as_u64().unwrap() > 0, "{done}");
    assert!(!site.data_dir().join("store.compacting").exists());
    site.archipel(&["store", "check"]).unwrap().with_code(0);

    // It serves as before: sessions too, for the keys are still there.
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    assert_eq!(all(&alice, "").await.unwrap().len(), 4);
    for order in &made[..4] {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
    let more = create(&alice, "computes", &small_compute("more")).await.unwrap();
    reaches(&alice, id(&more), "fulfilled").await.unwrap();
}

#[tokio::test]
async fn what_needs_a_stopped_site_says_so_and_a_backup_is_made_beside_it() {
    let site = Site::temporary().unwrap();
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..4)
        .map(|client| {
            let (alice, is_over) = (alice.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut made: Vec<String> = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let name = format!("c{client}-{}", made.len());
                    made.push(
                        id(&create(&alice, "computes", &small_compute(&name)).await.unwrap()).to_owned(),
                    );
                }
                made
            })
        })
        .collect();
    for n in 0..3 {
        let first = create(&alice, "computes", &small_compute(&format!("first{n}"))).await.unwrap();
        let file = path(&site, &format!("backup-{n}.jsonl"));
        let ran = tokio::task::spawn_blocking({
            let (mut command, file) = (archipel_tests::cli::program().unwrap(), file.clone());
            let config = site.file();
            move || {
                archipel_tests::cli::run(command.arg("--config").arg(config).args(["store", "backup", &file]))
            }
        });
        let ran = ran.await.unwrap().unwrap().with_code(0);
        assert!(ran.out.contains("without the site's keys"), "{ran:?}");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(id(&first)), "what was acknowledged before is in it");
    }
    for command in
        [&["store", "check"][..], &["store", "stats"], &["store", "compact"], &["store", "export", "-"]]
    {
        let ran = site.archipel(command).unwrap().with_code(2);
        assert!(ran.err.contains("is held by process") && ran.err.contains("stop that process"), "{ran:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    let mut made = 3;
    for client in busy {
        made += client.await.unwrap().len();
    }
    assert!(made > 20, "{made}");
    // Only through the administrator's socket.
    let admin = daemon.login("admin").await.unwrap();
    let refused = admin.get("/v1/admin/store/export").await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(refused.json().unwrap()["detail"].as_str().unwrap().contains("administrator's socket"));
    assert!(daemon.stop().await.unwrap().success());
    let ran = site.archipel(&["store", "backup", &path(&site, "late.jsonl")]).unwrap().with_code(2);
    assert!(
        ran.err.contains("not running") && !Path::new(&path(&site, "late.jsonl.part")).exists(),
        "{ran:?}"
    );

    // The last backup is a whole site.
    std::fs::rename(site.data_dir().join("store"), site.data_dir().join("store.lost")).unwrap();
    site.archipel(&["store", "import", &path(&site, "backup-2.jsonl")]).unwrap().with_code(0);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    let there = all(&alice, "").await.unwrap();
    assert!(there.len() >= 3 && there.len() <= made, "{}", there.len());
    for order in &there {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_store_is_never_served_in_part_and_always_has_a_way_out() {
    let (site, made) = used().await;
    let backup = path(&site, "backup.jsonl");
    site.archipel(&["store", "export", &backup]).unwrap().with_code(0);
    let store = site.data_dir().join("store");
    let whole = site.data_dir().join("whole");
    copy_folder(&store, &whole).unwrap();
    let log = std::fs::read(store.join("db")).unwrap();
    let used = log.iter().rposition(|byte| *byte != 0).unwrap();
    let mut refused = 0;
    for round in 0..24_usize {
        std::fs::remove_dir_all(&store).unwrap();
        copy_folder(&whole, &store).unwrap();
        let mut bytes = log.clone();
        if round < 4 {
            bytes.truncate(used * round / 4);
        } else {
            for n in 0..round {
                let at = (round.wrapping_mul(2_654_435_761) ^ n.wrapping_mul(40_503)) % used;
                bytes[at] ^= 1 << (n % 8);
            }
        }
        std::fs::write(store.join("db"), &bytes).unwrap();
        let ran = site.archipel(&["store", "check"]).unwrap();
        assert!([0, 1].contains(&ran.code), "{round}: {ran:?}");
        assert!(!ran.err.contains("panicked") && !ran.out.contains("panicked"), "{round}: {ran:?}");
        if ran.code == 1 {
            assert!(
                ran.out.contains("archipel store import") || ran.out.contains("store import"),
                "{round}: {ran:?}"
            );
            refused += 1;
        }
    }
    assert!(refused > 8, "{refused} of 24 damages were found");
    println!("{refused} of 24 damages were found");
    // A daemon does not start on a log that was cut, and says what to do.
    std::fs::remove_dir_all(&store).unwrap();
    copy_folder(&whole, &store).unwrap();
    std::fs::write(store.join("db"), &log[..used / 2]).unwrap();
    let ran = site.archipel(&["serve"]).unwrap().with_code(2);
    assert!(ran.err.contains("archipel store import"), "{ran:?}");
    assert!(!ran.err.contains("panicked"), "{ran:?}");
    std::fs::rename(&store, site.data_dir().join("store.damaged")).unwrap();
    site.archipel(&["store", "import", &backup]).unwrap().with_code(0);
    let daemon = site.start().await.unwrap();
    let alice = daemon.login("alice").await.unwrap();
    for order in &made[..4] {
        reaches(&alice, id(order), "fulfilled").await.unwrap();
    }
}
