//! Exports and imports: exact, or refused and nothing left.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_import_restores_exactly_under_a_new_incarnation() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, store) = open(&folder.path().join("old")).await;
    let ids = fill(&store, SystemClock.now()).await;
    let later = SystemClock.now();
    // Some of the past is forgotten: readers of the copy must be told so too.
    store
        .orders()
        .forget_before(Timestamp::from_millis(0), later, Timestamp::from_millis(0), 5)
        .await
        .unwrap();
    store.orders().accept(acceptance(&compute("alice"))).await.unwrap();
    let (file, told) = exported(&*engine).await;
    let before = store.orders().get(ids[0]).await.unwrap();
    let newest = *store.orders().watch_events().borrow();
    let usage = store.orders().usage("cloud/cloud-1").await.unwrap();
    let old = store.incarnation();
    assert!(
        store.orders().is_confirmed().await.unwrap(),
        "nothing can be missing in a store that began here"
    );
    store.close().await;
    let header = line(&file, 0);
    assert_eq!((&header["format"], &header["version"]), (&json!("archipel-store"), &json!(1)));
    assert_eq!(header["incarnation"], json!(old));
    assert!(header["note"].as_str().unwrap().contains("site's keys"));
    assert_eq!(told.bytes, file.len() as u64);
    assert_eq!(line(&file, usize::MAX)["end"]["lines"], json!(told.records));
    assert_eq!(told.records as usize, records(&file).len());

    let new = folder.path().join("new");
    let imported = import_into(&new, &file).await.unwrap();
    assert_eq!((imported.records, imported.stamp), (told.records, told.stamp));
    assert_eq!(imported.earlier_incarnation, old);
    let (engine, store) = open(&new).await;
    assert_eq!(store.incarnation(), imported.incarnation);
    assert_ne!(store.incarnation(), old);
    assert_eq!(store.orders().incarnation(), imported.incarnation);
    assert!(!store.orders().is_confirmed().await.unwrap(), "what came after the copy is not in it");
    store.orders().confirm().await.unwrap();
    assert!(store.orders().is_confirmed().await.unwrap());
    let (again, _) = exported(&*engine).await;
    assert_eq!(records(&again), records(&file));
    assert_eq!(
        line(&again, usize::MAX)["end"]["events_forgotten"],
        line(&file, usize::MAX)["end"]["events_forgotten"]
    );
    assert_eq!(store.orders().get(ids[0]).await.unwrap(), before);
    assert_eq!(store.orders().usage("cloud/cloud-1").await.unwrap(), usage);
    assert_eq!(*store.orders().watch_events().borrow(), newest);
    store.orders().accept(acceptance(&volume("alice"))).await.unwrap();
    assert!(*store.orders().watch_events().borrow() > newest, "numbers go on after those of the export");
    let epoch =
        store.orders().claim(&"cloud-1".parse().unwrap(), "x", later, 1).await.unwrap().unwrap().epoch;
    assert_eq!(epoch.0, 3, "who held a queue before is fenced");
    store.close().await;
    assert!(!folder.path().join("new.importing").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_cut_altered_or_newer_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, store) = open(&folder.path().join("old")).await;
    fill(&store, SystemClock.now()).await;
    let (file, _) = exported(&*engine).await;
    store.close().await;
    let new = folder.path().join("new");
    let text = String::from_utf8(file.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |number: usize| {
        let mut lines = lines.clone();
        lines.remove(number);
        lines.join("\n") + "\n"
    };
    let mut swapped = lines.clone();
    swapped.swap(4, 5);
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "line 1: the file is not an export of a store"),
        ("{}\n".into(), "line 1: the file is not an export of a store"),
        (without(0), "line 1: the file is not an export of a store"),
        (without(3), "checksum is another; the file was altered"),
        (without(lines.len() - 1), "the file ends before its last line; it was cut short"),
        (text[..text.len() - 1].into(), "it is cut short"),
        (text[..text.len() / 2].into(), "it is cut short"),
        (lines[..20].join("\n") + "\n", "the file ends before its last line; it was cut short"),
        (swapped.join("\n") + "\n", "it is out of order; the file was altered"),
        (
            text.replacen("\"name\":\"bob\"", "\"name\":\"bbb\"", 1),
            "its checksum is another; the file was altered",
        ),
        (format!("{text}\n"), "something follows the last line"),
        (
            text.replacen("\"version\":1,\"schema\"", "\"version\":2,\"schema\"", 1),
            "the export has format 2, this archipel knows 1",
        ),
        (text.replacen("\"schema\":2", "\"schema\":3", 1), "the store had schema 3, this archipel knows 2"),
        (
            text.replacen("\"version\":1,\"record\"", "\"version\":2,\"record\"", 1),
            "audit of version 2, this archipel knows 1",
        ),
        (
            text.replacen("\"in\":\"epochs\"", "\"in\":\"wheels\"", 1),
            "there is no collection \"wheels\" here; a newer archipel wrote it",
        ),
        (
            text.replacen("\"site\":\"site-a", "\"site\":\"site-b", 1),
            "the export is of site site-b.example.org, and the configuration says site-a",
        ),
        (text.replacen("\"stamp\":", "\"stamp\":1,\"was\":", 1), "after the last commit"),
        ("x".repeat(5 << 20), "longer than"),
    ];
    for (altered, reason) in cases {
        let error = import_into(&new, altered.as_bytes()).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
        assert!(!new.exists() && !folder.path().join("new.importing").exists(), "{reason}");
    }
    // Byte by byte, here and there: never taken, never a panic.
    for number in 0..200 {
        let mut altered = file.clone();
        let at = number * altered.len() / 200;
        altered[at] ^= 1 << (number % 8);
        assert!(import_into(&new, &altered).await.is_err(), "byte {at}");
    }
    import_into(&new, &file).await.unwrap();
    let again = import_into(&new, &file).await.unwrap_err();
    assert!(matches!(again, ImportError::NotEmpty { .. }), "{again}");
    assert!(again.to_string().contains("move the folder away first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_a_start_has_made_is_empty_and_one_that_is_held_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, store) = open(&folder.path().join("old")).await;
    fill(&store, SystemClock.now()).await;
    let (file, _) = exported(&*engine).await;
    let held = compact(&folder.path().join("old"), &SledOptions::default()).await.unwrap_err();
    assert!(held.to_string().contains("held by process"), "{held}");
    store.close().await;
    let dir = folder.path().join("fresh");
    let (_, fresh) = open(&dir).await;
    fresh.orders().claim(&"cloud-1".parse().unwrap(), "x", Timestamp::from_millis(1), 1).await.unwrap();
    fresh.orders().probe().await.unwrap();
    let held = import_into(&dir, &file).await.unwrap_err();
    assert!(held.to_string().contains("held by process"), "{held}");
    fresh.close().await;
    import_into(&dir, &file).await.unwrap();
    let missing = compact(&folder.path().join("nowhere"), &SledOptions::default()).await.unwrap_err();
    assert!(missing.to_string().contains("there is no store in"), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_ends_an_export_or_is_left_out_by_name() {
    on_every_engine(async |f| {
        let ids = fill(&f.store, f.clock.now()).await;
        let mut commit = Commit::new();
        commit.put(crate::keys::order(ids[0]), b"\x01{".to_vec());
        f.engine.commit(commit).await.unwrap();
        let mut export = Export::begin(&*f.engine, &SystemClock, false).await.unwrap();
        let error = loop {
            match export.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a damaged order was exported"),
                Err(error) => break error,
            }
        };
        assert!(
            error.message.starts_with(&format!("orders {}: a stored order cannot be read", ids[0])),
            "{error}"
        );
        let mut export = Export::begin(&*f.engine, &SystemClock, true).await.unwrap();
        while export.next().await.unwrap().is_some() {}
        assert_eq!(export.exported().left_out.len(), 1);
        let mut commit = Commit::new();
        commit.put(b"new/1".to_vec(), "x");
        f.engine.commit(commit).await.unwrap();
        let Err(error) = Export::begin(&*f.engine, &SystemClock, true).await else { panic!() };
        assert!(error.has_code("store-newer") && error.message.contains("new/1"), "{error}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_on_its_way_is_known_to_be_whole() {
    on_every_engine(async |f| {
        fill(&f.store, f.clock.now()).await;
        let (file, told) = exported(&*f.engine).await;
        let look = |file: &[u8], piece: usize| {
            let mut whole = crate::upkeep::Whole::default();
            file.chunks(piece).for_each(|some| whole.look(some));
            whole.end()
        };
        for piece in [1, 7, 1000, file.len()] {
            let end = look(&file, piece).unwrap();
            assert_eq!((end.records, end.bytes), (told.records, told.bytes));
            assert_eq!(look(&file[..file.len() - 1], piece), None);
            assert_eq!(look(&file[..file.len() / 2], piece), None);
            let mut altered = file.clone();
            altered[file.len() / 3] ^= 1;
            assert_eq!(look(&altered, piece), None);
        }
    })
    .await;
}
