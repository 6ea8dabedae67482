//! What plugins keep.

use futures::future::join_all;

use super::support::*;

const QUOTA: u64 = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_sees_its_own_keys_alone() {
    on_every_engine(async |f| {
        let storage = f.store.plugin_storage();
        storage.set("one", "a", Some(b"1".to_vec()), QUOTA).await.unwrap();
        storage.set("one", "b/1", Some(b"2".to_vec()), QUOTA).await.unwrap();
        storage.set("one", "b/2", Some(vec![]), QUOTA).await.unwrap();
        storage.set("on", "e", Some(b"3".to_vec()), QUOTA).await.unwrap();
        assert_eq!(storage.get("one", "a").await.unwrap().as_deref(), Some(b"1".as_slice()));
        assert_eq!(storage.get("one", "b/2").await.unwrap().as_deref(), Some(b"".as_slice()));
        assert_eq!(storage.get("on", "a").await.unwrap(), None);
        let (keys, next) = storage.list_keys("one", "", None, 2).await.unwrap();
        assert_eq!((keys, next.as_deref()), (vec!["a".to_owned(), "b/1".to_owned()], Some("b/1")));
        let (keys, next) = storage.list_keys("one", "", next.as_deref(), 2).await.unwrap();
        assert_eq!((keys, next), (vec!["b/2".to_owned()], None));
        assert_eq!(storage.list_keys("one", "b/", None, 10).await.unwrap().0, ["b/1", "b/2"]);
        storage.set("one", "a", None, QUOTA).await.unwrap();
        assert_eq!(storage.get("one", "a").await.unwrap(), None);
        storage.flush().await.unwrap();
        assert!(storage.set("one", "", None, QUOTA).await.is_err());
        assert!(storage.set("one", &"k".repeat(2000), None, QUOTA).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_holds_keys_and_values_and_gives_back() {
    on_every_engine(async |f| {
        let storage = f.store.plugin_storage();
        storage.set("b", "key", Some(vec![0; 497]), QUOTA).await.unwrap();
        storage.set("b", "kez", Some(vec![0; 497]), QUOTA).await.unwrap();
        let full = storage.set("b", "x", Some(vec![]), QUOTA).await.unwrap_err();
        assert_eq!(full.kind, archipel_model::ErrorKind::QuotaExceeded);
        assert_eq!(
            full.message,
            "the plugin keeps 1000 bytes and may keep 1000; remove some, or grant it more storage"
        );
        storage.set("b", "key", Some(vec![0; 490]), QUOTA).await.unwrap();
        storage.set("b", "x", Some(vec![]), QUOTA).await.unwrap();
        storage.set("b", "kez", None, QUOTA).await.unwrap();
        storage.set("other", "x", Some(vec![0; 900]), QUOTA).await.unwrap();
        storage.set("b", "y", Some(vec![0; 505]), QUOTA).await.unwrap();
        assert!(storage.set("b", "y", Some(vec![0; 506]), QUOTA).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_happens_only_from_what_is_expected() {
    on_every_engine(async |f| {
        let storage = f.store.plugin_storage();
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert!(!storage.compare_and_swap("b", "k", some("1"), some("2"), QUOTA).await.unwrap());
        assert!(storage.compare_and_swap("b", "k", None, some("1"), QUOTA).await.unwrap());
        assert!(!storage.compare_and_swap("b", "k", None, some("2"), QUOTA).await.unwrap());
        let tries = (0..32).map(|number: u32| {
            let storage = f.store.plugin_storage();
            tokio::spawn(async move {
                let new = Some(format!("new {number}").into_bytes());
                storage.compare_and_swap("b", "k", Some(b"1".to_vec()), new, QUOTA).await.unwrap()
            })
        });
        assert_eq!(join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
        let now = storage.get("b", "k").await.unwrap();
        assert!(storage.compare_and_swap("b", "k", now, None, QUOTA).await.unwrap());
        assert_eq!(storage.get("b", "k").await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_one_key_all_write() {
    on_every_engine(async |f| {
        let tries = (0..32).map(|number: u32| {
            let storage = f.store.plugin_storage();
            tokio::spawn(
                async move { storage.set("b", "k", Some(number.to_be_bytes().to_vec()), QUOTA).await },
            )
        });
        for set in join_all(tries).await {
            set.unwrap().unwrap();
        }
    })
    .await;
}
